"""A sheet of pictures with their boxes drawn."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from maskedae.box_views import Fit
from maskedae.data import BadSample
from maskedae.datasets.boxes import BoxSource
from maskedae.datasets.labels.opening import Tables
from maskedae.datasets.labels.packed import Table
from maskedae.drawn_boxes import draw_boxes
from maskedae.evaluation import spread
from maskedae.pictures import Cell, contact_sheet

SIDE, COLUMNS = 320, 4  # pixels of a picture, pictures of a row
ROWS = {"train": 3, "held_out": 1}


def draw_sheet(tables: Tables, path: Path) -> int:
    """Draw pictures of both splits, evenly taken; return how many."""
    cells: list[Cell] = []
    for split, rows in ROWS.items():
        table = getattr(tables, split)
        cells += [] if table is None else list(cells_of(table, split, rows * COLUMNS))
    lines = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    contact_sheet(lines, "boxes as the labels tell them").save(path, format="PNG")
    return len(cells)


def cells_of(table: Table, split: str, count: int) -> Iterator[Cell]:
    """Some pictures of a split; those that cannot be read make room for the next."""
    source = BoxSource(table, (3, SIDE, SIDE), Fit((SIDE, SIDE)), masks=False)
    numbers = spread(len(source), count)
    others = sorted(set(range(len(source))) - set(numbers)) if len(source) < 1000 else []
    for index in [*numbers, *others]:
        if not count:
            return
        with suppress(BadSample):
            boxed = source.read(index)
            (picture,), (truth,) = boxed.pictures, boxed.truths
            drawn = draw_boxes(picture, truth.boxes, truth.labels, table.classes)
            count -= 1
            yield Cell(f"{split}: {Path(source.name(index)).name}", drawn.movedim(0, -1))
