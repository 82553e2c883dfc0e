import os
import sys

import pytest
from PIL import Image

from maskedae.datasets import images
from maskedae.doctor.checkup import Checkup
from maskedae.doctor.inspection import Inspector
from maskedae.doctor.journal import Journal
from maskedae.scanning import Rows

LIMIT = 2  # seconds
SICK = """
import os, signal, time
from dataclasses import dataclass
from maskedae.doctor.inspection import Inspector

@dataclass(frozen=True)
class Sick(Inspector):
    def __call__(self, path):
        name = os.path.basename(path)
        if name.startswith("hangs"):
            time.sleep(1000)
        if name.startswith("crashes"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().__call__(path)
"""


@pytest.fixture
def inspector(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "sick_inspector.py").write_text(SICK)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("sick_inspector").Sick(("images",))
    sys.modules.pop("sick_inspector")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("a", "b", "c", "hangs", "crashes"):
        Image.new("RGB", (4, 4)).save(tmp_path / "data" / f"{name}.png")
    (tmp_path / "data" / "empty.png").touch()
    return str(tmp_path / "data")


def check(folder, inspector, stop_after=None, keep=False):
    """Which files were read, and what came of it."""
    checkup = Checkup(folder, inspector, keep)
    with Journal(checkup.root, inspector.stamp()) as journal:
        checkup.recall(journal)
        left = [os.path.basename(checkup.paths[index]) for index in checkup.left]
        for done in checkup.read(2, LIMIT, journal):
            if done == stop_after:
                break
    return left, checkup.facts()


def test_what_hangs_or_crashes_is_named_and_the_rest_goes_on(folder, inspector):
    _, facts = check(folder, inspector)
    bad = {os.path.basename(item["path"]): item["reason"] for item in facts["bad"]}
    assert bad == {
        "crashes.png": "the process that read it died of SIGSEGV",
        "empty.png": "empty file",
        "hangs.png": "took longer than 2 s",
    }
    assert facts["kinds"]["image"]["count"] == 3


def test_only_what_is_new_or_changed_is_read_again(folder, inspector):
    _, before = check(folder, inspector)
    os.utime(os.path.join(folder, "b.png"), (1, 1))
    Image.new("RGB", (4, 4)).save(os.path.join(folder, "new.png"))
    left, after = check(folder, inspector)
    # Whether a file hangs depends on more than the file.
    assert left == ["b.png", "crashes.png", "hangs.png", "new.png"]
    assert after["remembered"] == 3 and before["bad"] == after["bad"]
    assert after["kinds"]["image"]["count"] == 4


def test_a_check_that_was_stopped_goes_on(folder, inspector):
    for name in ("hangs.png", "crashes.png"):  # which are not remembered, and may be the first
        os.remove(os.path.join(folder, name))
    check(folder, inspector, stop_after=2)
    _, facts = check(folder, inspector)
    assert facts["remembered"] == 2 and facts["kinds"]["image"]["count"] == 3


def test_sums_are_read_after_a_check_without_them(tmp_path, folder, inspector):
    for name in ("hangs.png", "crashes.png"):
        os.remove(os.path.join(folder, name))
    check(folder, inspector)
    with_sums = type(inspector)(("images",), sums=True)
    left, facts = check(folder, with_sums, keep=True)
    assert left == ["a.png", "b.png", "c.png"], "what is bad has no sums"
    assert facts["kinds"]["image"]["mean"] == [0, 0, 0]
    assert [os.path.basename(item["path"]) for item in facts["reports"]] == [*left, "empty.png"]
    left, facts = check(folder, inspector)
    assert left == [], "what has sums does for a check without"


def test_folders_beside_train_are_named(folder, inspector, tmp_path):
    for name in ("train", "val", "test"):
        (tmp_path / "split" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "split" / name / "a.png")
    checkup = Checkup(str(tmp_path / "split"), inspector)
    assert checkup.facts()["beside"] == [str(tmp_path / "split" / "test")]
    assert Checkup(folder, inspector).facts()["beside"] == []


def test_samples_of_several_classes(tmp_path, monkeypatch):
    def listed(root, wanted):
        rows = Rows(root, listed=True)
        rows.names, rows.notes = ("x", "y", "z"), ["a note"]
        for name, group in (("a", "0|2"), ("b", "2"), ("c", "0|2")):
            rows.add(f"{name}.png".encode(), group)
        return rows, None

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(images, "LAYOUTS", (listed,), raising=False)
    for name in "abc":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    _, facts = check(str(tmp_path), Inspector(("images",)))
    counts = {name: counts["train"] for name, counts in facts["labels"]["classes"].items()}
    assert counts == {"x": 2, "y": 0, "z": 3} and facts["notes"] == ["a note"]
    assert len(facts["copies"]["in several classes"]) == 1
