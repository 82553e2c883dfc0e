import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from maskedae.datasets.boxes import Boxes
from maskedae.datasets.labels import opening
from maskedae.detection.finding import encoded
from maskedae.detection.scoring import average_precision

sys.path.append(str(Path(__file__).parents[1]))
from making_boxes import coco, picture, write_coco, write_yolo  # noqa: E402

coco_tools = pytest.importorskip("pycocotools.mask", reason="pycocotools says what a mask is")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SHAPE = (3, 30, 40)


@pytest.fixture
def masked(tmp_path):
    """Masks of all kinds, good ones first, and what pycocotools makes of those."""
    rng = np.random.default_rng(0)
    shape = np.zeros((30, 40), np.uint8, order="F")
    shape[5:20, 10:30] = rng.integers(0, 2, (15, 20))
    packed = coco_tools.encode(shape)
    flat = shape.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    polygons = [[1.5, 2, 20, 3.5, 12, 25], [30, 5, 38, 5, 38, 12, 30, 12]]
    loose = {"size": [30, 40], "counts": counts}
    tight = {"size": [30, 40], "counts": packed["counts"].decode()}
    outline = coco_tools.decode(coco_tools.merge(coco_tools.frPyObjects(polygons, 30, 40)))
    broken = [[], [[1, 2, 3, 4]], None, "x", [1, 2, 3, 4, 5, 6], {"size": [30, 40]}, [["a"] * 6]]
    broken += [{"size": [30, 41], "counts": counts}, {"size": [30, 40], "counts": [3, 2]}]
    broken += [{"size": [30, 40], "counts": "zzz"}, [[1, 2, 3, 4, float("nan"), 6]]]
    picture(tmp_path / "train" / "a.png")
    picture(tmp_path / "train" / "b.png")
    content = coco([("a.png", 40, 30), ("b.png", 40, 30)], [])
    content["annotations"] = [
        {"id": n, "image_id": 1, "bbox": [1, 2, 30, 25], "category_id": 10, "area": 5.5}
        | {"iscrowd": int(n == 2), "segmentation": segment}
        for n, segment in enumerate([polygons, loose, tight, *broken])
    ]
    (tmp_path / "train.json").write_text(json.dumps(content))
    return tmp_path, [outline, shape], len(broken)


def test_masks_are_those_of_pycocotools(masked):
    root, expected, broken = masked
    source = Boxes(root=str(root), masks=True, held_out_share=0).source("train", SHAPE, False)
    truth = source.read(0).truths[0]
    assert truth.masks.shape == (2, 30, 40) and truth.masks.dtype == torch.bool
    assert truth.masks.equal(torch.from_numpy(np.stack(expected)).bool())
    assert source.table.faults.counts == {"boxes without a mask": broken}
    assert source.read(1).truths[0].masks.shape == (0, 30, 40)


def test_crowds_are_scored_but_not_learned(masked):
    root, _, broken = masked
    source = Boxes(root=str(root), masks=True, held_out_share=0).source("train", SHAPE, False)
    found = source.answers()["annotations"]
    assert [item["iscrowd"] for item in found] == [0, 0, 1] and found[0]["area"] == 5.5
    assert found[2]["segmentation"]["size"] == [30, 40]
    plain = Boxes(root=str(root), held_out_share=0).source("train", SHAPE, False)
    assert len(plain.read(0).boxes) == 2 + broken and plain.read(0).masks is None
    assert "segmentation" not in plain.answers()["annotations"][0]


@pytest.mark.parametrize("drawn", [True, False])
def test_held_out_boxes_without_masks_are_scored_as_boxes(tmp_path, monkeypatch, drawn):
    write_coco(tmp_path)
    path = tmp_path / "train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = [[2, 3, 12, 3, 12, 13]]
    content["annotations"][2]["segmentation"] = [[0, 0, 40, 0, 40, 30]]
    path.write_text(json.dumps(content))
    more = {} if drawn else {"val_root": str(path)}
    if drawn:
        monkeypatch.setattr(opening, "draw_by_path", lambda *_: np.array([True, False, True]))
    data = Boxes(root=str(path), masks=True, **more)
    train, held = (data.source(split, SHAPE, False) for split in ("train", "held_out"))
    assert "1 boxes without a mask" in train.remarks
    assert held.remarks.endswith("1 boxes without a mask, which count for scores of boxes")
    assert train.box_counts() == {"cat": 0 if drawn else 1, "dog": 1}
    assert held.read(0).masks is None and len(held.read(0).boxes) == 2
    assert held.whole(0).truths[0].masks.flatten(1).any(1).tolist() == [True, False]
    truth = held.answers()
    assert ["segmentation" in one for one in truth["annotations"][:2]] == [True, False]
    found = [{**one, "score": 1.0} for one in truth["annotations"]]
    assert average_precision(truth, found).whole["AP"] == pytest.approx(1)
    found = [one for one in found if "segmentation" in one]
    for one in found:
        one["segmentation"] = encoded(held.table.mask(one["id"] - 1, (30, 40)))
    assert average_precision(truth, found).whole["AP"] < 1
    assert average_precision(truth, found, "segm").whole["AP"] == pytest.approx(1)


def test_polygons_of_yolo(tmp_path):
    write_yolo(tmp_path)
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 .25 .2 .75 .2 .75 .8 .25 .8\n")
    data = Boxes(root=str(tmp_path), masks=True, held_out_share=0)
    source = data.source("train", SHAPE, False)
    truth = source.read(0).truths[0]
    assert truth.boxes.tolist() == [[10, 6, 30, 24]]
    assert truth.masks[0, 6:24, 10:30].all() and truth.masks.sum() == 18 * 20
    assert source.table.faults.counts == {"boxes without a mask": 1}
    assert data.synthetic(2, SHAPE).truths[1].masks.shape == (8, 30, 40)


def test_no_masks_at_all(tmp_path):
    write_coco(tmp_path)
    with pytest.raises(ValueError, match="no box to train on; 3 boxes without a mask"):
        Boxes(root=str(tmp_path), masks=True).source("train", SHAPE, False)
