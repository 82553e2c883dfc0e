"""Join the labels of several roots, check every box and pack them into tensors."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import faster_coco_eval.core.mask as coco_masks
import numpy as np
import torch
from torch import Tensor

from maskedae.data import BadSample
from maskedae.datasets.labels.labels import NAMED, Faults, Labels, printable
from maskedae.listing import Listing, pack

UNLABELLED = "its pictures have boxes instead"
NO_CLASS = "boxes of an unknown class"
NO_NUMBERS = "boxes that are no four numbers"
NO_AREA = "boxes of no area"
OUTSIDE = "boxes outside their picture"
NO_MASK = "boxes without a mask"
LACKING = -2  # the number of a class that is none of those trained on


@dataclass(frozen=True)
class Table:
    """Pictures of a split and the boxes on them, the boxes of a picture being neighbours."""

    listing: Listing
    classes: tuple[str, ...]
    categories: tuple[int, ...]  # what COCO calls each class
    sizes: Tensor  # (len, 2) int64, height and width, or 0 of what cannot be read
    ids: Tensor  # (len,) int64, what COCO calls each picture
    offsets: Tensor  # (len + 1,) int64, where the boxes of each picture start
    boxes: Tensor  # (boxes, 4) float64, left, top, right, bottom; they may reach outside
    labels: Tensor  # (boxes,) int64
    crowds: Tensor  # (boxes,) bool, what stands for many things and nobody learns from
    areas: Tensor  # (boxes,) float64
    segments: Tensor  # (bytes,) uint8, masks as JSON, without separators
    segment_offsets: Tensor  # (boxes + 1,) int64
    faults: Faults

    def __len__(self) -> int:
        return len(self.listing)

    def rows(self, index: int) -> range:
        """Numbers of the boxes of a picture."""
        start, stop = self.offsets[index : index + 2].tolist()
        return range(start, stop)

    def per_class(self) -> Tensor:
        """Boxes of every class, crowds apart: (classes,)."""
        return self.labels[~self.crowds].bincount(minlength=len(self.classes))

    def segment(self, row: int) -> Any:
        """The mask of a box as COCO has it; None without."""
        start, stop = self.segment_offsets[row : row + 2].tolist()
        return json.loads(self.segments[start:stop].numpy().tobytes()) if stop > start else None

    def size_fault(self, index: int, size: tuple[int, int]) -> str:
        """Say that a picture is not of the height and width that its label tells, if it is not."""
        told = tuple(self.sizes[index].tolist())
        if told in (size, (0, 0)):
            return ""
        lying = "; it lies on its side, by EXIF: store it upright" * (told == size[::-1])
        return f"{size[1]} x {size[0]} pixels, but {told[1]} x {told[0]} by its labels{lying}"

    def mask(self, row: int, size: tuple[int, int]) -> Tensor:
        """The mask of a box on a picture of that height and width: (h, w) bool."""
        try:
            code = coco_masks.segmToRle(self.segment(row), size[1], size[0])
            return torch.from_numpy(coco_masks.decode(code)).bool()
        except (ValueError, RuntimeError) as error:
            raise BadSample(f"a mask that cannot be decoded: {error}") from error

    def pick(self, chosen: np.ndarray) -> "Table":
        """The pictures where a boolean array (len,) says so; faults stay with the whole."""
        kept = np.repeat(chosen, self.offsets.diff().numpy())
        pictures, boxes = torch.from_numpy(chosen), torch.from_numpy(kept)
        sizes = self.segment_offsets.diff()
        return replace(
            self,
            listing=self.listing.pick(chosen),
            sizes=self.sizes[pictures],
            ids=self.ids[pictures],
            offsets=starts(self.offsets.diff()[pictures]),
            boxes=self.boxes[boxes],
            labels=self.labels[boxes],
            crowds=self.crowds[boxes],
            areas=self.areas[boxes],
            segments=self.segments[torch.repeat_interleave(boxes, sizes)],
            segment_offsets=starts(sizes[boxes]),
        )


def starts(lengths: Tensor) -> Tensor:
    """Where parts of some lengths start, and where the last one ends: (n,) -> (n + 1,)."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


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
    """What files call every class where they agree on it, or else 1, 2, 3."""
    pairs = {
        pair
        for part in parts
        for pair in zip(part.numbers, part.categories or [-1] * len(part.numbers), strict=True)
    }
    told = dict(pairs)
    if len(pairs) == len(told) == len(set(told.values())) and set(told) >= set(classes):
        return tuple(told[name] for name in classes)
    return tuple(range(1, len(classes) + 1))


def picture_ids(parts: Sequence[Labels]) -> Tensor:
    """What a file calls every picture, or else 1, 2, 3."""
    if len(parts) == 1 and len(parts[0].ids) == len(parts[0]):
        return torch.tensor(parts[0].ids, dtype=torch.int64)
    return torch.arange(1, sum(map(len, parts)) + 1)
