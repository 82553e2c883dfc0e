"""Find samples in folders and lists."""

import csv
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from maskedae.answers import Kind

SYSTEM_FILES = {b"Thumbs.db", b".DS_Store"}
HEAD = 64  # bytes by which a file without extension is judged


class Wanted(NamedTuple):
    """Which files are samples."""

    extensions: frozenset[str]  # lower case, with the dot
    sniff: Callable[[bytes], bool]  # judges a file without extension by its first bytes
    labels: Kind = "class"  # what the label of a sample is


class Rows:
    """The samples of one root while they are found."""

    def __init__(self, root: str, listed: bool = False) -> None:
        self.root, self.listed = root, listed
        self.text = bytearray()
        self.ends = array("q")
        self.group = array("q")  # of each sample: its number in `groups`, or -1
        self.groups: dict[str, int] = {}
        self.ignored: Counter[str] = Counter()

    def add(self, path: bytes, group: str | None) -> None:
        """Take a sample in."""
        self.text += path
        self.ends.append(len(self.text))
        number = -1 if group is None else self.groups.setdefault(group, len(self.groups))
        self.group.append(number)

    def ignore(self, kind: str) -> None:
        """Count what is no sample; frames numbered .000001, .000002 do not fill the memory."""
        self.ignored[kind if kind in self.ignored or len(self.ignored) < 100 else "other"] += 1


def gather(root: str, wanted: Wanted) -> Rows:
    """Find the samples of one folder or list."""
    root = os.path.expanduser(root)
    if os.path.isdir(root):
        rows = scan(root, wanted)
        if not rows.ends:
            extensions = " ".join(sorted(wanted.extensions))
            found = [f"{count} x {kind}" for kind, count in sorted(rows.ignored.items())]
            found = found or ["nothing at all"]
            raise ValueError(f"{root}: looked for {extensions}, found {', '.join(found)}")
        return rows
    if not os.path.exists(root):
        raise FileNotFoundError(f"{root} does not exist")
    readers = {".csv": csv_rows, ".txt": txt_rows}
    reader = readers.get(os.path.splitext(root)[1].lower())
    if reader is None:
        raise ValueError(f"{root} is neither a folder nor a .txt or .csv list")
    return read_list(root, reader(root), wanted.labels)


def scan(root: str, wanted: Wanted) -> Rows:
    """Walk through a folder in sorted order, through links but not in circles."""
    rows, top = Rows(root), os.fsencode(root)
    folders: list[tuple[bytes, frozenset[tuple[int, int]]]] = [(b"", frozenset())]
    while folders:
        folder, above = folders.pop()
        here = os.path.join(top, folder)
        try:
            status = os.stat(here)
            itself = (status.st_dev, status.st_ino)
            if itself in above:
                rows.ignore("link to a folder above it")
                continue
            files, inner = sift(here, rows, wanted)
        except OSError:
            rows.ignore("folder that cannot be opened")
            continue
        group = os.fsdecode(folder.split(os.fsencode(os.sep))[0]) if folder else None
        for name in files:
            rows.add(os.path.join(folder, name), group)
        below = above | {itself}
        folders += [(os.path.join(folder, name), below) for name in reversed(inner)]
    return rows


def sift(folder: bytes, rows: Rows, wanted: Wanted) -> tuple[list[bytes], list[bytes]]:
    """Tell the samples and the sub-folders of one folder, by name, from all else."""
    files: list[bytes] = []
    inner: list[bytes] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_dir() and not entry.name.startswith(b"."):
                    inner.append(entry.name)
                elif kind := why_not(entry, wanted):
                    rows.ignore(kind)
                else:
                    files.append(entry.name)
            except OSError:
                rows.ignore("file that cannot be opened")
    return sorted(files), sorted(inner)


def why_not(entry: os.DirEntry[bytes], wanted: Wanted) -> str:
    """Say why an entry is no sample; nothing if it is one."""
    if entry.name.startswith(b"._") or entry.name in SYSTEM_FILES:
        return "system file"
    if entry.is_dir():
        return "hidden folder"  # .ipynb_checkpoints holds copies, .git is no class
    if not entry.is_file():
        return "broken link" if entry.is_symlink() else "pipe, socket or device"
    extension = os.fsdecode(os.path.splitext(entry.name)[1]).lower()
    if extension:
        return "" if extension in wanted.extensions else extension
    with open(entry.path, "rb") as file:
        return "" if wanted.sniff(file.read(HEAD)) else "file without extension"


def read_list(path: str, lines: Iterator[tuple[int, str, str | None]], labels: Kind) -> Rows:
    """Take the samples of a list as they stand; whether they exist shows when they are read."""
    rows = Rows(os.path.dirname(path) or os.curdir)
    for line, name, label in lines:
        if not name:
            raise ValueError(f"{path}, line {line}: no path")
        # Of several classes none is as good an answer as any.
        label = label if label or labels == "classes" else None
        if rows.ends and (label is not None) != rows.listed:
            raise ValueError(f"{path}, line {line}: some samples have a label, some have none")
        rows.listed = label is not None
        rows.add(os.fsencode(name), label)
    if not rows.ends:
        raise ValueError(f"{path} lists no samples")
    return rows


def txt_rows(path: str) -> Iterator[tuple[int, str, str | None]]:
    """Read line number, path and label: one path per line, a label after a tab."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                name, tab, label = line.rstrip("\r\n").partition("\t")
                yield number, name, label.strip() if tab else None


def csv_rows(path: str) -> Iterator[tuple[int, str, str | None]]:
    """Read line number, path and label from the columns of those names."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or [])
        if "path" not in columns:
            raise ValueError(f"{path}: the first line names no column 'path', but {columns}")
        for row in reader:
            label = (row["label"] or "").strip() if "label" in columns else None
            yield reader.line_num, row["path"] or "", label
