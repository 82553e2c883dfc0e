"""Folders of frames are samples."""

import os

import pytest

from maskedae.listing import list_named, open_splits
from maskedae.scanning import Wanted

WANTED = Wanted(
    frozenset({".mp4"}), lambda head: head.startswith(b"MP4"), leaves=frozenset({".jpg", ".png"})
)


def plant(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(listing, root):
    return [os.path.relpath(listing.path(i), root) for i in range(len(listing))]


def opened(root):
    return open_splits([str(root)], WANTED).train


def test_folders_of_frames_in_class_folders(tmp_path):
    plant(tmp_path, "dog/b/1.jpg", "dog/b/2.JPG", "dog/a/1.png", "cat/deep/er/1.jpg", "cat/f.mp4")
    listing = opened(tmp_path)
    assert names(listing, tmp_path) == ["cat/f.mp4", "cat/deep/er", "dog/a", "dog/b"]
    assert listing.classes == ("cat", "dog") and listing.labels.tolist() == [0, 0, 1, 1]
    assert listing.ignored == {}


def test_folders_of_frames_without_classes(tmp_path):
    plant(tmp_path, "a/1.jpg", "b/1.jpg", "film.mp4")
    listing = opened(tmp_path)
    assert names(listing, tmp_path) == ["film.mp4", "a", "b"]
    assert listing.labels is None and "in no class folder" in listing.unlabelled
    plant(tmp_path, "c/film.mp4", "d/x/1.jpg")
    assert "3 of 5 samples have none" in opened(tmp_path).unlabelled


def test_frames_next_to_other_samples_are_none(tmp_path):
    plant(tmp_path, "cover.jpg", "dog/1.jpg", "dog/2.jpg", "dog/3.png", "dog/film.mp4")
    plant(tmp_path, "cat/x.jpg", "cat/clip/1.jpg", "cat/clip/2.jpg", "cat/clip/notes.txt")
    plant(tmp_path, "cat/empty/notes.txt", "bee/clip/1.jpg", "bee/clip/more/notes.txt")
    listing = opened(tmp_path)
    assert names(listing, tmp_path) == ["bee/clip", "cat/clip", "dog/film.mp4"]
    assert listing.ignored == {".jpg": 4, ".png": 1, ".txt": 3}


def test_what_is_hidden_or_broken_is_no_frame(tmp_path):
    plant(tmp_path, "a/._1.jpg", "a/.cache/1.jpg", "b/1.jpg", "b/._1.jpg")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/1.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b/up").symlink_to(tmp_path)
    listing = opened(tmp_path)
    assert names(listing, tmp_path) == ["b"]
    assert listing.ignored == {
        "system file": 2,
        "hidden folder": 1,
        "broken link": 1,
        "link to a folder above it": 1,
    }


def test_a_root_of_frames_is_one_sample(tmp_path, monkeypatch):
    plant(tmp_path, "clip/1.jpg", "clip/2.jpg")
    monkeypatch.chdir(tmp_path / "clip")
    for root in (str(tmp_path / "clip"), str(tmp_path / "clip") + os.sep, os.curdir):
        listing = open_splits([root], WANTED).train
        assert [listing.path(0)] == [str(tmp_path / "clip")] and len(listing) == 1


def test_folders_of_frames_are_split(tmp_path):
    plant(tmp_path, "train/ant/a/1.jpg", "train/bee/b/1.jpg", "val/bee/c/1.jpg")
    train, held_out = open_splits([str(tmp_path)], WANTED)
    assert names(train, tmp_path) == ["train/ant/a", "train/bee/b"]
    assert names(held_out, tmp_path) == ["val/bee/c"] and held_out.labels.tolist() == [1]
    roots = [str(tmp_path / "val"), str(tmp_path / "train/ant")]
    held_out = open_splits([str(tmp_path / "train")], WANTED, val_root=roots).held_out
    assert names(held_out, tmp_path) == ["val/bee/c", "train/ant/a"]


def test_named_folders_of_frames(tmp_path):
    plant(tmp_path, "z/1.jpg", "z/2.jpg", "a/x/1.jpg", "a/y/1.jpg", "f.mp4")
    paths = [str(tmp_path / name) for name in ("z", "f.mp4", "a")]
    assert names(list_named(paths, WANTED), tmp_path) == ["z", "f.mp4", "a/x", "a/y"]


def test_without_leaves_frames_are_not_wanted(tmp_path):
    plant(tmp_path, "a/1.jpg", "a/2.jpg")
    with pytest.raises(ValueError, match=r"looked for \.mp4, found 2 x \.jpg"):
        open_splits([str(tmp_path)], WANTED._replace(leaves=frozenset()))
    plant(tmp_path / "b", "1.txt")
    with pytest.raises(ValueError, match=r"\.mp4 or folders of \.jpg \.png, found 1 x \.txt"):
        opened(tmp_path / "b")
