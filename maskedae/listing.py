"""Turn folders and lists into samples: paths packed into tensors, so that millions cost little.

Python strings would be copied into every loader process, page by page, as their reference counts
are touched; tensors are shared, under fork and spawn alike.
"""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskedae.answers import Kind
from maskedae.labelling import class_names, labels_of, why_unlabelled
from maskedae.lists import by_layout, gather, gather_held_out, gather_splits
from maskedae.scanning import Rows, Wanted

EXPECTED = ("system file", "hidden folder")  # that nobody misses


@dataclass(frozen=True)
class Listing:
    """Samples by number: the path of each, and its class, classes or value where there are any.

    Folders are labels when every sample lies in a sub-folder of its root and at least two such
    sub-folders differ; whatever lies deeper belongs to the topmost one. Those of a list always are.
    """

    text: Tensor  # (bytes,) uint8, the paths relative to their root, without separators
    offsets: Tensor  # (len + 1,) int64, where in the text each path starts
    labels: Tensor | None  # (len,) int64; (len, classes) bool; or (len,) float32 of values
    classes: tuple[str, ...]
    roots: tuple[str, ...]
    shares: list[tuple[int, float]]  # per root: its samples, its weight
    ignored: dict[str, int]  # extension, or what else was wrong: how many files
    unlabelled: str  # why there are no labels; empty where there are
    framed: bool = False  # whether samples are folders of frames
    weights: Tensor | None = None  # (len,) float64, how often to draw each, where lists say so
    notes: tuple[str, ...] = ()  # what is worth knowing, in words

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def fingerprint(self) -> str:
        """A digest of the paths below their roots, in order."""
        digest = hashlib.blake2b(self.text.numpy().data, digest_size=16)
        digest.update(self.offsets.numpy().data)
        return digest.hexdigest()

    @property
    def remarks(self) -> str:
        """What was left out, whether folders are samples, and what else is known, in words."""
        left = {kind: count for kind, count in self.ignored.items() if kind not in EXPECTED}
        found = [f"left out: {', '.join(f'{left[kind]} {kind}' for kind in sorted(left))}"]
        framed = ["folders that hold nothing but frames are samples, too"]
        return "; ".join([*self.notes, *found * bool(left), *framed * self.framed])

    def path(self, index: int) -> str:
        """Say where a sample lies."""
        return os.path.join(*self.place(index))

    def place(self, index: int) -> tuple[str, str]:
        """The root of a sample, and its path below."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        start, stop = self.offsets[index : index + 2].tolist()
        name = os.fsdecode(self.text[start:stop].numpy().tobytes())
        root = 0
        while index >= self.shares[root][0]:
            index, root = index - self.shares[root][0], root + 1
        return self.roots[root], name

    def pick(self, chosen: np.ndarray) -> "Listing":
        """Keep the samples where a boolean array (len,) says so."""
        lengths = self.offsets.diff().numpy()
        ends = np.cumsum([0] + [count for count, _ in self.shares])
        left = [int(chosen[start:stop].sum()) for start, stop in pairwise(ends)]
        kept = [root for root, count in enumerate(left) if count]
        samples = torch.from_numpy(chosen)
        return replace(
            self,
            text=torch.from_numpy(self.text.numpy()[np.repeat(chosen, lengths)]),
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths[chosen])])),
            labels=None if self.labels is None else self.labels[samples],
            weights=None if self.weights is None else self.weights[samples],
            roots=tuple(self.roots[root] for root in kept),
            shares=[(left[root], self.shares[root][1]) for root in kept],
        )


class Splits(NamedTuple):
    """What is trained on, and what is kept back."""

    train: Listing
    held_out: Listing | None


def open_splits(
    root: str | Sequence[str] | None,
    wanted: Wanted,
    *,
    val_root: str | Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    held_out_share: float = 0.0,
) -> Splits:
    """List the samples of all roots, with one numbering of classes for both splits.

    One root or several. Held out is `val_root`; else what roots bring along, by a layout, or in
    `val/` or the like next to `train/`; else, where there are labels, a share that depends on each
    path alone. Weights say how often the roots are drawn, relative to each other; by default, as
    often as they have samples. Raises ValueError where there are none.
    """
    if not 0 <= held_out_share < 1:
        raise ValueError(f"cannot hold out a share of {held_out_share}: it must lie in [0, 1)")
    if not root:
        raise ValueError("say where the samples are: --data.root DIR")
    roots = [root] if isinstance(root, str) else root
    pairs = [gather_splits(root, wanted, both=not val_root) for root in roots]
    train = [first for first, _ in pairs]
    brought = [second for _, second in pairs if second is not None]
    held = gather_held_out(val_root, wanted) if val_root else brought
    classes = class_names(train + held, wanted.labels)
    listing = pack(train, classes, weights, wanted.labels)
    if held:
        return Splits(listing, pack(held, classes, None, wanted.labels))
    return hold_out(listing, held_out_share if listing.labels is not None else 0.0)


def list_named(paths: Sequence[str], wanted: Wanted) -> Listing:
    """List files, folders and lists named by hand, in their order, without labels."""
    parts: list[Rows] = []
    for path in paths:
        if found := by_layout(path, wanted):
            parts += [part for part in found if part is not None]
            continue
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


def pack(
    parts: Sequence[Rows],
    classes: tuple[str, ...],
    weights: Sequence[float] | None = None,
    kind: Kind = "class",
) -> Listing:
    """Join the samples of several roots."""
    counts = [len(part.ends) for part in parts]
    if weights is None:
        weights = [float(count) for count in counts]
    if len(weights) != len(parts) or not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"{len(parts)} roots need as many positive weights, not {list(weights)}")
    sizes = np.concatenate([np.diff(part.ends, prepend=0) for part in parts])
    reason = why_unlabelled(parts, classes, kind)
    return Listing(
        text=torch.cat([torch.frombuffer(part.text, dtype=torch.uint8) for part in parts]),
        offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])),
        labels=None if reason else torch.cat([labels_of(part, classes, kind) for part in parts]),
        classes=() if reason else classes,
        roots=tuple(part.root for part in parts),
        shares=list(zip(counts, map(float, weights), strict=True)),
        ignored=dict(sum((part.ignored for part in parts), Counter())),
        unlabelled=reason,
        framed=any(part.framed for part in parts),
        weights=torch.cat([torch.frombuffer(part.weights, dtype=torch.float64) for part in parts])
        if all(part.weights for part in parts)
        else None,
        notes=tuple(note for part in parts for note in part.notes),
    )


def hold_out(listing: Listing, share: float) -> Splits:
    """Hold out a share of the samples, drawn by their paths."""
    drawn = draw_by_path(listing, share)
    if not drawn.any() or drawn.all():
        return Splits(listing, None)
    return Splits(listing.pick(~drawn), listing.pick(drawn))


def draw_by_path(listing: Listing, share: float) -> np.ndarray:
    """Draw a share of the samples by path, so that new files move no old one: (len,) bool."""
    limit, text = int(share * 2**64), listing.text.numpy().data
    digests = (
        hashlib.blake2b(text[start:stop], digest_size=8).digest()
        for start, stop in pairwise(listing.offsets.tolist())
    )
    each = (int.from_bytes(digest, "big") < limit for digest in digests)
    return np.fromiter(each, dtype=bool, count=len(listing))
