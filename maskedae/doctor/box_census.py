"""What labels with boxes are like: classes, sizes, faults, in plain values."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from maskedae.datasets.labels.joining import class_order, join
from maskedae.datasets.labels.labels import UNTOLD, Faults, Labels, Reading, pictures_in
from maskedae.datasets.labels.opening import Tables, demand_labels, find_labels
from maskedae.datasets.labels.packed import Table
from maskedae.doctor.census import UNEVEN
from maskedae.listing import Splits

SIZES = {"small": 32**2, "medium": 96**2, "large": np.inf}  # where COCO draws lines: pixels


def find_tables(root: str, kinds: tuple[str, ...]) -> tuple[Tables | None, str]:
    """Read the labels of a root, masks too; None if it has none with boxes, and why if that is odd.

    Where nothing but boxes is wanted, what cannot be read raises ValueError.
    """
    if "boxes" not in kinds:
        return None, ""
    reading = Reading(masks=True)
    if kinds == ("boxes",):
        return tables_of(demand_labels(root, reading)), ""
    try:
        found = find_labels(root, reading)
    except ValueError as error:
        return None, f"no boxes are checked: {error}"
    return None if found is None else tables_of(found), ""


def tables_of(found: tuple[Labels, Labels | None]) -> Tables:
    """Put the labels of both splits in tables."""
    parts = [part for part in found if part is not None]
    classes = class_order(parts)  # of both, so that none is unknown for being in one split only
    train, *held = [join([part], classes, masks=False) for part in parts]
    return Tables(train, held[0] if held else None)


def splits_of(tables: Tables) -> Splits:
    """The pictures of both splits."""
    return Splits(
        tables.train.listing, None if tables.held_out is None else tables.held_out.listing
    )


def size_fault(tables: Tables, index: int, size: list[int]) -> str:
    """Say that a picture is of another size (width, height) than its label says, if it is."""
    train, held_out = tables
    table, number = (train, index) if index < len(train) else (held_out, index - len(train))
    return "" if table is None else table.size_fault(number, (size[1], size[0]))


def box_facts(tables: Tables) -> dict[str, Any]:
    """All that labels tell, in plain values."""
    named = {name: table for name, table in tables._asdict().items() if table is not None}
    per_class = {name: table.per_class().numpy() for name, table in named.items()}
    faults = found_faults(list(named.values()))
    return {
        "classes": {
            name: {split: int(counts[number]) for split, counts in per_class.items()}
            for number, name in enumerate(tables.train.classes)
        },
        "splits": {name: split_facts(table) for name, table in named.items()},
        "faults": [
            {"fault": kind, "count": count, "files": list(faults.files[kind])}
            for kind, count in faults.counts.most_common()
        ],
        "odd": list(odd(per_class, tables.train.classes)),
    }


def split_facts(table: Table) -> dict[str, Any]:
    """How many boxes there are, how large they are, and on how many pictures."""
    owner = np.repeat(np.arange(len(table)), table.offsets.diff().numpy())
    things = ~table.crowds.numpy()
    numbers = np.bincount(owner[things], minlength=len(table))
    sides = (table.boxes[:, 2:] - table.boxes[:, :2]).numpy()[things]
    whole = table.sizes.numpy()[owner[things]].prod(1)
    shares = sides.prod(1)[whole > 0] / whole[whole > 0]
    areas = table.areas.numpy()[things]  # of masks, if they are told, as for COCO's scores
    kinds = np.searchsorted(list(SIZES.values()), areas, side="right")
    return {
        "pictures": len(table),
        "boxes": int(things.sum()),
        "crowds": int((~things).sum()),
        "masks": int((table.segment_offsets.diff() > 0).sum()),
        "pictures without boxes": int((numbers == 0).sum()),
        "boxes of a picture": extent(numbers),
        "width x height": [extent(sides[:, 0]), extent(sides[:, 1])],
        "share of the picture": extent(shares),
        "sizes": {name: int((kinds == number).sum()) for number, name in enumerate(SIZES)},
    }


def extent(values: np.ndarray) -> dict[str, float]:
    """Smallest, median and largest; nothing of nothing."""
    if not len(values):
        return {}
    found = {"min": values.min(), "median": np.median(values), "max": values.max()}
    return {name: float(value) for name, value in found.items()}


def found_faults(tables: Sequence[Table]) -> Faults:
    """What is wrong in all splits; pictures that no label tells of, too."""
    faults = Faults().join(table.faults for table in tables)
    if UNTOLD in faults.counts:
        return faults
    listed = {
        os.path.normpath(table.listing.path(index))
        for table in tables
        for index in range(len(table))
    }
    roots = {root for table in tables for root in table.listing.roots if root}
    for root in sorted(roots):
        for path in (os.path.normpath(os.path.join(root, name)) for name in pictures_in(root)):
            if path not in listed:
                listed.add(path)  # once, where roots lie in each other
                faults.add(UNTOLD, path)
    return faults


def odd(per_class: dict[str, np.ndarray], classes: tuple[str, ...]) -> Iterator[str]:
    """What is worth a warning about the classes."""
    for split, counts in per_class.items():
        others = [other for name, other in per_class.items() if name != split]
        gone = counts == 0
        if others:
            only = [classes[number] for number in np.flatnonzero(gone & (others[0] > 0))]
            if only:
                yield f"{split}: no box of {', '.join(only)}, which the other split has"
            gone &= others[0] == 0
        if gone.any() and split == "train":
            names = [classes[number] for number in np.flatnonzero(gone)]
            yield f"no box at all of {', '.join(names)}"
        some = counts[counts > 0]
        if len(some) and some.max() >= UNEVEN * some.min():
            yield f"{split}: classes have from {some.min():,} to {some.max():,} boxes"
