"""Long films cut into windows, each a sample of its own."""

import math

import torch
from torch import Tensor

from maskedae.data import BadSample
from maskedae.datasets.films.moments import SLACK
from maskedae.datasets.films.reader import Reader
from maskedae.listing import Listing
from maskedae.progress import Meter

SOME = 100  # films that take long enough to be counted aloud


def cut_all(listing: Listing, reader: Reader, window: float, hop: float) -> tuple[Tensor, Tensor]:
    """Cut all films: of which each window is (n,), from which second to which it goes (n, 2)."""
    files, spans = list[int](), list[tuple[float, float]]()
    with Meter("measuring", len(listing), quiet=len(listing) < SOME) as meter:
        for file in range(len(listing)):
            try:
                length = reader.facts(listing.path(file)).seconds
            except BadSample:
                length = window  # whoever reads it will be told why it cannot be read
            found = cut(length, window, hop)
            files += [file] * len(found)
            spans += found
            meter.update(file + 1, {})
    return torch.tensor(files), torch.tensor(spans, dtype=torch.float64)


def cut(length: float, window: float, hop: float) -> list[tuple[float, float]]:
    """Windows of a film, all of the same length unless it is shorter than one.

    The last ends with the film, and so may begin sooner than a hop after the one before.

    >>> cut(5.0, 2.0, 2.0), cut(1.0, 2.0, 1.0)
    ([(0.0, 2.0), (2.0, 4.0), (3.0, 5.0)], [(0.0, 1.0)])
    """
    count = max(0, math.ceil((length - window - SLACK) / hop))
    regular = [(n * hop, n * hop + window) for n in range(count)]
    return [*regular, (max(0.0, length - window), length)]
