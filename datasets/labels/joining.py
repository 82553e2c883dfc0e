"""Join the labels of several roots, every box checked."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskedae.datasets.labels.labels import NAMED, Faults, Labels, printable
from maskedae.datasets.labels.packed import Table, starts
from maskedae.listing import pack

UNLABELLED = "its pictures have boxes instead"
NO_CLASS = "boxes of an unknown class"
NO_NUMBERS = "boxes that are no four numbers"
NO_AREA = "boxes of no area"
OUTSIDE = "boxes outside their picture"
NO_MASK = "boxes without a mask"
LACKING = -2  # the number of a class that is none of those trained on


def class_order(parts: Sequence[Labels]) -> tuple[str, ...]:
    """The classes of all roots, by name, in the order in which they come up."""
    return tuple(dict.fromkeys(name for part in parts for name in part.numbers))


def join(parts: Sequence[Labels], classes: tuple[str, ...], masks: bool) -> Table:
    """Put the labels of several roots together, boxes of no use left out and counted."""
    columns = [checked(part, classes, masks) for part in parts]
    before = np.cumsum([0] + [len(part) for part in parts])
    owner = np.concatenate([c.pictures + n for c, n in zip(columns, before, strict=False)])
    order = np.argsort(owner, kind="stable")
    boxes, labels, crowds, areas = (
        torch.from_numpy(np.concatenate([getattr(c, name) for c in columns])[order])
        for name in ("corners", "labels", "crowds", "areas")
    )
    texts = [text for column in columns for text in column.segments]
    texts = [texts[row] for row in order]
    return Table(
        listing=replace(pack([part.rows for part in parts], ()), unlabelled=UNLABELLED),
        classes=classes,
        categories=category_ids(parts, classes),
        sizes=torch.tensor([side for part in parts for side in part.sizes]).view(-1, 2),
        ids=picture_ids(parts),
        offsets=starts(torch.from_numpy(np.bincount(owner, minlength=before[-1]))),
        boxes=boxes,
        labels=labels,
        crowds=crowds,
        areas=areas,
        segments=torch.from_numpy(np.frombuffer(b"".join(texts), np.uint8).copy()),
        segment_offsets=starts(torch.tensor([len(text) for text in texts], dtype=torch.int64)),
        faults=Faults().join(part.faults for part in parts),
    )


class Checked(NamedTuple):
    """The boxes of one root that are of use."""

    pictures: np.ndarray  # (boxes,) numbers of pictures of the root
    corners: np.ndarray  # (boxes, 4)
    labels: np.ndarray  # (boxes,) numbers of classes of all roots
    crowds: np.ndarray  # (boxes,)
    areas: np.ndarray  # (boxes,)
    segments: list[bytes]


def checked(part: Labels, classes: tuple[str, ...], masks: bool) -> Checked:
    """Sort out boxes that nobody can learn from, and count them as faults of the root."""
    pictures = np.array(part.pictures, dtype=np.int64)
    corners = np.array(part.corners, dtype=np.float64).reshape(-1, 4)
    labels = renumbered(part, classes)
    heights, widths = np.array(part.sizes, dtype=np.float64).reshape(-1, 2)[pictures].T
    edges = np.stack([widths, heights, widths, heights], axis=1)
    cut = np.clip(corners, 0, np.where(edges > 0, edges, np.inf))
    finite, ends = np.isfinite(corners).all(1), np.array(part.segment_ends, dtype=np.int64)
    begins = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    tests = {
        lacking(part, classes): labels != LACKING,
        NO_CLASS: labels >= 0,
        NO_NUMBERS: finite,
        NO_AREA: (corners[:, 2:] > corners[:, :2]).all(1),
        OUTSIDE: (cut[:, 2:] > cut[:, :2]).all(1),
        NO_MASK: (ends > begins) | (not masks),
    }
    good = np.ones(len(pictures), dtype=bool)
    paths = list(part.rows)
    for kind, passed in tests.items():
        for number, count in zip(
            *np.unique(pictures[good & ~passed], return_counts=True), strict=True
        ):
            path = os.path.join(part.rows.root, os.fsdecode(paths[number]))
            part.faults.add(kind, path, int(count))
        good &= passed
    areas = np.array(part.areas, dtype=np.float64)
    whole = (corners[:, 2:] - corners[:, :2]).prod(1)
    return Checked(
        pictures[good],
        corners[good],
        labels[good],
        np.array(part.crowds, dtype=bool)[good],
        np.where(areas > 0, areas, whole)[good],
        [bytes(part.segments[begins[row] : ends[row]]) for row in np.flatnonzero(good)],
    )


def renumbered(part: Labels, classes: tuple[str, ...]) -> np.ndarray:
    """The number of every box's class among those of all roots, below zero where there is none."""
    numbers = {name: number for number, name in enumerate(classes)}
    known = [numbers.get(name, LACKING) for name in part.numbers]
    return np.array([*known, -1])[np.array(part.labels, dtype=np.int64)]


def lacking(part: Labels, classes: tuple[str, ...]) -> str:
    """Say which classes of a root are none of those that are trained on."""
    names = [printable(name) for name in part.numbers if name not in classes]
    some = ", ".join(names[:NAMED]) + ", ..." * (len(names) > NAMED)
    return f"boxes of classes that training lacks: {some}"


def category_ids(parts: Sequence[Labels], classes: tuple[str, ...]) -> tuple[int, ...]:
    """What files call every class where all tell and agree on it, or else 1, 2, 3."""
    plain = tuple(range(1, len(classes) + 1))
    if not all(part.categories for part in parts):
        return plain
    pairs = {pair for part in parts for pair in zip(part.numbers, part.categories, strict=True)}
    told = dict(pairs)
    agreed = len(pairs) == len(told) == len(set(told.values())) and set(told) >= set(classes)
    return tuple(told[name] for name in classes) if agreed else plain


def picture_ids(parts: Sequence[Labels]) -> Tensor:
    """What a file calls every picture, or else 1, 2, 3."""
    if len(parts) == 1 and len(parts[0].ids) == len(parts[0]):
        return torch.tensor(parts[0].ids, dtype=torch.int64)
    return torch.arange(1, sum(map(len, parts)) + 1)
