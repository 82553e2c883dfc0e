"""Turn folders and lists into samples: paths packed into tensors, so that millions cost little.

Python strings would be copied into every loader process, page by page, as their reference counts
are touched; tensors are shared, under fork and spawn alike.
"""

import csv
import hashlib
import math
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

HELD_OUT = ("val", "valid", "validation", "test")
SYSTEM_FILES = {b"Thumbs.db", b".DS_Store"}
HEAD = 64  # bytes by which a file without extension is judged


class Wanted(NamedTuple):
    """Which files are samples."""

    extensions: frozenset[str]  # lower case, with the dot
    sniff: Callable[[bytes], bool]  # judges a file without extension by its first bytes


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
    return read_list(root, reader(root))


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


def read_list(path: str, lines: Iterator[tuple[int, str, str]]) -> Rows:
    """Take the samples of a list as they stand; whether they exist shows when they are read."""
    rows = Rows(os.path.dirname(path) or os.curdir)
    for line, name, label in lines:
        if not name:
            raise ValueError(f"{path}, line {line}: no path")
        if rows.ends and bool(label) != rows.listed:
            raise ValueError(f"{path}, line {line}: some samples have a label, some have none")
        rows.listed = bool(label)
        rows.add(os.fsencode(name), label or None)
    if not rows.ends:
        raise ValueError(f"{path} lists no samples")
    return rows


def txt_rows(path: str) -> Iterator[tuple[int, str, str]]:
    """Read line number, path and label: one path per line, a label after a tab."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                name, _, label = line.rstrip("\r\n").partition("\t")
                yield number, name, label.strip()


def csv_rows(path: str) -> Iterator[tuple[int, str, str]]:
    """Read line number, path and label from the columns of those names."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or [])
        if "path" not in columns:
            raise ValueError(f"{path}: the first line names no column 'path', but {columns}")
        for row in reader:
            yield reader.line_num, row["path"] or "", (row.get("label") or "").strip()


@dataclass(frozen=True)
class Listing:
    """Samples by number: the path of each, and its class where there are classes.

    Folders are labels when every sample lies in a sub-folder of its root and at least two such
    sub-folders differ; whatever lies deeper belongs to the topmost one. Those of a list always are.
    """

    text: Tensor  # (bytes,) uint8, the paths relative to their root, without separators
    offsets: Tensor  # (len + 1,) int64, where in the text each path starts
    labels: Tensor | None  # (len,) int64
    classes: tuple[str, ...]
    roots: tuple[str, ...]
    shares: list[tuple[int, float]]  # per root: its samples, its weight
    ignored: dict[str, int]  # extension, or what else was wrong: how many files
    unlabelled: str  # why there are no labels; empty where there are

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def path(self, index: int) -> str:
        """Say where a sample lies."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        start, stop = self.offsets[index : index + 2].tolist()
        name = os.fsdecode(self.text[start:stop].numpy().tobytes())
        root = 0
        while index >= self.shares[root][0]:
            index, root = index - self.shares[root][0], root + 1
        return os.path.join(self.roots[root], name)

    def pick(self, chosen: np.ndarray) -> "Listing":
        """Keep the samples where a boolean array (len,) says so."""
        lengths = self.offsets.diff().numpy()
        ends = np.cumsum([0] + [count for count, _ in self.shares])
        left = [int(chosen[start:stop].sum()) for start, stop in pairwise(ends)]
        kept = [root for root, count in enumerate(left) if count]
        return replace(
            self,
            text=torch.from_numpy(self.text.numpy()[np.repeat(chosen, lengths)]),
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths[chosen])])),
            labels=None if self.labels is None else self.labels[torch.from_numpy(chosen)],
            roots=tuple(self.roots[root] for root in kept),
            shares=[(left[root], self.shares[root][1]) for root in kept],
        )


class Splits(NamedTuple):
    """What is trained on, and what is kept back."""

    train: Listing
    held_out: Listing | None


def open_splits(
    roots: Sequence[str],
    wanted: Wanted,
    *,
    val_root: str | None = None,
    weights: Sequence[float] | None = None,
    held_out_share: float = 0.0,
) -> Splits:
    """List the samples of all roots, with one numbering of classes for both splits.

    Held out is `val_root`; else what roots bring along, in `val/` or the like next to `train/`;
    else, where there are labels, a share that depends on each path alone. Weights say how often
    the roots are drawn, relative to each other; by default, as often as they have samples.
    """
    if not 0 <= held_out_share < 1:
        raise ValueError(f"cannot hold out a share of {held_out_share}: it must lie in [0, 1)")
    pairs = [split_folders(os.path.expanduser(root)) for root in roots]
    train = [gather(first, wanted) for first, _ in pairs]
    brought = [second for _, second in pairs if second]
    held = [gather(root, wanted) for root in ([val_root] if val_root else brought)]
    classes = class_names(train + held)
    listing = pack(train, classes, weights)
    if held:
        return Splits(listing, pack(held, classes))
    drawn = draw(listing, held_out_share if listing.labels is not None else 0.0)
    if not drawn.any() or drawn.all():
        return Splits(listing, None)
    return Splits(listing.pick(~drawn), listing.pick(drawn))


def list_named(paths: Sequence[str], wanted: Wanted) -> Listing:
    """List files, folders and lists named by hand, in their order, without labels."""
    parts: list[Rows] = []
    for path in paths:
        if os.path.isdir(path) or path.lower().endswith((".txt", ".csv")):
            parts.append(gather(path, wanted))
            continue
        if not os.path.lexists(path):
            raise FileNotFoundError(f"{path} does not exist")
        if not parts or parts[-1].root:
            parts.append(Rows(""))
        parts[-1].add(os.fsencode(path), None)
    if not parts:
        raise ValueError("name at least one file or folder")
    return pack(parts, ())


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


def class_names(parts: Sequence[Rows]) -> tuple[str, ...]:
    """Merge the classes of all roots by name; a single folder is no class."""
    names = {name for part in parts for name in part.groups}
    labelled = len(names) > 1 or any(part.listed for part in parts)
    return tuple(sorted(names)) if labelled else ()


def pack(
    parts: Sequence[Rows], classes: tuple[str, ...], weights: Sequence[float] | None = None
) -> Listing:
    """Join the samples of several roots."""
    counts = [len(part.ends) for part in parts]
    if weights is None:
        weights = [float(count) for count in counts]
    if len(weights) != len(parts) or not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"{len(parts)} roots need as many positive weights, not {list(weights)}")
    sizes = np.concatenate([np.diff(part.ends, prepend=0) for part in parts])
    number = {name: index for index, name in enumerate(classes)}
    # One more entry than groups, so that the group of a sample without one, -1, stays -1.
    tables = [np.array([*(number.get(name, -1) for name in part.groups), -1]) for part in parts]
    labels = np.concatenate([table[part.group] for table, part in zip(tables, parts, strict=True)])
    reason = why_unlabelled(labels, classes, parts)
    return Listing(
        text=torch.cat([torch.frombuffer(part.text, dtype=torch.uint8) for part in parts]),
        offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])),
        labels=None if reason else torch.from_numpy(labels),
        classes=() if reason else classes,
        roots=tuple(part.root for part in parts),
        shares=list(zip(counts, map(float, weights), strict=True)),
        ignored=dict(sum((part.ignored for part in parts), Counter())),
        unlabelled=reason,
    )


def why_unlabelled(labels: np.ndarray, classes: tuple[str, ...], parts: Sequence[Rows]) -> str:
    """Say why samples have no labels; nothing if all have one."""
    loose = int((labels < 0).sum())
    if classes and loose:
        return f"{loose} of {len(labels)} samples have none: they lie in no class folder"
    if classes:
        return ""
    folders = [name for part in parts for name in part.groups]
    return f"all samples lie in one folder, {folders[0]}" if folders else "there are no sub-folders"


def draw(listing: Listing, share: float) -> np.ndarray:
    """Draw a share of the samples by their paths, so that new files move no old one: (len,)."""
    limit, text = int(share * 2**64), listing.text.numpy().data
    digests = (
        hashlib.blake2b(text[start:stop], digest_size=8).digest()
        for start, stop in pairwise(listing.offsets.tolist())
    )
    drawn = (int.from_bytes(digest, "big") < limit for digest in digests)
    return np.fromiter(drawn, dtype=bool, count=len(listing))
