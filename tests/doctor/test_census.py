from collections import Counter

import numpy as np
import pytest
from PIL import Image

from maskedae.doctor.census import Census, span
from maskedae.doctor.inspection import Inspector
from maskedae.listing import open_splits

INSPECT = Inspector(("images",), sums=True)


def picture(path, level=0, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, 0, 255)).save(path)


def take(root):
    census = Census(open_splits([str(root)], INSPECT.wanted()))
    for index in reversed(range(len(census))):  # in any order
        census.add(index, INSPECT(census.path(index)))
    return census.facts()


def test_span():
    assert span(Counter([3, 1, 2, 2])) == {
        "min": 1,
        "median": 2,
        "max": 3,
        "distinct": 3,
        "common": [[2, 2], [3, 1], [1, 1]],
    }
    assert span(Counter([(9, 9), (1, 50), (2, 3)]))["median"] == (1, 50), "by their product"


def test_counts(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.jpg", size=(4, 20))
    (tmp_path / "c.png").touch()
    (tmp_path / "d.doc").touch()
    facts = take(tmp_path)
    kind = facts["kinds"]["image"]
    assert facts["files"] == {"train": 3, "held_out": 0} and facts["ignored"] == {".doc": 1}
    assert facts["bad"] == [{"path": str(tmp_path / "c.png"), "reason": "empty file"}]
    assert (kind["count"], kind["format"]) == (2, {"JPEG": 1, "PNG": 1})
    assert kind["size"]["max"] == (4, 20)
    assert facts["labels"]["missing"] == {"train": "there are no sub-folders"}


def test_mean_and_deviation(tmp_path):
    picture(tmp_path / "a.png", 255, (2, 2))
    picture(tmp_path / "b.png", 0, (2, 6))
    kind = take(tmp_path)["kinds"]["image"]
    np.testing.assert_allclose(kind["mean"], [0.25, 0, 1], atol=1e-9)
    np.testing.assert_allclose(kind["std"], [np.sqrt(3) / 4, 0, 0], atol=1e-9)


def test_copies_and_labels(tmp_path):
    picture(tmp_path / "train" / "cat" / "1.png", 1)
    picture(tmp_path / "train" / "cat" / "again.png", 1)
    picture(tmp_path / "train" / "dog" / "2.png", 2)
    picture(tmp_path / "train" / "dog" / "cat.png", 1)
    picture(tmp_path / "val" / "cat" / "1.png", 1)
    picture(tmp_path / "val" / "dog" / "3.png", 3)
    facts = take(tmp_path)
    copies = facts["copies"]
    assert copies["surplus"] == {"train": 2, "held_out": 0}
    for harm in ("in both", "in several classes"):
        ((*paths,),) = copies[harm]
        assert [path.split("/")[-3:] for path in paths] == [
            ["train", "cat", "1.png"],
            ["train", "cat", "again.png"],
            ["train", "dog", "cat.png"],
            ["val", "cat", "1.png"],
        ]
    assert facts["labels"]["classes"] == {
        "cat": {"train": 2, "held_out": 1},
        "dog": {"train": 2, "held_out": 1},
    }
    assert facts["labels"]["odd"] == []


def test_copies_within_a_split_are_not_in_both(tmp_path):
    for path in ("train/a/1.png", "train/a/2.png", "val/a/3.png"):
        picture(tmp_path / path, level=int("val" in path))
    copies = take(tmp_path)["copies"]
    assert copies["surplus"] == {"train": 1, "held_out": 0} and not copies["in both"]


def test_bad_files_are_no_copies(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    assert take(tmp_path)["copies"]["surplus"] == {"train": 0, "held_out": 0}


@pytest.mark.parametrize(
    ("lines", "odd"),
    [
        (["a.png\tcat", "b.png\tcat"], ["train: all samples are of one class"]),
        (["a.png\tcat"] * 10 + ["b.png\tdog"], ["train: classes have from 1 to 10 samples"]),
        (["a.png\tcat"] * 9 + ["b.png\tdog"], []),
    ],
)
def test_odd_labels(tmp_path, lines, odd):
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert take(tmp_path / "list.txt")["labels"]["odd"] == odd


def test_classes_without_samples_and_single_folders(tmp_path):
    for path in ("train/a/1.png", "train/b/1.png", "train/c/1.png", "val/a/1.png", "val/b/1.png"):
        picture(tmp_path / "x" / path)
    assert take(tmp_path / "x")["labels"]["odd"] == ["held_out: 1 of 3 classes have no sample"]
    picture(tmp_path / "y" / "only" / "1.png")
    missing = take(tmp_path / "y")["labels"]["missing"]
    assert missing == {"train": "all samples lie in one folder, only"}


def test_warnings_that_differ_in_numbers_are_one(tmp_path):
    picture(tmp_path / "a.png", size=(100, 2))
    picture(tmp_path / "b.png", size=(2, 100))
    (warning,) = take(tmp_path)["warnings"]
    assert warning["files"] == 2 and warning["example"] == str(tmp_path / "a.png")
