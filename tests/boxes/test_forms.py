"""Every form of labels tells the same."""

import json
import sys
from pathlib import Path

import pytest
import torch

from maskedae.datasets.boxes import Boxes

sys.path.append(str(Path(__file__).parents[1]))
from making_boxes import (  # noqa: E402
    BOXES,
    WRITERS,
    picture,
    write_coco,
    write_table,
    write_voc,
    write_yolo,
)

SHAPE = (3, 30, 40)  # that of the pictures: boxes stay what they are


def found(data, split="train"):
    """Boxes of every picture by its name."""
    source = data.source(split, SHAPE, augment=False)
    return {
        source.name(index).rsplit("/", 1)[1][0]: [
            (*map(round, box), source.classes[label])
            for box, label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)
        ]
        for index in range(len(source))
        for truth in source.read(index).truths
    }


@pytest.mark.parametrize("write", WRITERS)
def test_all_forms_tell_the_same(tmp_path, write):
    write(tmp_path)
    data = Boxes(root=str(tmp_path), held_out_share=0)
    assert found(data) == BOXES
    source = data.source("train", SHAPE, augment=False)
    assert source.classes == ("cat", "dog") and source.remarks == "1 pictures without boxes"
    assert data.source("held_out", SHAPE, augment=False) is None
    answers = source.answers()
    assert [len(answers[k]) for k in ("images", "annotations", "categories")] == [3, 3, 2]


@pytest.mark.parametrize("write", WRITERS)
def test_what_is_held_out(tmp_path, write):
    write(tmp_path)
    write(tmp_path, "val") if write is not write_yolo else two_yolo(tmp_path)
    data = Boxes(root=str(tmp_path))
    assert found(data) == found(data, "held_out") == BOXES


def two_yolo(root):
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("cat\ndog\n")
    write_yolo(root, "valid")
    (root / "data.yaml").unlink()


def test_the_same_share_is_held_out_wherever_it_lies(tmp_path):
    names = []
    for folder in ("one", "two/deeper"):
        lines = ["path,x1,y1,x2,y2,label"] + [f"{n}.png,1,1,9,9,a" for n in range(40)]
        for number in range(40):
            picture(tmp_path / folder / f"{number}.png")
        (tmp_path / folder / "train.csv").write_text("\n".join(lines))
        data = Boxes(root=str(tmp_path / folder), held_out_share=0.3)
        train, held = (data.source(split, SHAPE, False) for split in ("train", "held_out"))
        assert len(train) + len(held) == 40 and 4 < len(held) < 20
        assert train.fingerprint != held.fingerprint
        names.append([held.name(index).rsplit("/", 1)[1] for index in range(len(held))])
        assert len(held.answers()["annotations"]) == len(held)
    assert names[0] == names[1]


def test_classes_of_several_roots_are_joined_by_name(tmp_path):
    write_coco(tmp_path / "coco")
    write_voc(tmp_path / "voc")
    lines = ["filename;width;height;class;xmin;ymin;xmax;ymax", "a.png;40;30;owl;1;2;30,5;4"]
    picture(tmp_path / "table" / "a.png")
    (tmp_path / "table" / "labels.csv").write_text("\n".join([*lines, "a.png;40;30;dog;1;2;3;4"]))
    roots = [str(tmp_path / name) for name in ("voc", "coco", "table")]
    source = Boxes(root=roots, held_out_share=0).source("train", SHAPE, False)
    assert source.classes == ("cat", "dog", "owl") and len(source) == 7
    assert source.shares == [(3, 3.0), (3, 3.0), (1, 1.0)]
    assert source.read(6).labels.tolist() == [1]
    assert "1 boxes that are no four numbers (a.png)" in source.remarks
    assert source.answers()["categories"][2] == {"id": 3, "name": "owl"}
    assert [source.image_id(index) for index in range(7)] == [1, 2, 3, 4, 5, 6, 7]


def test_boxes_of_pictures_in_any_order(tmp_path):
    write_coco(tmp_path)
    path = tmp_path / "train.json"
    content = json.loads(path.read_text())
    first, second, third = content["annotations"]
    path.write_text(json.dumps({**content, "annotations": [third, first, second]}))
    assert found(Boxes(root=str(path), held_out_share=0)) == BOXES


def test_ids_of_coco_are_kept(tmp_path):
    write_coco(tmp_path)
    source = Boxes(root=str(tmp_path), held_out_share=0).source("train", SHAPE, False)
    answers = source.answers()
    assert answers["categories"] == [{"id": 10, "name": "cat"}, {"id": 20, "name": "dog"}]
    assert answers["annotations"][1] == {
        "id": 2, "image_id": 1, "category_id": 20, "bbox": [20, 10, 10, 18], "area": 180,
        "iscrowd": 0,
    }  # fmt: skip
    assert answers["images"][2] == {"id": 3, "file_name": "c.png", "width": 40, "height": 30}


def test_one_class_without_a_number_is_number_one(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,x1,y1,x2,y2,label\na.png,1,2,9,9,owl")
    source = Boxes(root=str(tmp_path), held_out_share=0).source("train", SHAPE, False)
    answers = source.answers()
    assert answers["categories"] == [{"id": 1, "name": "owl"}]
    assert answers["annotations"][0]["category_id"] == 1


def test_categories_of_one_name_are_one_and_counted(tmp_path):
    write_coco(tmp_path)
    path = tmp_path / "train.json"
    path.write_text(path.read_text().replace('"dog"', '"cat"'))
    source = Boxes(root=str(tmp_path), held_out_share=0).source("train", SHAPE, False)
    assert source.answers()["categories"] == [{"id": 1, "name": "cat"}]
    assert "1 categories of the name or number of another (train.json)" in source.remarks
    assert source.box_counts() == {"cat": 3}


def test_classes_that_training_lacks_are_counted(tmp_path):
    write_table(tmp_path)
    lines = ["path,x1,y1,x2,y2,label", "a.png,1,2,9,9,owl", "a.png,1,2,9,9,dog"]
    (tmp_path / "val.csv").write_text("\n".join(lines))
    held = Boxes(root=str(tmp_path)).source("held_out", SHAPE, False)
    assert held.read(0).labels.tolist() == [1]
    assert held.remarks == "left out: 1 boxes of classes that training lacks: owl (a.png)"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": "1 2 3 4 5"}, "no labels with boxes; these would fit"),
        ({"train.json": "{"}, "not JSON"),
        ({"train.json": '{"images": [], "annotations": []}'}, "lists no pictures"),
        ({"train.json": '{"a": 1}'}, "no labels with boxes"),
        ({"data.yaml": "train: [nowhere]"}, "there is no"),
        ({"data.yaml": "train: ["}, "not YAML"),
        ({"data.yaml": "train: .\nnames: {a: b}"}, "names go by numbers"),
        ({"train.csv": "path,label\na,b"}, "no labels with boxes"),
        ({"train.csv": "path,x1,y1,x2,y2,label\n"}, "lists no pictures"),
        ({"train.csv": "path,x1,y1,x2,y2,label\na.png,1,1,2,2,b"}, "none of its pictures"),
        ({"a.xml": "<annotation/>"}, "no label file of a picture"),
        ({"annotations/instances_train2014.json": "", "annotations/instances_train2017.json": ""},
         "name one of them"),
    ],
)  # fmt: skip
def test_what_cannot_be_opened(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        Boxes(root=str(tmp_path)).source("train", SHAPE, False)
    assert str(tmp_path) in str(error.value)


def test_real_cells(shared):
    data = Boxes(root=str(shared / "detection" / "bccd"))
    train, held = (data.source(split, (3, 96, 128), False) for split in ("train", "held_out"))
    assert (len(train), len(held)) == (292, 72) and train.classes == ("RBC", "WBC", "Platelets")
    boxed = held.read(0)
    assert boxed.shapes.tolist() == [[3, 96, 128]] and boxed.sizes.tolist() == [[480, 640]]
    torch.testing.assert_close(boxed.boxes, held.table.boxes[: len(boxed.boxes)].float() / 5)
    assert sum(len(held.read(index).boxes) for index in range(72)) == len(held.table.boxes)
