import os
import pickle
import random
from multiprocessing.reduction import ForkingPickler

import pytest
import torch

from maskedae.labelling import class_names
from maskedae.listing import list_named, open_splits, pack
from maskedae.scanning import Rows, Wanted

WANTED = Wanted(frozenset({".jpg"}), lambda head: head.startswith(b"JPEG"))


def plant(root, *names, content=b"JPEG"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def names(listing, root):
    return [os.path.relpath(listing.path(i), root) for i in range(len(listing))]


def labelled(listing):
    return {
        os.path.basename(listing.path(i)): listing.classes[label]
        for i, label in enumerate(listing.labels.tolist())
    }


def rows_of(count):
    rows = Rows("/data")
    for i in range(count):
        rows.add(b"class %03d/picture %08d.jpg" % (i % 100, i), f"class {i % 100:03d}")
    return rows


def test_topmost_folder_is_the_class(tmp_path):
    plant(tmp_path, "dog/b.jpg", "cat/deep/er/a.jpg", "cat/c.jpg")
    train, held_out = open_splits([str(tmp_path)], WANTED)
    assert names(train, tmp_path) == ["cat/c.jpg", "cat/deep/er/a.jpg", "dog/b.jpg"]
    assert train.classes == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 1]
    assert held_out is None and train.shares == [(3, 3.0)] and not train.unlabelled


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (["a.jpg", "b.jpg"], "no sub-folders"),
        (["cat/a.jpg", "cat/b.jpg"], "one folder, cat"),
        (["cat/a.jpg", "dog/b.jpg", "stray.jpg"], "1 of 3"),
    ],
)
def test_says_why_there_are_no_labels(tmp_path, files, why):
    plant(tmp_path, *files)
    train, held_out = open_splits([str(tmp_path)], WANTED, held_out_share=0.9)
    assert (train.labels, train.classes, held_out) == (None, (), None)
    assert why in train.unlabelled and len(train) == len(files)


def test_what_is_no_sample_is_ignored_and_counted(tmp_path):
    plant(tmp_path, "a.JPG", ".hidden.jpg", "bare", "folder.jpg/inside.jpg")
    plant(tmp_path, "._a.jpg", "Thumbs.db", ".DS_Store", "b.TXT", ".git/c.jpg", "sub/.DS_Store")
    plant(tmp_path, "LICENSE", content=b"text")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    train = open_splits([str(tmp_path)], WANTED).train
    assert names(train, tmp_path) == [".hidden.jpg", "a.JPG", "bare", "folder.jpg/inside.jpg"]
    assert train.ignored == {
        "system file": 4,
        ".txt": 1,
        "hidden folder": 1,
        "file without extension": 1,
        "broken link": 1,
        "pipe, socket or device": 1,
    }


def test_links_are_followed_but_not_in_circles(tmp_path):
    plant(tmp_path, "far/x.jpg", "root/a/y.jpg")
    (tmp_path / "root/b").symlink_to(tmp_path / "far")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/self").symlink_to(tmp_path / "root/self")
    train = open_splits([str(tmp_path / "root")], WANTED).train
    assert names(train, tmp_path / "root") == ["a/y.jpg", "b/x.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_any_bytes_make_a_name(tmp_path):
    odd = os.fsdecode(b"\xff\xfe new\nline \xe6\x97\xa5.jpg")
    plant(tmp_path, odd, "snowman \u2603.jpg")
    train = open_splits([str(tmp_path)], WANTED).train
    assert set(names(train, tmp_path)) == {odd, "snowman \u2603.jpg"}
    assert all(os.path.exists(train.path(i)) for i in range(2))


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_split_folders(tmp_path, name):
    plant(tmp_path, "train/ant/a.jpg", "train/bee/b.jpg", f"{name}/bee/c.jpg", "other/d.jpg")
    train, held_out = open_splits([str(tmp_path)], WANTED)
    assert labelled(train) == {"a.jpg": "ant", "b.jpg": "bee"}
    assert labelled(held_out) == {"c.jpg": "bee"}
    assert held_out.classes == train.classes


def test_train_alone_is_the_root_unless_it_is_a_class(tmp_path):
    plant(tmp_path / "one", "train/ant/a.jpg", "train/bee/b.jpg")
    plant(tmp_path / "two", "train/a.jpg", "bus/b.jpg")
    assert open_splits([str(tmp_path / "one")], WANTED).train.classes == ("ant", "bee")
    assert open_splits([str(tmp_path / "two")], WANTED).train.classes == ("bus", "train")


def test_val_root_overrides_the_split_folders(tmp_path):
    plant(tmp_path, "x/train/ant/a.jpg", "x/train/bee/b.jpg", "x/val/bee/c.jpg", "y/ant/d.jpg")
    held_out = open_splits([str(tmp_path / "x")], WANTED, val_root=str(tmp_path / "y")).held_out
    assert labelled(held_out) == {"d.jpg": "ant"}


def test_held_out_share_is_disjoint_and_stays_when_files_come(tmp_path):
    plant(tmp_path, *(f"{kind}/{i}.jpg" for kind in "ab" for i in range(200)))

    def split():
        parts = open_splits([str(tmp_path)], WANTED, held_out_share=0.2)
        return [set(names(part, tmp_path)) for part in parts]

    train, held_out = split()
    assert not train & held_out and len(train | held_out) == 400
    assert 50 <= len(held_out) <= 110
    plant(tmp_path, *(f"a/new {i}.jpg" for i in range(200)))
    more_train, more_held_out = split()
    assert train < more_train and held_out < more_held_out


def test_pick_keeps_paths_labels_and_roots_together(tmp_path):
    plant(
        tmp_path, *(f"{root}/{kind}/{root}{i}.jpg" for root in "xy" for kind in "ab" for i in "12")
    )
    whole = open_splits([str(tmp_path / "x"), str(tmp_path / "y")], WANTED, weights=[3, 1]).train
    chosen = torch.tensor([0, 0, 1, 0, 0, 1, 1, 0]).bool().numpy()
    part = whole.pick(chosen)
    assert names(part, tmp_path) == ["x/b/x1.jpg", "y/a/y2.jpg", "y/b/y1.jpg"]
    assert part.labels.tolist() == [1, 0, 1]
    assert part.shares == [(1, 3.0), (2, 1.0)]
    chosen[2] = False
    assert whole.pick(chosen).shares == [(2, 1.0)]
    assert names(whole.pick(chosen), tmp_path) == ["y/a/y2.jpg", "y/b/y1.jpg"]


def test_roots_share_classes_by_name(tmp_path):
    plant(tmp_path / "x", "dog/1.jpg", "ant/2.jpg")
    plant(tmp_path / "y", "cat/3.jpg", "dog/4.jpg", "dog/5.jpg")
    roots = [str(tmp_path / "x"), str(tmp_path / "y")]
    train = open_splits(roots, WANTED).train
    assert train.classes == ("ant", "cat", "dog")
    assert labelled(train)["4.jpg"] == labelled(train)["1.jpg"] == "dog"
    assert train.shares == [(2, 2.0), (3, 3.0)]
    assert open_splits(roots, WANTED, weights=[1, 1]).train.shares == [(2, 1.0), (3, 1.0)]


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, float("nan")], [1.0, -1.0]])
def test_weights_that_make_no_sense(tmp_path, weights):
    plant(tmp_path, "a.jpg")
    with pytest.raises(ValueError, match="2 roots need as many positive weights"):
        open_splits([str(tmp_path)] * 2, WANTED, weights=weights)


def test_text_list(tmp_path):
    lines = b"\xef\xbb\xbfsub/a b.jpg\tcat\r\n\r\n/else/where.jpg\tdog\nodd \xff.jpg\tcat\n"
    (tmp_path / "list.txt").write_bytes(lines)
    train = open_splits([str(tmp_path / "list.txt")], WANTED).train
    paths = [os.fsencode(train.path(i)) for i in range(3)]
    top = os.fsencode(tmp_path)
    assert paths == [top + b"/sub/a b.jpg", b"/else/where.jpg", top + b"/odd \xff.jpg"]
    assert train.classes == ("cat", "dog") and train.labels.tolist() == [0, 1, 0]


def test_csv_list(tmp_path):
    text = 'label,path,more\n2,"a,""b"".jpg",x\n1,c.jpg,y\n'
    (tmp_path / "list.csv").write_text(text, encoding="utf-8-sig")
    train = open_splits([str(tmp_path / "list.csv")], WANTED).train
    assert names(train, tmp_path) == ['a,"b".jpg', "c.jpg"]
    assert train.classes == ("1", "2") and train.labels.tolist() == [1, 0]


def test_lists_without_labels_or_with_one_class(tmp_path):
    (tmp_path / "none.txt").write_text("cat/a.jpg\ndog/b.jpg\n")
    (tmp_path / "one.txt").write_text("a.jpg\tcat\nb.jpg\tcat\n")
    assert open_splits([str(tmp_path / "none.txt")], WANTED).train.labels is None
    one = open_splits([str(tmp_path / "one.txt")], WANTED).train
    assert one.classes == ("cat",) and one.labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("a.csv", "file,label\nx.jpg,1\n", ValueError, "no column 'path', but .*'file'"),
        ("a.csv", "", ValueError, "no column 'path'"),
        ("a.csv", "path\n", ValueError, "lists no samples"),
        ("a.csv", "path,label\n,1\n", ValueError, "line 2: no path"),
        ("a.txt", "x.jpg\tcat\ny.jpg\n", ValueError, "line 2: some samples have a label"),
        ("a.txt", "\n", ValueError, "lists no samples"),
        ("a.json", "{}", ValueError, "neither a folder nor"),
        (None, None, FileNotFoundError, "does not exist"),
    ],
)
def test_roots_that_cannot_be_read_are_named(tmp_path, name, text, error, words):
    root = tmp_path / (name or "missing")
    if text is not None:
        root.write_text(text)
    with pytest.raises(error, match=words) as caught:
        open_splits([str(root)], WANTED)
    assert str(root) in str(caught.value)


def test_folder_without_samples_says_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match=r"looked for \.jpg, found nothing at all") as caught:
        open_splits([str(tmp_path)], WANTED)
    assert str(tmp_path) in str(caught.value)
    plant(tmp_path, "a.mp4", "b.MP4", "c.txt")
    with pytest.raises(ValueError, match=r"found 2 x \.mp4, 1 x \.txt"):
        open_splits([str(tmp_path)], WANTED)


def test_named_files_keep_their_order(tmp_path):
    plant(tmp_path, "z.jpg", "a.xyz", "folder/2.jpg", "folder/1.jpg")
    paths = [str(tmp_path / name) for name in ("z.jpg", "a.xyz", "folder", "z.jpg")]
    listing = list_named(paths, WANTED)
    assert names(listing, tmp_path) == ["z.jpg", "a.xyz", "folder/1.jpg", "folder/2.jpg", "z.jpg"]
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        list_named([str(tmp_path / "missing.jpg")], WANTED)


def test_bounds(tmp_path):
    plant(tmp_path, "a.jpg")
    train = open_splits([str(tmp_path)], WANTED).train
    for index in (-1, 1):
        with pytest.raises(IndexError):
            train.path(index)


def test_many_rows_are_three_tensors():
    rows = rows_of(200_000)
    listing = pack([rows], class_names([rows]))
    tensors = (listing.text, listing.offsets, listing.labels)
    assert sum(tensor.nbytes for tensor in tensors) / len(listing) < 56  # 34 of them its path
    index = random.Random(0).randrange(200_000)
    assert listing.path(index) == f"/data/class {index % 100:03d}/picture {index:08d}.jpg"
    assert listing.classes[listing.labels[index]] == f"class {index % 100:03d}"
    # To a worker go handles of shared memory; even a plain pickle is bytes, not objects.
    assert len(ForkingPickler.dumps(listing)) < 8_000
    copy = pickle.loads(pickle.dumps(listing))
    assert copy.path(index) == listing.path(index)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_the_rows(method):
    rows = rows_of(1000)
    listing = pack([rows], class_names([rows]))
    with torch.multiprocessing.get_context(method).Pool(1) as pool:
        paths = pool.map(listing.path, [0, 999])
    assert paths == [listing.path(0), listing.path(999)]
    assert listing.text.is_shared() and listing.offsets.is_shared()
