"""What a list says of its samples: a class, several classes or a value."""

import pytest
import torch

from maskedae.listing import open_splits
from maskedae.scanning import Wanted


def opened(path, kind, text, **options):
    path.write_text(text)
    wanted = Wanted(frozenset({".jpg"}), lambda head: True, kind)
    return open_splits([str(path)], wanted, **options)


def test_several_classes(tmp_path):
    text = "path,label\na.jpg,cat|dog\nb.jpg,\nc.jpg, dog ; bird \nd.jpg,cat|dog\n"
    listing = opened(tmp_path / "l.csv", "classes", text).train
    assert listing.classes == ("bird", "cat", "dog") and listing.unlabelled == ""
    assert listing.labels.dtype == torch.bool
    assert listing.labels.int().tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 1]]
    tabs = "a.jpg\tcat|dog\nb.jpg\t\n"
    assert opened(tmp_path / "l.txt", "classes", tabs).train.labels.tolist() == [
        [True] * 2,
        [False] * 2,
    ]


def test_values(tmp_path):
    text = "path,label\na.jpg,1.5\nb.jpg,-2\nc.jpg,1.5\n"
    listing = opened(tmp_path / "l.csv", "value", text).train
    assert listing.labels.tolist() == [1.5, -2, 1.5] and listing.classes == ()
    assert opened(tmp_path / "m.csv", "class", text).train.classes == ("-2", "1.5")
    with pytest.raises(ValueError, match="'nan' is no number"):
        opened(tmp_path / "n.csv", "value", text.replace("-2", "nan"))
    with pytest.raises(ValueError, match="'3e38' is no number, or none below"):
        opened(tmp_path / "n.csv", "value", text.replace("-2", "3e38"))
    bare = opened(tmp_path / "o.csv", "value", "path\na.jpg\n").train
    assert bare.labels is None and "1 of 1 samples have no value" in bare.unlabelled


def test_labels_stay_with_their_samples_when_some_are_held_out(tmp_path):
    names = [f"{number}.jpg" for number in range(100)]
    for kind, label in [
        ("class", lambda n: f"c{n % 3}"),
        ("classes", lambda n: "even|all" if n % 2 == 0 else "all"),
        ("value", lambda n: f"{n / 2}"),
    ]:
        text = "path,label\n" + "".join(f"{n},{label(i)}\n" for i, n in enumerate(names))
        train, held = opened(tmp_path / f"{kind}.csv", kind, text, held_out_share=0.3)
        assert len(train) + len(held) == 100 and len(held) > 10
        for listing in (train, held):
            for index in range(len(listing)):
                number = int(listing.path(index).rsplit("/", 1)[1].removesuffix(".jpg"))
                found = listing.labels[index]
                if kind == "class":
                    assert listing.classes[found] == label(number)
                elif kind == "classes":
                    assert found.tolist() == [True, number % 2 == 0]
                else:
                    assert found == number / 2


def test_a_label_for_some_samples_only_is_a_mistake_but_of_several_classes(tmp_path):
    text = "path,label\na.jpg,cat\nb.jpg,\n"
    with pytest.raises(ValueError, match="line 3: some samples have a label, some have none"):
        opened(tmp_path / "l.csv", "class", text)
    assert opened(tmp_path / "l.csv", "classes", text).train.labels.tolist() == [[True], [False]]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "2", "0"], ("0", "2", "10")),
        (["10", "-1", "02", "2"], ("-1", "02", "2", "10")),
        (["10", "2", "cat"], ("10", "2", "cat")),
        (["10", "2", "1.5"], ("1.5", "10", "2")),
    ],
)
def test_integers_are_sorted_as_such(tmp_path, labels, classes):
    text = "path,label\n" + "".join(f"{label}.jpg,{label}\n" for label in labels)
    for kind in ("class", "classes"):
        assert opened(tmp_path / "l.csv", kind, text).train.classes == classes


def test_indices_are_their_own_numbers(tmp_path):
    text = "path,label\n" + "".join(f"{index}.jpg,{index}\n" for index in reversed(range(120)))
    assert opened(tmp_path / "l.csv", "class", text).train.labels.tolist() == [*range(119, -1, -1)]
