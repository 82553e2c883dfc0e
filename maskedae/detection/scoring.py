"""Average precision of boxes and of masks, as COCO defines it."""

from typing import Any, Literal, NamedTuple

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

Coco = dict[str, Any]  # what a file of COCO holds: images, annotations, categories
SIZES = {"APs": 1, "APm": 2, "APl": 3}  # things of less than 32 x 32 pixels, of 96 x 96, and more


class Precision(NamedTuple):
    """How well things are found; NaN where there are none of a kind to be found."""

    whole: dict[str, float]  # AP, AP50, AP75, APs, APm, APl
    by_class: dict[str, float]  # AP of each class


def average_precision(
    truth: Coco, found: list[Coco], kind: Literal["bbox", "segm"] = "bbox"
) -> Precision:
    """How well boxes or masks agree with the truth; of each picture the 100 surest count.

    What is found is described as in COCO's files of results.
    """
    if kind == "segm":
        masked = [one for one in truth["annotations"] if "segmentation" in one]
        truth = {**truth, "annotations": masked}
    answers = COCO(numbered(truth))
    categories = {one["id"]: one["name"] for one in sorted(truth["categories"], key=_id)}
    found = [one for one in found if one["category_id"] in categories]
    if kind == "segm":  # without boxes, the size of a thing is that of its mask
        found = [{name: one[name] for name in one if name != "bbox"} for one in found]
    else:
        found = [{name: one[name] for name in one if name != "segmentation"} for one in found]
    scoring = COCOeval_faster(answers, answers.loadRes(found), kind)
    scoring.evaluate()
    scoring.accumulate()
    # by overlap of .5 to .95, recall, class, size, and number of boxes that count
    table = scoring.eval["precision"][..., -1]
    whole = {"AP": table[..., 0], "AP50": table[0, ..., 0], "AP75": table[5, ..., 0]}
    whole |= {name: table[..., place] for name, place in SIZES.items()}
    classes = {name: table[:, :, place, 0] for place, name in enumerate(categories.values())}
    return Precision(
        {name: mean(values) for name, values in whole.items()},
        {name: mean(values) for name, values in classes.items()},
    )


def numbered(truth: Coco) -> Coco:
    """The same with annotations numbered from 1, for one of number 0 would count as none."""
    rows = enumerate(truth["annotations"], start=1)
    return {**truth, "annotations": [{**one, "id": number} for number, one in rows]}


def mean(precisions: np.ndarray) -> float:
    """The mean of those that there are.

    >>> mean(np.array([0.25, -1.0, 0.75]))
    0.5
    """
    known = precisions[precisions > -1]
    return float(known.mean()) if known.size else float("nan")


def _id(one: Coco) -> int:
    return one["id"]
