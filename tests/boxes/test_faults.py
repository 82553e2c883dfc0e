"""What is wrong with labels is counted and named, and spoils nothing else."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from maskedae.data import BadSample
from maskedae.datasets.boxes import Boxes
from maskedae.datasets.images import decode, opened
from maskedae.datasets.labels.labels import upright_size

sys.path.append(str(Path(__file__).parents[1]))
from making_boxes import coco, picture, voc_xml, write_voc, write_yolo  # noqa: E402

SHAPE = (3, 30, 40)
NAN = float("nan")


def source_of(root, **settings):
    return Boxes(root=str(root), held_out_share=0, **settings).source("train", SHAPE, False)


def test_boxes_of_no_use(tmp_path):
    boxes = [
        ([5, 5, 10, 10], 10),
        ([5, 5, 0, 10], 10),
        ([5, 5, 10, -3], 10),
        ([NAN, 5, 10, 10], 20),
        ([5, 5, float("inf"), 10], 20),
        ([41, 5, 10, 10], 10),
        ([5, -20, 10, 20], 10),
        ([5, 5, 10, 10], 99),
        ([5, 5, 10], 10),
        (None, 10),
        ("box", 10),
        ([5, None, 10, 10], 10),
        (["30", "20", "20", "20"], "20"),
    ]
    picture(tmp_path / "images" / "a.png")
    content = coco([("a.png", 40, 30)], [(1, [0, 0, 1, 1], 10)])
    content["annotations"] = [
        {"image_id": 1, "bbox": box, "category_id": category} for box, category in boxes
    ]
    content["annotations"] += [7, {"image_id": 5, "bbox": [1, 1, 2, 2], "category_id": 10}, {}]
    content["images"] += [{"id": 9}, {"id": 1, "file_name": "twice.png"}]
    (tmp_path / "some.json").write_text(json.dumps(content))
    source = source_of(tmp_path / "some.json")
    assert source.table.faults.counts == {
        "boxes of no area": 2,
        "boxes that are no four numbers": 6,
        "boxes outside their picture": 2,
        "boxes of an unknown class": 1,
        "annotations without a picture": 2,
        "annotations of pictures that are not listed": 1,
        "pictures without a name": 1,
        "pictures with the number of another": 1,
    }
    assert "2 boxes of no area (a.png, ...)" in source.remarks and "\n" not in source.remarks
    boxed = source.read(0)
    assert boxed.boxes.tolist() == [[5, 5, 15, 15], [30, 20, 40, 30]]  # cut to the picture
    assert boxed.labels.tolist() == [0, 1] and len(source) == 1
    assert source.answers()["annotations"][1]["bbox"] == [30, 20, 20, 20]  # as it stands


def test_lines_of_yolo(tmp_path):
    write_yolo(tmp_path)
    lines = ["0 .5 .5 .5 .5", "0 .5 .5 .5", "x .5 .5 .5 .5", "7 .5 .5 .5 .5", "-1 .5 .5 .5 .5"]
    lines += ["1 100 90 20 20", "1 .5 .5 0 .5", "1 nan .5 .1 .1", "0.5 .5 .5 .5 .5", "", " "]
    lines += ["1 .1 .1 .5 .1 .5 .9", "1e0 0 0 1 1", "1 .1 .2 .3 .4 .5"]
    lines += ["0 .5 .5 .2 .2 .9 17", "0 .5 .5 .2 .2 .4 .4 2 .6 .6 1", "0 .5 .5 .2 .2 .4 .4 2"]
    (tmp_path / "labels" / "train" / "b.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "labels" / "train" / "lonely.txt").write_text(lines[0])
    (tmp_path / "labels" / "train" / "c.txt").write_bytes(b"\xff\xfe\x00garbage\n")
    (tmp_path / "images" / "train" / "bad.png").write_text("no picture")
    (tmp_path / "labels" / "train" / "bad.txt").write_text(lines[0])
    source = source_of(tmp_path)
    assert source.table.faults.counts == {
        "boxes that are no four numbers": 6,
        "boxes of an unknown class": 5,
        "boxes of no area": 1,
        "boxes outside their picture": 1,
        "label files without a picture": 1,
    }
    boxed = source.read(1)
    expected = torch.tensor([[10, 7.5, 30, 22.5], [4, 3, 20, 27], [0, 0, 20, 15]])
    torch.testing.assert_close(boxed.boxes, expected)
    assert boxed.labels.tolist() == [0, 1, 1]
    with pytest.raises(BadSample, match="no picture"):
        source.read([source.name(i)[-7:] for i in range(len(source))].index("bad.png"))
    assert len(source.answers()["images"]) == 3  # without the one that nobody can read


def test_classes_of_yolo_without_names_go_by_number(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "labels" / "train" / "c.txt").write_text("10 .5 .5 .5 .5\n")
    assert source_of(tmp_path).classes == ("0", "1", "10")
    (tmp_path / "names").write_text("cat\n\ndog\n")
    source = source_of(tmp_path, label_names=str(tmp_path / "names"))
    assert source.classes == ("cat", "1", "dog") and "1 boxes of an unknown class" in source.remarks


@pytest.mark.parametrize("names", ["cat\ndog\ncat\n", "1\n\ndog\n"])
def test_classes_of_yolo_of_one_name_are_refused(tmp_path, names):
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "names").write_text(names)
    with pytest.raises(ValueError, match=r"names: classes \[0, [12]\] are all '(cat|1)'"):
        source_of(tmp_path, label_names=str(tmp_path / "names"))


def test_names_given_twice_must_be_the_same(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / "names").write_text("cat\ndog\n")
    assert source_of(tmp_path, label_names=str(tmp_path / "names")).classes == ("cat", "dog")
    (tmp_path / "names").write_text("dog\ncat\n")
    with pytest.raises(ValueError, match=r"data.yaml names other classes than .*names"):
        source_of(tmp_path, label_names=str(tmp_path / "names"))


def test_poses_are_refused(tmp_path):
    write_yolo(tmp_path)
    with (tmp_path / "data.yaml").open("a") as file:
        file.write("kpt_shape: [17, 3]\n")
    with pytest.raises(ValueError, match=r"data.yaml: kpt_shape .* would fit"):
        source_of(tmp_path)


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("text", [BOMB, "", "<annotation><object>", "<a/>", "no", "<a>\x00</a>"])
def test_files_that_are_no_xml(tmp_path, text, encoding):
    write_voc(tmp_path)
    (tmp_path / "Annotations" / "b.xml").write_bytes(text.encode(encoding))
    source = source_of(tmp_path)
    assert source.table.faults.counts == {"label files that are no XML": 1} and len(source) == 2


def test_objects_and_files_of_voc(tmp_path):
    boxes = [(1, 1, 1, 5, "cat"), ("x", 1, 5, 5, "cat"), (1.5, 2, 3.5, 50, "dog"), (1, 1, 5, 5, "")]
    picture(tmp_path / "a.png")
    picture(tmp_path / "unlabelled.png")
    part = "<object><name>man</name><part><name>head</name><bndbox/></part></object>"
    text = voc_xml("elsewhere.jpg", boxes, size=(0, 0)).replace("</annotation>", part)
    (tmp_path / "a.xml").write_text(text + "</annotation>")
    (tmp_path / "lonely.xml").write_text(voc_xml("gone.jpg", boxes))
    source = source_of(tmp_path)
    assert source.table.faults.counts == {
        "boxes of no area": 1,
        "boxes that are no four numbers": 2,
        "boxes of an unknown class": 1,
        "label files without a picture": 1,
        "pictures that no label tells of": 1,
    }
    assert source.read(0).boxes.tolist() == [[1.5, 2, 3.5, 30]] and len(source) == 1


def test_pictures_of_another_size_than_told(tmp_path):
    picture(tmp_path / "a.png", (40, 31))
    (tmp_path / "some.json").write_text(
        json.dumps(coco([("a.png", 40, 30), ("gone.png", 4, 4)], [(1, [1, 1, 5, 5], 10)]))
    )
    source = source_of(tmp_path / "some.json")
    with pytest.raises(BadSample, match="40 x 31 pixels, but 40 x 30 by its labels"):
        source.read(0)
    with pytest.raises(BadSample, match="No such file"):
        source.read(1)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff"])
def test_boxes_belong_to_the_picture_as_it_is_looked_at(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    picture(tmp_path / name, (40, 24), exif=exif)
    with opened(str(tmp_path / name)) as (file, image):
        height, width = decode(file, image, 3).shape[1:]
    assert upright_size(str(tmp_path / name)) == (height, width)
    lying = orientation in (5, 6, 7, 8)
    assert (height, width) == ((40, 24) if lying else (24, 40))
    (tmp_path / "train.csv").write_text(f"path,x1,y1,x2,y2,label\n{name},0,0,24,39,a")
    boxed = source_of(tmp_path).read(0)
    edge = 39 if lying else 24
    size = boxed.shapes[0, 1:].flip(0).repeat(2)
    torch.testing.assert_close(
        boxed.boxes[0] / size, torch.tensor([0, 0, 24 / width, edge / height])
    )
    if lying:
        (tmp_path / "x.json").write_text(
            json.dumps(coco([(name, 40, 24)], [(1, [1, 1, 5, 5], 10)]))
        )
        with pytest.raises(BadSample, match="lies on its side, by EXIF"):
            source_of(tmp_path / "x.json").read(0)


def test_no_box_at_all(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "train.csv").write_text("path,x1,y1,x2,y2,label\na.png,5,5,5,5,cat")
    with pytest.raises(ValueError, match="no box to train on; 1 boxes of no area"):
        source_of(tmp_path)


def test_shares_of_the_picture_are_refused(tmp_path):
    picture(tmp_path / "a.png")
    table, listed = tmp_path / "train.csv", tmp_path / "some.json"
    table.write_text("path,x1,y1,x2,y2,label\na.png,.5,.5,1,1.0,cat\na.png,0,0,.5,1,cat")
    boxes = [(1, [0.25, 0.25, 0.75, 0.75], 10), (1, [0, NAN, 0.5, 0.5], 10)]
    listed.write_text(json.dumps(coco([("a.png", 40, 30)], boxes)))
    for path in (table, listed):
        with pytest.raises(ValueError, match=f"{path.name}: .* shares .* pixels would fit"):
            source_of(path)
    table.write_text(table.read_text() + "\na.png,1,1,2,2,cat")
    assert len(source_of(table).read(0).boxes) == 3


def test_tables_as_people_write_them(tmp_path):
    picture(tmp_path / "a,b.png")
    rows = [
        '"a,b.png",1,1,5,5,cat',
        " ",
        '"a,b.png" , 2 , 2 , 6 , 6 , dog',
        '"a,b.png",1,2',
        ",1,1,5,5,cat",
    ]
    text = '\ufeff\n"Path", X1 ,y1,x2,y2,"Label"\n' + "\r\n".join(rows)
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    source = source_of(tmp_path)
    assert source.read(0).boxes.tolist() == [[1, 1, 5, 5], [2, 2, 6, 6]]
    assert source.table.faults.counts == {
        "boxes of an unknown class": 1,
        "rows without a picture": 1,
    }
    (tmp_path / "train.csv").write_text(text + "\n" + "x" * 200_000)
    with pytest.raises(ValueError, match="train.csv, line .*field larger"):
        source_of(tmp_path)


def test_names_that_are_none(tmp_path):
    picture(tmp_path / "a\nb.png")
    files = [("a\nb.png", 40, 30), ("\ud800.png", 40, 30), ("nul\0.png", 40, 30)]
    content = coco(files, [(1, [1, 1, 0, 5], 10), (1, [1, 1, 5, 5], 10)], ["c\nd\ud800"])
    (tmp_path / "train.json").write_text(json.dumps(content))
    source = source_of(tmp_path)
    assert len(source) == 2 and "pictures without a name" in source.remarks
    assert "1 boxes of no area (a\\nb.png)" in source.remarks and "\n" not in source.remarks
    with pytest.raises(BadSample, match="null"):
        source.read(1)


def test_labels_that_may_mean_other_numbers_are_told(tmp_path):
    picture(tmp_path / "images" / "a.png")
    boxes = [(1, [20, 10, 30, 25], 10), (1, [5, 5, 39, 29], 10)]  # corners for width and height
    (tmp_path / "some.json").write_text(json.dumps(coco([("a.png", 40, 30)], boxes)))
    told = source_of(tmp_path / "some.json").remarks
    assert "2 boxes reach beyond their picture and are cut: do corners stand" in told
    table = "path,x1,y1,x2,y2,label\nimages/a.png,20,10,10,9,x\nimages/a.png,1,1,9,9,x\n"
    table += "images/a.png,30,10,10,9,x\n"
    (tmp_path / "some.csv").write_text(table)
    told = source_of(tmp_path / "some.csv").remarks
    assert "2 boxes of no area" in told and "those are most: do other numbers" in told


def test_a_split_that_is_no_coco_beside_one_that_is_one_is_refused(tmp_path):
    picture(tmp_path / "val" / "a.png")
    content = coco([("a.png", 40, 30)], [(1, [2, 2, 9, 9], 10)])
    (tmp_path / "val.json").write_text(json.dumps(content))
    (tmp_path / "train.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"train\.json has no lists `images` and `annotations`"):
        source_of(tmp_path)


def test_pictures_without_a_single_box_are_told(tmp_path):
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "some.json").write_text(json.dumps(coco([("a.png", 40, 30)], [])))
    with pytest.raises(ValueError, match="no box to train on; 1 pictures, none with a box"):
        source_of(tmp_path / "some.json")
    with pytest.raises(ValueError, match=r"data\.flip is 3"):
        source_of(tmp_path / "some.json", flip=3)
