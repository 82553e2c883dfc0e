"""Long recordings cut into windows of time, each a sample of its own."""

import hashlib
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from maskedae.data import BadSample
from maskedae.listing import Listing
from maskedae.progress import Meter

SOME = 100  # files that take long enough to be counted aloud
ROUNDING = 1.001e-3  # seconds: some files round to milliseconds


class Windows(NamedTuple):
    """All windows of the files of a split."""

    files: Tensor  # (len,) of which file each is
    spans: Tensor  # (len, 2) float64, from which second to which it goes
    labels: Tensor | None
    shares: list[tuple[int, float]]
    fingerprint: str


def cut_all(
    listing: Listing, seconds: Callable[[str], float], window: float, hop: float
) -> Windows:
    """Cut all files into windows, each with the label of its file.

    `seconds` tells how long a file is, or raises BadSample.
    """
    files, spans = find_all(listing, seconds, window, hop)
    digest = hashlib.blake2b(spans.numpy().data, digest_size=8).hexdigest()
    labels = None if listing.labels is None else listing.labels[files]
    return Windows(files, spans, labels, [(len(files), 1.0)], f"{listing.fingerprint}-{digest}")


def find_all(
    listing: Listing, seconds: Callable[[str], float], window: float, hop: float
) -> tuple[Tensor, Tensor]:
    """Of which file each window is (len,), from which second to which it goes (len, 2)."""
    files, spans = list[int](), list[tuple[float, float]]()
    with Meter("measuring", len(listing), quiet=len(listing) < SOME) as meter:
        for file in range(len(listing)):
            try:
                length = seconds(listing.path(file))
            except BadSample:
                length = window  # whoever reads it will be told why it cannot be read
            found = cut(length, window, hop)
            files += [file] * len(found)
            spans += found
            meter.update(file + 1, {})
    return torch.tensor(files), torch.tensor(spans, dtype=torch.float64)


def cut(length: float, window: float, hop: float) -> list[tuple[float, float]]:
    """Windows of a recording, all of the same length unless it is shorter than one.

    The last ends with it, and so may begin sooner than a hop after the one before.

    >>> cut(5.0, 2.0, 2.0), cut(1.0, 2.0, 1.0)
    ([(0.0, 2.0), (2.0, 4.0), (3.0, 5.0)], [(0.0, 1.0)])
    """
    count = max(0, math.ceil((length - window - ROUNDING) / hop))
    regular = [(n * hop, n * hop + window) for n in range(count)]
    return [*regular, (max(0.0, length - window), length)]
