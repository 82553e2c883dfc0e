"""Draw some samples more often than others."""

import numpy as np
import torch
from torch import Tensor

PART = 2**12  # samples whose labels are looked at together


def balanced_weights(labels: Tensor) -> Tensor:
    """Weights of samples by which every class is drawn about as often, from (len,) or (len, C).

    That of a class is 1000 / (samples + 0.01), that of a sample the sum over its classes, as
    published with arXiv:2104.01778 and arXiv:2207.06405.

    >>> balanced_weights(torch.tensor([0, 0, 0, 0, 1])).round().tolist()
    [249.0, 249.0, 249.0, 249.0, 990.0]
    """
    if labels.is_floating_point():
        raise ValueError("labels are values, and only classes can be balanced")
    if labels.ndim == 1:
        return (1000 / (labels.bincount() + 0.01).double())[labels]
    parts = torch.split(labels, PART)  # as numbers, all of them would fill the memory
    counts = torch.stack([part.float().sum(dim=0) for part in parts]).double().sum(dim=0)
    each = 1000 / (counts + 0.01)
    return torch.cat([part.double() @ each for part in parts])


def check_weights(weights: np.ndarray, samples: int) -> None:
    """Raise ValueError if weights do not say how often each sample is to be drawn."""
    if len(weights) != samples:
        raise ValueError(f"{samples} samples need as many weights, not {len(weights)}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(
            f"weights of samples are 0 or more and some are above, not {weights.min():g} to "
            f"{weights.max():g}"
        )


def pool_weights(weights: np.ndarray, shares: list[tuple[int, float]]) -> np.ndarray:
    """Weights in one pool of all roots, which weigh as much as they have samples or as is said."""
    factors = [(weight / count, count) for count, weight in shares]
    return weights * np.repeat(*map(np.array, zip(*factors, strict=True)))


def weighted_order(
    weights: np.ndarray, samples: int, replacement: bool, rng: np.random.Generator
) -> np.ndarray:
    """Indices of so many samples, drawn by weight, with or without replacement: (samples,)."""
    if replacement:
        ends = np.cumsum(weights)
        drawn = np.searchsorted(ends, rng.random(samples) * ends[-1], side="right")
        return np.minimum(drawn, np.flatnonzero(weights)[-1])  # a product may round up to the end
    able = np.flatnonzero(weights)
    # The first arrivals of as many clocks: Efraimidis and Spirakis, 2006.
    arrivals = rng.standard_exponential(len(able)) / weights[able]
    first = np.argpartition(arrivals, samples - 1)[:samples]
    return rng.permutation(able[np.sort(first)])


def occurrences(order: np.ndarray) -> np.ndarray:
    """How many times each number has come before.

    >>> occurrences(np.array([5, 7, 5, 5, 7])).tolist()
    [0, 0, 1, 2, 1]
    """
    by_number = np.argsort(order, kind="stable")
    ordered = order[by_number]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    lengths = np.diff(starts, append=len(order))
    times = np.empty_like(order)
    times[by_number] = np.arange(len(order)) - np.repeat(starts, lengths)
    return times
