"""Average precision is that of pycocotools, to the last digit, and says where there is none."""

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pycocotools.mask import frPyObjects

from maskedae.detection.scoring import average_precision

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def boxes(rng, count, size):
    """Boxes of all sizes on a picture."""
    width, height = (rng.uniform(3, side * 0.8, count) for side in size)
    left, top = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    return np.stack([left, top, width, height], axis=1).round(2).tolist()


def polygon(box):
    left, top, width, height = box
    right, bottom = left + width, top + height
    return [[left, top, right, top, (left + right) / 2, bottom]]


def mask(box):
    """What a polygon covers, as in files of results."""
    (shape,) = frPyObjects(polygon(box), 160, 200)
    return {**shape, "counts": shape["counts"].decode()}


def scene(seed, crowds=True):
    """Pictures, some empty, some with crowds; what is found is near the truth, or anywhere."""
    rng = np.random.default_rng(seed)
    images = [{"id": n, "width": 200, "height": 160} for n in (7, 3, 11, 20, 21, 30)]
    annotations, found = [], []
    for image in images[:-1]:
        for box in boxes(rng, rng.integers(0, 9) * (image["id"] != 20), (200, 160)):
            category = int(rng.choice([1, 4, 9]))
            one = {"image_id": image["id"], "category_id": category, "bbox": box}
            one |= {"area": box[2] * box[3], "iscrowd": int(crowds and rng.random() < 0.15)}
            one["segmentation"] = polygon(box)
            annotations.append({"id": len(annotations) + 1, **one})
            for _ in range(rng.integers(0, 3)):
                near = (np.array(box) + rng.normal(0, 2, 4)).clip(1).tolist()
                score = round(rng.random(), 1)  # many ties
                one = {"image_id": image["id"], "category_id": category, "bbox": near}
                found.append({**one, "score": score})
    for image in images:
        for box in boxes(rng, 4, (200, 160)):
            one = {"image_id": image["id"], "category_id": int(rng.choice([1, 4, 9]))}
            found.append({**one, "bbox": box, "score": round(rng.random(), 1)})
    categories = [{"id": n, "name": name} for n, name in ((9, "c"), (1, "a"), (4, "b"), (6, "d"))]
    return {"images": images, "annotations": annotations, "categories": categories}, found


def published(truth, found, kind="bbox"):
    """The six numbers of pycocotools, and those of each class by number."""
    with contextlib.redirect_stdout(io.StringIO()):
        answers = COCO()
        answers.dataset = truth
        answers.createIndex()
        scoring = COCOeval(answers, answers.loadRes(found), kind)
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    whole = np.where(scoring.stats[:6] < 0, np.nan, scoring.stats[:6])
    table = scoring.eval["precision"][:, :, :, 0, -1]
    each = [table[:, :, k][table[:, :, k] > -1] for k in range(table.shape[2])]
    return whole, [part.mean() if part.size else math.nan for part in each]


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_pycocotools(seed):
    truth, found = scene(seed)
    whole, each = published(truth, [dict(one) for one in found])
    mine = average_precision(truth, found)
    assert 0.05 < mine.whole["AP"] < 0.9
    np.testing.assert_allclose([mine.whole[name] for name in NAMES], whole, rtol=1e-12)
    by_number = [mine.by_class[name] for name in "abdc"]  # 1, 4, 6, 9
    np.testing.assert_allclose(by_number, each, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_equal_too(seed):
    truth, found = scene(seed)
    found = [{**one, "segmentation": mask(one["bbox"])} for one in found]
    bare = [{name: one[name] for name in one if name != "bbox"} for one in found]
    whole, _ = published(truth, bare, "segm")
    mine = average_precision(truth, found, "segm")
    np.testing.assert_allclose([mine.whole[name] for name in NAMES], whole, rtol=1e-12)
    boxes_whole, _ = published(truth, [dict(one) for one in found])
    assert average_precision(truth, found).whole["AP"] == pytest.approx(boxes_whole[0], rel=1e-12)


def test_what_is_there_to_find_is_told_from_what_is_not():
    truth, found = scene(0, crowds=False)
    nothing = average_precision(truth, [])
    assert nothing.whole["AP"] == 0 and nothing.by_class["a"] == 0
    assert math.isnan(nothing.by_class["d"])  # there are none
    small = {**truth, "annotations": [{**one, "area": 50.0} for one in truth["annotations"]]}
    assert math.isnan(average_precision(small, found).whole["APl"])
    empty = average_precision({**truth, "annotations": []}, found)
    assert all(math.isnan(value) for value in empty.whole.values())


def test_a_perfect_answer_and_a_class_nobody_asked_for():
    truth, _ = scene(1, crowds=False)
    rows = truth["annotations"]
    perfect = [{**one, "score": 0.9, "segmentation": mask(one["bbox"])} for one in rows]
    perfect.append({**perfect[0], "category_id": 99})
    mine = average_precision(truth, perfect)
    assert mine.whole["AP"] == pytest.approx(1.0)
    assert average_precision(truth, perfect, "segm").whole["AP"] == pytest.approx(1.0)


def test_numbers_of_annotations_mean_nothing():
    """Some files begin at 0, and some have a number twice."""
    truth, found = scene(2)
    other = [{**one, "id": one["id"] // 2} for one in truth["annotations"]]
    before, after = (
        average_precision({**truth, "annotations": a}, found) for a in (truth["annotations"], other)
    )
    assert before.whole == after.whole


def test_nothing_that_is_given_is_changed():
    truth, found = scene(3)
    again_truth, again_found = scene(3)
    average_precision(truth, found)
    average_precision(truth, found)
    assert (truth, found) == (again_truth, again_found)
