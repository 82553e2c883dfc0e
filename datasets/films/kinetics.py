"""Kinetics' own lists of films (arXiv:1705.06950).

    label,youtube_id,time_start,time_end    columns of these names among any, in a .csv; without
                                            `label`, or where it is empty, no labels

The films are files ID_000012_000022 or else ID, of any wanted extension, or folders of frames,
anywhere in the folder of the list; rows of which there is none are counted.
"""

import csv
import os
from collections.abc import Iterator

from maskedae.lists import Line, opened, read_list, table
from maskedae.scanning import Rows, Wanted, scan

INTERVALS = {"youtube_id", "time_start", "time_end"}


def kinetics(root: str, wanted: Wanted) -> tuple[Rows, None] | None:
    """Open such a list, which says nothing of what to hold out; None if a root is none."""
    if not root.lower().endswith(".csv") or not os.path.isfile(root):
        return None
    with opened(root) as file:
        line = next((line for line in file if line.strip("\r\n")), "")
    columns = next(csv.reader([line]), [])
    if "path" in columns or not set(columns) >= INTERVALS:
        return None
    return read_list(root, interval_lines(root, columns, wanted), wanted), None


def interval_lines(path: str, columns: list[str], wanted: Wanted) -> Iterator[Line]:
    """Find the films of intervals."""
    folder = os.path.dirname(path) or os.curdir
    rows, there = scan(folder, wanted), dict[bytes, bytes]()
    for name in rows:
        stem = os.path.splitext(os.path.basename(name))[0]
        there[stem] = min(name, there.get(stem, name))
    found, names = False, ("", "")
    for number, row in table(path, columns):
        names = interval_names(row, f"{path}, line {number}")
        hits = [there[stem] for stem in map(os.fsencode, names) if stem in there]
        found = found or bool(hits)
        label = (row["label"] or "").strip() if "label" in columns else None
        yield number, os.fsdecode(hits[0]) if hits else None, label
    if not found and any(names):
        raise ValueError(
            f"{path}: nothing that it lists is there; looked in {folder} and below for files such "
            f"as {' or '.join(names)}, {wanted}, found {len(rows.ends)} of other names"
        )


def interval_names(row: dict[str, str | None], place: str) -> tuple[str, str]:
    """What the film of an interval, or that of all it was cut from, is called.

    >>> interval_names({"youtube_id": "-aB_9", "time_start": "2", "time_end": "12"}, "")
    ('-aB_9_000002_000012', '-aB_9')
    """
    name, times = row["youtube_id"] or "", [row["time_start"], row["time_end"]]
    try:
        start, end = (int(float(time or "")) for time in times)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{place}: {times} are no seconds") from error
    return f"{name}_{start:06d}_{end:06d}", name
