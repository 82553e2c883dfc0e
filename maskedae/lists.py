"""Read what a root holds, lists in all the forms that `scanning` describes."""

import csv
import os
from collections.abc import Iterator, Sequence
from typing import TextIO

from maskedae.scanning import Rows, Wanted, scan

HELD_OUT = ("val", "valid", "validation", "test")
GONE = "listed, but not there"
Line = tuple[int, str | None, str | None]  # its number; a path, or none is there; a label


def by_layout(root: str, wanted: Wanted) -> tuple[Rows, Rows | None] | None:
    """What to train on and to hold out where a layout knows a root."""
    root = os.path.expanduser(root)
    found = (layout(root, wanted) for layout in wanted.layouts)
    return next((pair for pair in found if pair is not None), None)


def gather_splits(root: str, wanted: Wanted, both: bool = True) -> tuple[Rows, Rows | None]:
    """Find what to train on under a root, and, if both are wanted, what to hold out."""
    if found := by_layout(root, wanted):
        return found
    train, held_out = split_folders(os.path.expanduser(root))
    return gather(train, wanted), gather(held_out, wanted) if held_out and both else None


def gather_held_out(val_root: str | Sequence[str], wanted: Wanted) -> list[Rows]:
    """Find what roots named for it hold out: what a layout holds out of them, or else all."""
    held = list[Rows]()
    for root in [val_root] if isinstance(val_root, str) else val_root:
        first, second = by_layout(root, wanted) or (gather(root, wanted), None)
        held.append(first if second is None else second)
    return held


def split_folders(root: str) -> tuple[str, str | None]:
    """Find what to train on and what to hold out under a root."""
    train = os.path.join(root, "train")
    if not os.path.isdir(train):
        return root, None
    for name in HELD_OUT:
        if os.path.isdir(held_out := os.path.join(root, name)):
            return train, held_out
    # Next to other folders, `train` is a class of vehicles.
    with os.scandir(root) as entries:
        alone = sum(entry.is_dir() for entry in entries) == 1
    return (train if alone else root), None


def gather(root: str, wanted: Wanted) -> Rows:
    """Find the samples of one folder or list."""
    root = os.path.expanduser(root)
    if os.path.isdir(root):
        rows = scan(root, wanted)
        if not rows.ends:
            raise ValueError(f"{root}: looked for {wanted}, found {rows.found()}")
        return rows
    if not os.path.exists(root):
        raise FileNotFoundError(f"{root} does not exist")
    readers = {".csv": csv_lines, ".txt": txt_lines}
    reader = readers.get(os.path.splitext(root)[1].lower())
    if reader is None:
        raise ValueError(f"{root} is neither a folder nor a .txt or .csv list")
    if len(wanted.separator) != 1:
        raise ValueError(f"a separator is one character, not {wanted.separator!r}")
    return read_list(root, reader(root, wanted), wanted)


def read_list(path: str, lines: Iterator[Line], wanted: Wanted) -> Rows:
    """Take the samples of a list as they stand; whether they exist shows when they are read."""
    rows = Rows(os.path.dirname(path) or os.curdir)
    for line, name, label in lines:
        if name is None:
            rows.ignore(GONE)
            continue
        if not name:
            raise ValueError(f"{path}, line {line}: no path")
        # Of several classes none is as good an answer as any.
        label = label if label or wanted.labels == "classes" else None
        if rows.ends and (label is not None) != rows.listed:
            raise ValueError(f"{path}, line {line}: some samples have a label, some have none")
        rows.listed = label is not None
        rows.add(os.fsencode(name), label)
    if not rows.ends and rows.ignored:
        raise ValueError(f"{path}: of {rows.ignored.total()} samples that it lists none is there")
    if not rows.ends:
        raise ValueError(f"{path} lists no samples")
    return rows


def opened(path: str, newline: str = "") -> TextIO:
    """Open a list; names of any bytes come through."""
    return open(path, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def txt_lines(path: str, wanted: Wanted) -> Iterator[Line]:
    """Read one path per line, and a label where a separator follows."""
    with opened(path, "\n") as file:
        line = next((line.rstrip("\r\n") for line in file if line.strip()), "")
    other = guess(line, wanted) if wanted.separator == "\t" and "\t" not in line else ""
    if other and not os.path.lexists(os.path.join(os.path.dirname(path), line)):
        raise ValueError(f"{path}: no tab in the first line, {line!r}; {option(other)}")
    return bare_lines(path, wanted)


def csv_lines(path: str, wanted: Wanted) -> Iterator[Line]:
    """Read columns by name, or bare lines where a separator is given."""
    with opened(path) as file:
        line = next((line for line in file if line.strip("\r\n")), "")
    for delimiter, least in ((",", {"path"}), (wanted.separator, {"path", "label"})):
        columns = next(csv.reader([line], delimiter=delimiter), [])
        if least <= set(columns):
            return column_lines(path, columns, delimiter)
    if wanted.separator != "\t":
        return bare_lines(path, wanted, quotes=True)
    columns = next(csv.reader([line]), [])
    advice = f"; if it is a sample, {option(guess(line, wanted))}" if columns else ""
    raise ValueError(f"{path}: the first line names no column 'path', but {columns}{advice}")


def bare_lines(path: str, wanted: Wanted, quotes: bool = False) -> Iterator[Line]:
    """Read lines that hold a path and what may follow it."""
    with opened(path, "\n") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\r\n")
            if not line.strip():
                continue
            name, label = split(line, wanted.separator, quotes)
            if label is not None:
                name = without_count(name, wanted.separator, os.path.dirname(path))
            elif wanted.separator != "\t":
                advice = option(guess(line, wanted))
                raise ValueError(
                    f"{path}, line {number}: no {wanted.separator!r} in {line!r}; {advice}"
                )
            yield number, name, label


def split(line: str, separator: str, quotes: bool = False) -> tuple[str, str | None]:
    """Tell the path in a line from the label behind its last separator.

    >>> split("a b.mp4 3 ", " "), split('"a,b.mp4","c, d"', ",", quotes=True), split("a", " ")
    (('a b.mp4', '3'), ('a,b.mp4', 'c, d'), ('a', None))
    """
    quoted = quotes and line.startswith('"')
    fields = next(csv.reader([line], delimiter=separator)) if quoted else line.split(separator)
    if len(fields) == 1:
        return fields[0], None
    while len(fields) > 2 and not fields[-1].strip():
        fields.pop()
    return separator.join(fields[:-1]).strip(separator), fields[-1].strip()


def without_count(name: str, separator: str, folder: str) -> str:
    """Drop the number of frames from behind the path of a folder."""
    short, _, count = name.rpartition(separator)
    if not count.isdecimal() or not os.path.isdir(os.path.join(folder, short.strip(separator))):
        return name
    return name if os.path.lexists(os.path.join(folder, name)) else short.strip(separator)


def guess(line: str, wanted: Wanted) -> str:
    """The separator with which a line would hold a path and a label; nothing if none does."""
    for separator in " ,;|":
        name, label = split(line.strip(), separator)
        known = os.path.splitext(name)[1].lower() in wanted.extensions
        if name and label and (known or label.removeprefix("-").isdecimal()):
            return separator
    return ""


def option(separator: str) -> str:
    """Say how lists that others have written are read."""
    return f"say what stands between path and label: --data.separator={separator or ' '!r}"


def table(
    path: str, columns: list[str], delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Read line number and columns below the head."""
    with opened(path) as file:
        reader = csv.DictReader(file, columns, delimiter=delimiter)
        next(reader)
        for row in reader:
            yield reader.line_num, row


def column_lines(path: str, columns: list[str], delimiter: str) -> Iterator[Line]:
    """Read path and label from the columns of those names."""
    for number, row in table(path, columns, delimiter):
        label = (row["label"] or "").strip() if "label" in columns else None
        yield number, row["path"] or "", label
