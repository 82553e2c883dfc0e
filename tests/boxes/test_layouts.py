"""Labels lie where the tools that people use put them."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from maskedae.datasets.boxes import Boxes
from maskedae.datasets.labels.labels import NO_TRAINING

sys.path.append(str(Path(__file__).parents[1]))
from making_boxes import WRITERS, coco, picture, voc_xml  # noqa: E402

SHAPE = (3, 30, 40)
COCO = json.dumps(coco([("a.png", 40, 30)], [(1, [1, 2, 3, 4], 10)]))
XML = voc_xml("a.png", [(1, 2, 4, 6, "cat")])
YOLO = "0 .5 .5 .5 .5\n"
CSV = "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,40,30,cat,1,2,4,6\n"
TREES = {
    "COCO itself": {
        "annotations/instances_train2017.json": COCO,
        "annotations/instances_val2017.json": COCO,
        "annotations/person_keypoints_train2017.json": "{",
        "train2017/a.png": None,
        "val2017/a.png": None,
    },
    "COCO with images/": {
        "annotations/instances_train2014.json": COCO,
        "annotations/instances_val2014.json": COCO,
        "images/train2014/a.png": None,
        "images/val2014/a.png": None,
    },
    "COCO of Roboflow": {
        "train/_annotations.coco.json": COCO,
        "train/a.png": None,
        "valid/_annotations.coco.json": COCO,
        "valid/a.png": None,
        "test/_annotations.coco.json": "{",
    },
    "COCO of two lists": {
        "train.json": COCO,
        "test.json": COCO,
        "images/a.png": None,
    },
    "YOLO itself": {
        "data.yaml": "path: ../set\ntrain: images/train\nval: images/val\ntest:\nnames: {0: cat}\n",
        "images/train/deep/a.png": None,
        "labels/train/deep/a.txt": YOLO,
        "images/val/a.png": None,
        "labels/val/a.txt": YOLO,
    },
    "YOLO of Roboflow": {
        "data.yaml": "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
        "nc: 1\nnames: ['cat']\n",
        "train/images/a.png": None,
        "train/labels/a.txt": YOLO,
        "valid/images/a.png": None,
        "valid/labels/a.txt": YOLO,
    },
    "YOLO of lists": {
        "data.yaml": "train: train.txt\nval: [val.txt]\nnames: [cat]\n",
        "train.txt": "./images/a.png\n",
        "val.txt": "images/b.png\n\n",
        "images/a.png": None,
        "labels/a.txt": YOLO,
        "images/b.png": None,
        "labels/b.txt": YOLO,
    },
    "YOLO without a list": {
        "classes.txt": "cat\n",
        "images/train/a.png": None,
        "labels/train/a.txt": YOLO,
        "images/test/a.png": None,
        "labels/test/a.txt": YOLO,
    },
    "VOC of 2007": {
        "JPEGImages/a.png": None,
        "JPEGImages/b.png": None,
        "Annotations/a.xml": XML,
        "Annotations/b.xml": XML,
        "ImageSets/Main/trainval.txt": "a\n",
        "ImageSets/Main/test.txt": "b  1\n",
        "ImageSets/Main/cat_train.txt": "a -1\n",
    },
    "VOC beside pictures": {
        "train/a.png": None,
        "train/a.xml": XML,
        "test/a.png": None,
        "test/a.xml": XML,
    },
    "VOC by folders": {
        "annotations/train/a.xml": XML,
        "annotations/val/a.xml": XML,
        "images/train/a.png": None,
        "images/val/a.png": None,
    },
    "tables of TensorFlow": {
        "train_labels.csv": CSV,
        "test_labels.csv": CSV,
        "images/a.png": None,
    },
}
WHOLE = {
    "COCO of CVAT": {"annotations/instances_default.json": COCO, "images/a.png": None},
    "COCO of FiftyOne": {"labels.json": COCO, "data/a.png": None},
    "YOLO of Label Studio": {
        "classes.txt": "cat\n",
        "images/a.png": None,
        "labels/a.txt": YOLO,
        "notes.json": "{}",
    },
    "YOLO of LabelImg": {"a.png": None, "a.txt": YOLO, "classes.txt": "cat\n"},
    "VOC of Kaggle": {"annotations/a.xml": XML, "images/a.png": None},
    "VOC of LabelImg": {"a.png": None, "a.xml": XML},
    "table": {"labels.csv": CSV, "a.png": None},
    "held out alone": {"val.json": COCO, "val/a.png": None},
}


def grow(root, tree):
    for name, text in tree.items():
        if text is None:
            picture(root / name)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)


@pytest.mark.parametrize("name", [*TREES, *WHOLE])
def test_layouts(tmp_path, name):
    grow(tmp_path / "set", (TREES | WHOLE)[name])
    data = Boxes(root=str(tmp_path / "set"))
    train, held = (data.source(split, SHAPE, False) for split in ("train", "held_out"))
    assert (held is None) == (name in WHOLE)
    alone = NO_TRAINING if name == "held out alone" else ""
    assert alone in train.remarks
    for source in filter(None, (train, held)):
        assert len(source) == 1 and source.classes[0] == "cat" and source.remarks == alone
        assert source.read(0).labels.tolist() == [0]
    shared = ("COCO of two lists", "tables of TensorFlow")  # these held out what they train on
    assert held is None or (held.name(0) == train.name(0)) == (name in shared)


@pytest.mark.parametrize("write", WRITERS)
def test_held_out_alone_stands_in_and_says_so(tmp_path, write):
    write(tmp_path, "val")
    data = Boxes(root=str(tmp_path), held_out_share=0)
    train = data.source("train", SHAPE, False)
    assert train.remarks == f"{NO_TRAINING}; 1 pictures without boxes" and len(train) == 3
    assert data.source("held_out", SHAPE, False) is None


def test_roots_of_their_own(tmp_path):
    grow(tmp_path / "a", TREES["COCO itself"])
    grow(tmp_path / "b", WHOLE["VOC of LabelImg"])
    path = tmp_path / "a" / "annotations" / "instances_val2017.json"
    data = Boxes(root=str(path), val_root=[str(tmp_path / "b"), str(tmp_path / "a")])
    train, held = (data.source(split, SHAPE, False) for split in ("train", "held_out"))
    assert train.name(0).endswith("val2017/a.png") and len(train) == 1
    assert [Path(held.name(index)).parent.name for index in (0, 1)] == ["b", "val2017"]
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Boxes(root=str(tmp_path / "b")).source("train", SHAPE, False)
    with pytest.raises(ValueError, match="--data.root DIR"):
        Boxes().source("train", SHAPE, False)
    with pytest.raises(ValueError, match="hold out a share of 1"):
        Boxes(root=str(path), held_out_share=1.0).source("train", SHAPE, False)
