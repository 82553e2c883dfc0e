"""Find samples in folders, and know what lists may look like.

A sample is a file or, if `leaves` are wanted, a folder of single frames: one that holds such files
and, itself or below, nothing else that is a sample. A root is one of:

    folder               holds samples at any depth; the topmost of its sub-folders that a sample
                         lies in is its class
    .txt
      path               no labels
      path TAB label     instead of the tab stands `separator`, if that is given
    .csv
      path,label         columns of these names among any; without `label`, no labels
      path label         no head, but `separator` is given, here a blank
    what a layout knows  files of `datasets/` bring layouts of their own, which are asked first

Lines are split from the right, so that a path may hold the separator; in .csv it may be quoted.
Of `path number label` the number is dropped if `path` is a folder and `path number` is nothing.
Paths are relative to the folder of the list. Classes are sorted by name, or as numbers if all are:
the indices 0, 1, 2 stay what they are.
"""

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
    separator: str = "\t"  # what stands between path and label in a list
    leaves: frozenset[str] = frozenset()  # extensions of frames: a folder of them is one sample
    # Each opens roots of one form: what to train on, and to hold out; None of any other root.
    layouts: "tuple[Callable[[str, Wanted], tuple[Rows, Rows | None] | None], ...]" = ()

    def __str__(self) -> str:
        frames = f" or folders of {' '.join(sorted(self.leaves))}" if self.leaves else ""
        return " ".join(sorted(self.extensions)) + frames


class Rows:
    """The samples of one root while they are found."""

    def __init__(self, root: str, listed: bool = False) -> None:
        self.root, self.listed = root, listed
        self.text = bytearray()
        self.ends = array("q")
        self.group = array("q")  # of each sample: its number in `groups`, or -1
        self.groups: dict[str, int] = {}
        self.framed = False  # whether samples are folders of frames
        self.ignored: Counter[str] = Counter()
        # Class names in their order, where groups are numbers of them: "3", or "3|17" for two.
        self.names: tuple[str, ...] = ()
        self.weights = array("d")  # how often each sample is to be drawn, or empty
        self.notes: list[str] = []  # what is worth knowing, in words

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self.ends:
            yield bytes(self.text[start:end])
            start = end

    def add(self, path: bytes, group: str | None) -> None:
        """Take a sample in."""
        self.text += path
        self.ends.append(len(self.text))
        number = -1 if group is None else self.groups.setdefault(group, len(self.groups))
        self.group.append(number)

    def ignore(self, kind: str, count: int = 1) -> None:
        """Count what is no sample; frames numbered .000001, .000002 do not fill the memory."""
        known = kind in self.ignored or len(self.ignored) < 100
        self.ignored[kind if known else "other"] += count

    def found(self) -> str:
        """Say in words what was ignored."""
        kinds = [f"{count} x {kind}" for kind, count in sorted(self.ignored.items())]
        return ", ".join(kinds or ["nothing at all"])


class Visit(NamedTuple):
    """A folder to look into, or one that holds frames, when all below it has been seen."""

    folder: bytes
    above: frozenset[tuple[int, int]] = frozenset()
    frames: Counter[str] | None = None  # by extension
    before: int = 0  # samples found before those of this folder


def scan(root: str, wanted: Wanted) -> Rows:
    """Walk through a folder in sorted order, through links but not in circles."""
    rows, top = Rows(root), os.fsencode(root)
    visits = [Visit(b"")]
    while visits:
        folder, above, frames, before = visits.pop()
        if frames:
            settle(folder, frames, rows, alone=len(rows.ends) == before)
            continue
        here = os.path.join(top, folder)
        try:
            status = os.stat(here)
            itself = (status.st_dev, status.st_ino)
            if itself in above:
                rows.ignore("link to a folder above it")
                continue
            files, inner, frames = sift(here, rows, wanted)
        except OSError:
            rows.ignore("folder that cannot be opened")
            continue
        if frames:
            visits.append(Visit(folder, frames=frames, before=len(rows.ends)))
        group = topmost(folder)
        for name in files:
            rows.add(os.path.join(folder, name), group)
        below = above | {itself}
        visits += [Visit(os.path.join(folder, name), below) for name in reversed(inner)]
    return rows


def sift(
    folder: bytes, rows: Rows, wanted: Wanted
) -> tuple[list[bytes], list[bytes], Counter[str]]:
    """Tell samples and sub-folders of one folder, by name, and counts of frames from all else."""
    files: list[bytes] = []
    inner: list[bytes] = []
    frames: Counter[str] = Counter()
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_dir() and not entry.name.startswith(b"."):
                    inner.append(entry.name)
                elif not (kind := why_not(entry, wanted)):
                    files.append(entry.name)
                elif kind in wanted.leaves:
                    frames[kind] += 1
                else:
                    rows.ignore(kind)
            except OSError:
                rows.ignore("file that cannot be opened")
    return sorted(files), sorted(inner), frames


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


def settle(folder: bytes, frames: Counter[str], rows: Rows, alone: bool) -> None:
    """Take a folder of frames in as a sample if no other was found in it or below."""
    if not alone:
        for kind, count in frames.items():
            rows.ignore(kind, count)
        return
    rows.framed = True
    if folder:
        rows.add(folder, topmost(os.path.dirname(folder)))
    else:
        rows.root, name = os.path.split(os.path.abspath(rows.root))
        rows.add(os.fsencode(name), None)


def topmost(folder: bytes) -> str | None:
    """The first of the folders that lead to a folder below the root."""
    return os.fsdecode(folder.split(os.fsencode(os.sep))[0]) if folder else None
