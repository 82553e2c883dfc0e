"""Collections of sounds as their authors lay them out."""

import json
import os

import pytest
import torch

from maskedae.datasets.audio.corpora import Corpora
from maskedae.labelling import SeveralLabels
from maskedae.listing import list_named, open_splits
from maskedae.scanning import Wanted

NAMES = (
    'index,mid,display_name\n0,/m/b,"Speech; or song"\n1,/m/a,"Fire engine, truck"\n2,/t/c,Hum\n'
)
HEAD = "# made today\n# num_ytids=3\n# YTID, start_seconds, end_seconds, positive_labels\n"
ID = "-0RWZT_miF"  # and a letter


def wanted(labels="class", **options):
    extensions = frozenset({".wav", ".flac"})
    return Wanted(extensions, lambda head: False, labels, layouts=(Corpora(**options),))


def plant(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(listing, root):
    return [os.path.relpath(listing.path(i), root) for i in range(len(listing))]


def labelled(listing, root):
    found = listing.labels
    rows = [[i] for i in found.tolist()] if found.ndim == 1 else [r.nonzero()[:, 0] for r in found]
    words = ["|".join(listing.classes[i] for i in row) for row in rows]
    return dict(zip(names(listing, root), words, strict=True))


def write_esc(root, lines, folder="audio"):
    head = "\ufefffilename,fold,target,category,esc10,src_file,take\r\n"
    (root / "meta").mkdir(parents=True)
    body = "".join(f"{line},False,1,A\r\n\r\n" for line in lines)
    (root / "meta/esc50.csv").write_text(head + body, newline="")
    plant(root, *(f"{folder}/{line.split(',')[0]}" for line in lines))
    return root


ESC = ["1-b.wav,1,1,dog", "1-a.wav,1,0,zebra", "2-a.wav,2,0,zebra", "3-b.wav,3,1,dog"]


@pytest.mark.parametrize("folder", ["audio", "audio_16k"])
def test_esc_folds(tmp_path, folder):
    root = write_esc(tmp_path, ESC, folder)
    train, held_out = open_splits(str(root), wanted(fold=1))
    assert train.classes == held_out.classes == ("zebra", "dog")  # by number, not by name
    assert labelled(held_out, root / folder) == {"1-b.wav": "dog", "1-a.wav": "zebra"}
    assert labelled(train, root / folder) == {"2-a.wav": "zebra", "3-b.wav": "dog"}
    assert "fold 1 of 1, 2, 3 is held out" in train.remarks
    assert names(open_splits(str(root), wanted()).held_out, root) == [f"{folder}/3-b.wav"]
    assert len(list_named([str(root)], wanted())) == 4
    (root / folder / "2-a.wav").unlink()
    train = open_splits(str(root), wanted(fold=1)).train
    assert train.ignored == {"listed, but not there": 1} and len(train) == 1


@pytest.mark.parametrize(
    ("lines", "fold", "words"),
    [
        (ESC, 6, "no fold 6; there are 1, 2, 3"),
        ([*ESC, "4.wav,one,1,dog"], 1, r"line 10: '4.wav', 'one', '1', 'dog' are no"),
        ([*ESC, "4.wav,1,0,dog"], 1, "line 10: target 0 is dog, and zebra"),
        ([*ESC, "4.wav,1,2,dog"], 1, "line 10: dog is target 2, and 1"),
        ([], 1, "lists no samples"),
    ],
)
def test_esc_that_cannot_be_read(tmp_path, lines, fold, words):
    root = write_esc(tmp_path, lines)
    with pytest.raises(ValueError, match=words) as caught:
        open_splits(str(root), wanted(fold=fold))
    assert "esc50.csv" in str(caught.value)


@pytest.fixture
def words(tmp_path):
    plant(tmp_path, *(f"{word}/{i}_nohash_0.wav" for word in ("yes", "no") for i in range(4)))
    plant(tmp_path, "_background_noise_/tap.wav", "README.md")
    (tmp_path / "validation_list.txt").write_bytes(b"yes/0_nohash_0.wav\r\nno/3_nohash_0.wav\r\n")
    (tmp_path / "testing_list.txt").write_text("no/1_nohash_0.wav\nno/gone.wav\n")
    return tmp_path


def test_speech_commands(words):
    train, held_out = open_splits(str(words), wanted())
    assert labelled(held_out, words) == {"yes/0_nohash_0.wav": "yes", "no/3_nohash_0.wav": "no"}
    assert len(train) == 5 and train.classes == ("no", "yes")
    assert train.ignored["background noise"] == 1 and not held_out.ignored
    again, test = open_splits(str(words), wanted(test=True))
    assert names(again, words) == names(train, words)
    assert names(test, words) == ["no/1_nohash_0.wav"]
    assert test.ignored == {"listed, but not there": 1}


def test_speech_commands_without_a_held_out_file(words):
    (words / "testing_list.txt").write_text("no/gone.wav\n")
    assert len(open_splits(str(words), wanted()).train) == 6
    with pytest.raises(ValueError, match=r"testing_list.txt: .* 1 x listed, but not there"):
        open_splits(str(words), wanted(test=True))


@pytest.mark.parametrize("name", ["iden_split.txt", "veri_test_class.txt"])
def test_voxceleb(tmp_path, name):
    plant(tmp_path, "dev/wav/id1/f_a/00001.wav", "dev/wav/id1/f_a/00002.wav")
    plant(tmp_path, "test/wav/id2/gb/00001.flac", "dev/wav/id2/gb/00003.wav")
    lines = ["1 id1/f_a/00001.wav", "2 id1/f_a/00002.wav", "3 id2/gb/00001.wav", ""]
    (tmp_path / name).write_text("\n".join([*lines, "1 id2/gb/00003.wav", "1 id2/x/1.wav"]))
    train, held_out = open_splits(str(tmp_path), wanted())
    expected = {"dev/wav/id1/f_a/00001.wav": "id1", "dev/wav/id2/gb/00003.wav": "id2"}
    assert labelled(train, tmp_path) == expected
    assert train.ignored == {"listed, but not there": 1}
    assert labelled(held_out, tmp_path) == {"dev/wav/id1/f_a/00002.wav": "id1"}
    test = open_splits(str(tmp_path), wanted(test=True)).held_out
    assert labelled(test, tmp_path) == {"test/wav/id2/gb/00001.flac": "id2"}
    (tmp_path / name).write_text("1 id1/f_a/00001.wav\n4 id1/f_a/00001.wav\n")
    with pytest.raises(ValueError, match="line 2: .* is not 1, 2 or 3 and a path"):
        open_splits(str(tmp_path), wanted())


def write_json(path, *entries):
    data = [dict(zip(("wav", "labels"), entry, strict=False)) for entry in entries]
    path.write_text(json.dumps({"data": data}), encoding="utf-8-sig")
    return str(path)


@pytest.fixture
def audioset(tmp_path):
    (tmp_path / "class_labels_indices.csv").write_text(NAMES)
    plant(tmp_path, "lists/1.wav", "lists/sub/2.flac", "far/3.wav")
    return tmp_path


def test_json(audioset):
    entries = [("1.wav", "/m/a,/m/b"), (f"{audioset}/far/3.wav", "/t/c"), ("sub/2.flac", " /m/b ")]
    path = write_json(audioset / "lists/train.json", *entries, ("gone.wav", "/m/a"))
    train, held_out = open_splits(path, wanted("classes"), held_out_share=0.0)
    assert train.classes == ("Speech; or song", "Fire engine, truck", "Hum")
    assert train.labels.dtype == torch.bool and held_out is None
    first, second, third = labelled(train, audioset).items()
    assert first == ("lists/1.wav", "Speech; or song|Fire engine, truck")
    assert second == ("far/3.wav", "Hum") and third == ("lists/sub/2.flac", "Speech; or song")
    assert "3 of 4 in train.json are there" in train.remarks
    assert len(list_named([path], wanted())) == 3


def test_copies_of_a_collection_are_told_apart(audioset):
    def remarks(*entries):
        path = write_json(audioset / "lists/train.json", *((name, "/m/a") for name in entries))
        return open_splits(path, wanted(), held_out_share=0.0).train.remarks

    assert remarks("1.wav", "sub/2.flac") == remarks("sub/2.flac", "1.wav")
    assert remarks("1.wav", "../far/3.wav") != remarks("1.wav", "sub/2.flac")


def test_one_class_each_or_several(audioset):
    path = write_json(audioset / "lists/a.json", ("1.wav", "/m/b"), ("sub/2.flac", "/m/a"))
    assert open_splits(path, wanted(), held_out_share=0.0).train.labels.tolist() == [0, 1]
    path = write_json(audioset / "lists/b.json", ("1.wav", "/m/b"), ("sub/2.flac", "/m/a,/m/b"))
    with pytest.raises(SeveralLabels, match=r"2.flac has several .* data.labels=classes would fit"):
        open_splits(path, wanted())
    with pytest.raises(ValueError, match="labels are classes there; data.labels=class would fit"):
        open_splits(path, wanted("value"))


def test_without_labels_or_names_of_classes(audioset):
    path = write_json(audioset / "lists/a.json", ("1.wav",), ("sub/2.flac", ""))
    train = open_splits(path, wanted()).train
    assert train.labels is None and len(train) == 2
    (audioset / "class_labels_indices.csv").unlink()
    entries = [("1.wav", "/m/b,/t/c"), ("sub/2.flac", "/m/a"), ("../far/3.wav", "")]
    path = write_json(audioset / "lists/a.json", *entries)
    train = open_splits(path, wanted("classes"), held_out_share=0.0).train
    assert train.classes == ("/m/a", "/m/b", "/t/c") and "by their MIDs" in train.remarks
    assert train.labels.tolist() == [[False, True, True], [True, False, False], [False] * 3]


def test_files_of_class_names(audioset):
    path = write_json(audioset / "lists/a.json", ("1.wav", "/m/b"))
    other = audioset / "lists/esc_class_labels_indices.csv"
    other.write_text('index,mid,display_name\r\n0,"/m/b","Bee"\r\n', newline="")
    assert open_splits(path, wanted()).train.classes == ("Bee",)
    (audioset / "lists/spc_class_labels_indices.csv").write_text(NAMES)
    with pytest.raises(ValueError, match="esc_.*, spc_.*: --data.label_names=FILE"):
        open_splits(path, wanted())
    assert open_splits(path, wanted(label_names=str(other))).train.classes == ("Bee",)
    with pytest.raises(FileNotFoundError, match="data.label_names: there is no file nowhere"):
        open_splits(path, wanted(label_names="nowhere"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mid,name\n", "first line is .*; index,mid,display_name would fit"),
        ("index,mid,display_name\n", "names no classes"),
        ("index,mid,display_name\n0,a,A\n2,b,B\n", "line 3: .* is not 1, a MID and a name"),
        ("index,mid,display_name\n0,a,A\n1,a,B\n", "line 3: 'a' is class 0, too"),
        ("index,mid,display_name\n0,a,A\n1,b,A\n", "line 3: 'A' is class 0, too"),
    ],
)
def test_class_names_that_make_no_sense(audioset, text, words):
    (audioset / "class_labels_indices.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        open_splits(write_json(audioset / "lists/a.json", ("1.wav", "a")), wanted())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON: .*line 1"),
        ("[]", "is no list of sounds"),
        ('{"data": []}', "lists no samples"),
        ('{"data": [{"wav": "1.wav"}, {"video": "x"}]}', "entry 2: .*'video': 'x'.* is not .*wav"),
        ('{"data": [{"wav": "1.wav", "labels": ["a"]}]}', "entry 1: "),
        ('{"data": [{"wav": "1.wav", "labels": "/m/d"}]}', "entry 1: .*names no class '/m/d'; did"),
        ('{"data": [{"wav": "x.wav"}]}', "nothing that it lists is there; looked for .*x.wav"),
        (
            '{"data": [{"wav": "1.wav", "labels": "/m/a"}, {"wav": "sub/2.flac"}]}',
            "entry 2: some sounds have labels, some have none",
        ),
    ],
)
def test_json_that_cannot_be_read(audioset, text, words):
    (audioset / "lists/a.json").write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        open_splits(str(audioset / "lists/a.json"), wanted())
    assert "a.json" in str(caught.value)


def test_what_is_listed_twice_counts_once(audioset):
    entries = [("1.wav", "/m/a"), ("sub/2.flac", "/m/b"), ("1.wav", "/m/a")]
    path = write_json(audioset / "lists/a.json", *entries)
    train = open_splits(path, wanted(), held_out_share=0.0).train
    assert len(train) == 2 and train.ignored == {"listed twice": 1}
    assert "first at" in train.remarks and "entry 3" in train.remarks


def test_weights_of_samples(audioset):
    entries = [("1.wav", "/m/a"), ("gone.wav", "/m/a"), ("sub/2.flac", "/m/b")]
    path = write_json(audioset / "lists/train.json", *entries)
    weights = audioset / "lists/train_weight.csv"
    assert open_splits(path, wanted(weighted=True)).train.weights is None
    weights.write_text("0.5\n1e-3\n\n2\n")
    assert open_splits(path, wanted()).train.weights is None
    train = open_splits(path, wanted(weighted=True), held_out_share=0.0).train
    assert train.weights.tolist() == [0.5, 2.0] and train.weights.dtype == torch.float64
    assert train.pick(torch.tensor([False, True]).numpy()).weights.tolist() == [2.0]
    both = open_splits([path, str(audioset / "lists/sub")], wanted(weighted=True)).train
    assert both.weights is None
    for text, words in (("1\n2\n", "2 weights for 3 entries"), ("1\nx\n", "line 2: 'x' is no")):
        weights.write_text(text)
        with pytest.raises(ValueError, match=words):
            open_splits(path, wanted(weighted=True))


@pytest.mark.parametrize(
    "name",
    ["{}", "Y{}", "{}_30", "{}_30.000_40.000", "{}_30000_40000", "{}_000030_000040", "{}_30-40"]
    + ["deep/er/{}_30.5"],
)
def test_files_of_segments(audioset, name):
    plant(audioset, f"eval/{name.format(ID + 'g')}.flac", f"eval/{ID}g_110_120.wav", "eval/x.wav")
    plant(audioset, f"eval/{ID}h_30_40.wav")
    lines = f'{ID}g, 30.000, 40.000, "/m/a,/t/c"\n\n{ID}k, 0.000, 10.000, "/m/a"\n'
    (audioset / "eval/list.csv").write_text(HEAD + lines)
    train = open_splits(str(audioset / "eval/list.csv"), wanted("classes")).train
    expected = {f"{name.format(ID + 'g')}.flac": "Fire engine, truck|Hum"}
    assert labelled(train, audioset / "eval") == expected
    assert "1 of 2 in list.csv are there" in train.remarks


def test_several_segments_of_a_film(audioset):
    plant(audioset, *(f"{ID}g_{start}.wav" for start in (30, 0, 110)))
    lines = [f'{ID}g, {start}.000, 1, "/m/a"' for start in (110, 30, 30, 50)]
    text = "YTID,start_seconds,end_seconds,positive_labels\r\n" + "\r\n".join(lines)
    (audioset / "list.csv").write_text("\ufeff" + text, newline="")
    train = open_splits(str(audioset / "list.csv"), wanted(), held_out_share=0.0).train
    assert names(train, audioset) == [f"{ID}g_110.wav", f"{ID}g_30.wav"]
    assert train.ignored["listed, but not there"] == train.ignored["listed twice"] == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f'{ID}g, 30.000, 40.000, "/m/d"', "line 4: .* names no class '/m/d'; did you mean"),
        (f'{ID}g, soon, 40.000, "/m/a"', "line 4: .* is not such as"),
        (f"{ID}g, 30.000", "line 4: .* is not such as"),
        (f'{ID}h, 30.000, 40.000, "/m/a"', "nothing that it lists is there; .*found 3 of other"),
        ("", "lists no samples"),
    ],
)
def test_segments_that_cannot_be_read(audioset, line, words):
    (audioset / "list.csv").write_text(HEAD + line + "\n")
    with pytest.raises(ValueError, match=words) as caught:
        open_splits(str(audioset / "list.csv"), wanted())
    assert "list.csv" in str(caught.value)


def test_other_roots_are_left_to_others(tmp_path):
    plant(tmp_path, "folder/a/1.wav", "folder/b/2.wav")
    (tmp_path / "list.csv").write_text("path,label\nfolder/a/1.wav,a\nfolder/b/2.wav,b\n")
    for root in ("folder", "list.csv"):
        train = open_splits(str(tmp_path / root), wanted(), held_out_share=0.0).train
        assert train.classes == ("a", "b") and len(train) == 2


def test_a_held_out_root_is_what_it_holds_out(tmp_path, audioset):
    esc = write_esc(tmp_path / "esc", ESC)
    path = write_json(audioset / "lists/a.json", ("1.wav", "/m/b"))
    train, held_out = open_splits(path, wanted(fold=1), val_root=str(esc))
    assert len(train) == 1 and len(held_out) == 2
    assert train.classes == ("Speech; or song", "Fire engine, truck", "Hum", "zebra", "dog")
    assert held_out.labels.tolist() == [4, 3]
