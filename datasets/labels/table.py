"""Boxes as a table tells them, one in a row: a .csv with a header, whatever stands between columns.

Columns are the path of a picture, left, top, right and bottom of a box in pixels, and its class, by
any of the names below; others are passed over, but for width and height of the picture. A row whose
box is empty tells of a picture without boxes. A root is such a file, or a folder that holds one for
each split, or one for all.
"""

import csv
import os
from collections.abc import Iterator

from maskedae.datasets.labels.finding import picture_folder, split_files
from maskedae.datasets.labels.labels import (
    Corners,
    Labels,
    Reading,
    number_of,
    paired,
    told_size,
)
from maskedae.lists import opened

COLUMNS = {
    "path": ("path", "filename", "file_name", "image_path", "image", "file", "img", "image_id"),
    "x1": ("x1", "xmin", "x_min", "left"),
    "y1": ("y1", "ymin", "y_min", "top"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
    "label": ("label", "class", "class_name", "name", "category"),
}
SIDES = ("x1", "y1", "x2", "y2")
SPLIT_FILES = ["{}.csv", "{}_labels.csv", "{}/_annotations.csv", "annotations/{}.csv"]
WHOLE = ["labels.csv", "annotations.csv", "_annotations.csv", "boxes.csv"]


def open_table(root: str, reading: Reading) -> tuple[Labels, Labels | None] | None:
    """What to train on and what to hold out of a root; None if it is no table of boxes."""
    if os.path.isfile(root):
        known = root.lower().endswith(".csv") and header(root) is not None
        return (read(root), None) if known else None
    whole = [(os.path.join(root, name), None) for name in WHOLE]
    for train, held_out in [split_files(root, SPLIT_FILES), *whole]:
        if found := paired(read_file(train), read_file(held_out)):
            return found
    return None


def read_file(path: str | None) -> Labels | None:
    """Take in what a file tells, if there is one and it is a table of boxes."""
    there = path is not None and os.path.isfile(path) and header(path) is not None
    return read(path) if path and there else None


def header(path: str) -> tuple[dict[str, str], str] | None:
    """What columns of a file hold what, by our names, and what stands between; None of others."""
    with opened(path) as file:
        line = next((line for line in file if line.strip()), "")
    for delimiter in ",;\t":
        columns = [column.strip().strip('"') for column in line.split(delimiter)]
        by_name = {column.lower(): column for column in reversed(columns)}
        found = {
            ours: by_name[name]
            for ours, theirs in COLUMNS.items()
            for name in reversed(theirs)
            if name in by_name
        }
        if len(found) == len(COLUMNS):
            return found | {n: by_name[n] for n in ("width", "height") if n in by_name}, delimiter
    return None


def rows_of(path: str) -> Iterator[dict[str, str]]:
    """The rows of a file, by our names of columns, and empty where they are too short."""
    found = header(path)
    assert found is not None, path
    columns, delimiter = found
    with opened(path) as file:
        reader = csv.DictReader(filter(str.strip, file), delimiter=delimiter)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
        try:
            for row in reader:
                yield {ours: (row.get(theirs) or "").strip() for ours, theirs in columns.items()}
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def read(path: str) -> Labels:
    """Take in all pictures and boxes of a file."""
    names = dict.fromkeys(row["path"] for row in rows_of(path) if row["path"])
    if not names:
        raise ValueError(f"{path} lists no pictures")
    labels = Labels(picture_folder(path, list(names)))
    pictures: dict[str, int] = {}
    for row in rows_of(path):
        if not (name := row["path"]):
            labels.faults.add("rows without a picture", path)
            continue
        if name not in pictures:
            size = told_size(row.get("height"), row.get("width"))
            pictures[name] = labels.add_picture(name, size)
        if any(row[side] for side in SIDES):
            label = labels.number(row["label"]) if row["label"] else -1
            labels.add_box(pictures[name], corners(row), label)
    labels.refuse_shares(path)
    labels.sort_classes()
    return labels


def corners(row: dict[str, str]) -> Corners:
    """Corners of the box of a row, NaN where there is no number."""
    left, top, right, bottom = (number_of(row[side]) for side in SIDES)
    return left, top, right, bottom
