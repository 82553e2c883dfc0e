"""Open roots of labels with boxes, of whatever form, as splits with one numbering of classes."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from maskedae.datasets.labels.coco import open_coco
from maskedae.datasets.labels.joining import (
    NO_MASK,
    class_order,
    join,
)
from maskedae.datasets.labels.labels import Faults, Labels, Reading
from maskedae.datasets.labels.packed import Table
from maskedae.datasets.labels.table import open_table
from maskedae.datasets.labels.voc import open_voc
from maskedae.datasets.labels.yolo import open_yolo
from maskedae.listing import draw_by_path

READERS = (open_coco, open_yolo, open_voc, open_table)
FITTING = (
    "COCO JSON (train.json, annotations/instances_train*.json, train/_annotations.coco.json), "
    "YOLO (data.yaml, or images/ and labels/), VOC (Annotations/ and JPEGImages/, or .xml beside "
    "pictures), a .csv with columns path, x1, y1, x2, y2, label"
)


class Tables(NamedTuple):
    """What is trained on, and what is kept back."""

    train: Table
    held_out: Table | None


def open_tables(
    root: str | Sequence[str] | None,
    val_root: str | Sequence[str] | None,
    reading: Reading,
    held_out_share: float,
) -> Tables:
    """Open one root or several.

    Held out is `val_root`; else what roots bring along; else a share that depends on each path
    alone. Classes are those of training. Raises ValueError where there is nothing to train on.
    """
    if not 0 <= held_out_share < 1:
        raise ValueError(f"cannot hold out a share of {held_out_share}: it must lie in [0, 1)")
    if not root:
        raise ValueError("say where the pictures and their boxes are: --data.root DIR")
    pairs = [demand_labels(root, reading) for root in listed(root)]
    others = [demand_labels(root, reading) for root in listed(val_root)]
    train = [first for first, _ in pairs]
    held = [first if second is None else second for first, second in others]
    held = held or [second for _, second in pairs if second is not None]
    classes = class_order(train)
    table = join(train, classes, reading.masks)
    check_boxes(table, root)
    if held:
        return Tables(table, join(held, classes, masks=False))  # boxes are scored without, too
    drawn = draw_by_path(table.listing, held_out_share)
    if not drawn.any() or drawn.all():
        return Tables(table, None)
    whole = join(train, classes, masks=False) if reading.masks else table
    return Tables(table.pick(~drawn), replace(whole.pick(drawn), faults=Faults()))


def check_boxes(table: Table, root: str | Sequence[str]) -> None:
    """Raise ValueError where there is nothing to train on."""
    told = str(table.faults) or f"{len(table):,} pictures, none with a box"
    if not len(table.boxes):
        hint = ": without masks, leave out --data.masks and --detect.masks"
        lacking = table.faults.counts[NO_MASK]
        raise ValueError(f"{root}: no box to train on; {told}{hint if lacking else ''}")


def find_labels(root: str, reading: Reading) -> tuple[Labels, Labels | None] | None:
    """What to train on and what to hold out of a root; None if it has no labels with boxes."""
    root = os.path.abspath(os.path.expanduser(root))
    if not os.path.exists(root):
        raise FileNotFoundError(f"{root} does not exist")
    found = (reader(root, reading) for reader in READERS)
    return next((pair for pair in found if pair is not None), None)


def demand_labels(root: str, reading: Reading) -> tuple[Labels, Labels | None]:
    """The same. Raises ValueError where there are none."""
    found = find_labels(root, reading)
    if found is None:
        raise ValueError(f"{root}: no labels with boxes; these would fit: {FITTING}")
    return found


def listed(roots: str | Sequence[str] | None) -> Sequence[str]:
    """One root, several or none, as a list."""
    return [roots] if isinstance(roots, str) else roots or []
