"""Let a detector look at a whole source, every picture once, by however many processes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from faster_coco_eval.core.mask import encode
from torch import Tensor

from maskedae.boxed import Boxed, Found
from maskedae.data import Data
from maskedae.detection.detector import Detector
from maskedae.detection.scoring import Coco, Precision, average_precision
from maskedae.loading import Skipped, batch_for, read_in_order
from maskedae.progress import Meter

FEW = 8  # pictures of a batch, at most


class Finding(NamedTuple):
    """What was found on the pictures that could be read, as in COCO's files of results."""

    pictures: list[int]  # their numbers in the source, in order
    results: list[Coco]
    skipped: list[Skipped]


@torch.no_grad()
def find(
    model: Detector,
    data: Data,
    source: Any,
    accelerator: Accelerator,
    workers: int = 0,
    meter: Meter | None = None,
) -> Finding:
    """Look at all pictures of a source; every process does its share, and all get the whole."""
    training = model.training
    model.eval()
    categories = {one["name"]: one["id"] for one in source.answers()["categories"]}
    mine = list(range(accelerator.process_index, len(source), accelerator.num_processes))
    rows, skipped = list[tuple[int, list[Coco]]](), list[Skipped]()
    for batch in read_in_order(source, mine, batch_for(source, FEW), workers):
        skipped += batch.skipped
        if isinstance(batch.samples, Boxed):
            boxed = batch.samples.to(accelerator.device)
            sizes, found = map(tuple, boxed.sizes.tolist()), look_at(model, data, boxed)
            for (_, index), size, one in zip(batch.draws, sizes, found, strict=True):
                row = results(one, size, source.image_id(index), model.classes, categories)
                rows.append((index, row))
        if meter:
            meter.update(meter.done + len(batch.draws) + len(batch.skipped), {})
    model.train(training)
    parts = gather_object([(rows, skipped)])
    whole = sorted((row for part, _ in parts for row in part), key=lambda row: row[0])
    return Finding(
        [index for index, _ in whole],
        [one for _, row in whole for one in row],
        [one for _, part in parts for one in part],
    )


def look_at(model: Detector, data: Data, boxed: Boxed) -> list[Found]:
    """What a detector finds on pictures, in pixels of their files."""
    return model(data.signal(boxed), sizes=[(h, w) for h, w in boxed.sizes.tolist()])


def results(
    found: Found,
    size: tuple[int, int],
    image_id: int,
    classes: Sequence[str],
    categories: dict[str, int],
) -> list[Coco]:
    """What was found on a picture of that height and width, as COCO has it.

    Classes that have no category are left out.
    """
    edges = found.boxes.cpu().double()
    boxes = torch.cat([edges[:, :2], edges[:, 2:] - edges[:, :2]], dim=1).tolist()
    names = [classes[label] for label in found.labels.tolist()]
    rows: list[Coco] = [
        {"image_id": image_id, "category_id": categories.get(name), "bbox": box, "score": score}
        for name, box, score in zip(names, boxes, found.scores.tolist(), strict=True)
    ]
    for row, mask in zip(rows, found.pasted(size), strict=False):
        row["segmentation"] = encoded(mask)
    return [row for row in rows if row["category_id"] is not None]


def encoded(mask: Tensor) -> Coco:
    """The pixels of a thing, bool (h, w), as run lengths that JSON can hold."""
    shape = encode(np.asfortranarray(mask.byte().cpu().numpy()))
    return {"size": list(shape["size"]), "counts": shape["counts"].decode()}


def precisions(finding: Finding, source: Any, masks: bool) -> dict[str, Precision]:
    """How well boxes, and masks where truth has some, agree with the truth of what was read."""
    truth, read = source.answers(), {source.image_id(index) for index in finding.pictures}
    truth = {
        **truth,
        "images": [one for one in truth["images"] if one["id"] in read],
        "annotations": [one for one in truth["annotations"] if one["image_id"] in read],
    }
    found = {"boxes": average_precision(truth, finding.results)}
    if masks and source.masks:
        found["masks"] = average_precision(truth, finding.results, "segm")
    return found


def scores(found: dict[str, Precision]) -> dict[str, float]:
    """All numbers that there are, by name.

    >>> each = Precision({"AP": 0.5, "APl": float("nan")}, {})
    >>> scores({"boxes": each, "masks": each})
    {'AP': 0.5, 'mask AP': 0.5}
    """
    return {
        name if kind == "boxes" else f"mask {name}": value
        for kind, precision in found.items()
        for name, value in precision.whole.items()
        if not math.isnan(value)
    }
