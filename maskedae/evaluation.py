"""Scores of an encoder that is not trained any further."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskedae.data import Data, Source
from maskedae.encoder import Encoder, Pool
from maskedae.loading import Batch, Skipped, batch_for, read_in_order
from maskedae.pairs import Pair
from maskedae.progress import Meter


class Features(NamedTuple):
    """One vector for each sample that could be read."""

    vectors: Tensor  # (n, D)
    labels: Tensor  # (n,)
    skipped: list[Skipped]
    indices: list[int] = []  # n numbers of the samples in their source


def spread(count: int, most: int) -> list[int]:
    """At most `most` indices out of `count`, evenly spaced.

    >>> spread(10, 4)
    [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)).tolist()


def encode_with(encoder: Encoder, pool: Pool = "mean") -> Callable[[Tensor], Tensor]:
    """How an encoder turns signals into vectors: (B, C, *size) -> (B, D)."""
    return lambda signal: encoder.pool(encoder.forward_features(signal), pool)


@torch.no_grad()
def features(
    encode: Callable[[Tensor], Tensor],
    data: Data,
    source: Source,
    device: torch.device,
    most: int | None = None,
    workers: int = 0,
    meter: Meter | None = None,
    share: tuple[int, int] = (0, 1),
) -> Features:
    """Encode samples of a labelled source, at most so many, evenly spaced.

    Of several processes each does its share: its number, and how many there are.
    """
    assert source.labels is not None
    vectors, indices, skipped = list[Tensor](), list[int](), list[Skipped]()
    chosen = spread(len(source), most or len(source))[share[0] :: share[1]]
    for batch in read_in_order(source, chosen, batch_for(source), workers):
        skipped += batch.skipped
        if batch.samples is not None:
            found = batch.average(encode(data.signal(batch.samples.to(device))).float().cpu())
            whole = complete(batch)
            vectors.append(found[whole])
            indices += [index for (_, index), kept in zip(batch.draws, whole, strict=True) if kept]
        if meter:
            meter.update(meter.done + len(batch.draws) + len(batch.skipped), {})
    together = torch.cat(vectors) if vectors else torch.empty(0, 0)
    return Features(together, source.labels[indices], skipped, indices)


def complete(batch: Batch) -> Tensor:
    """Which samples lack neither sound nor pictures in any view: (b,)."""
    if not isinstance(batch.samples, Pair):
        return torch.ones(len(batch.draws), dtype=torch.bool)
    there = batch.samples.heard & batch.samples.seen
    return there.view(batch.views, -1).all(dim=0)


def join(parts: Sequence[Features]) -> Features:
    """Put the shares of all processes together, in the order of the samples."""
    found = [part for part in parts if part.indices] or list(parts[:1])
    indices = [index for part in found for index in part.indices]
    order = torch.tensor(indices, dtype=torch.int64).argsort()
    return Features(
        torch.cat([part.vectors for part in found])[order],
        torch.cat([part.labels for part in found])[order],
        [row for part in parts for row in part.skipped],
        [indices[place] for place in order.tolist()],
    )


@torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
def knn_accuracies(
    bank: Features, queries: Features, ks: Sequence[int], temperature: float = 0.07
) -> dict[int, float]:
    """Share of queries that their nearest neighbours name rightly (arXiv:1805.01978, eq. 11).

    For every k, cut to the size of the bank: the k nearest by cosine vote with the weight
    exp(similarity / temperature).
    """
    if min(ks) < 1:
        raise ValueError(f"{min(ks)} neighbours cannot vote; k of 1 or more would fit")
    vectors = F.normalize(bank.vectors, dim=1)
    ks = sorted({min(k, len(vectors)) for k in ks})
    classes = int(max(bank.labels.max(), queries.labels.max())) + 1
    right = dict.fromkeys(ks, 0)
    for start in range(0, len(queries.labels), 1024):
        part, labels = (x[start : start + 1024] for x in (queries.vectors, queries.labels))
        nearest = (F.normalize(part, dim=1) @ vectors.T).topk(ks[-1], dim=1)
        named, weights = bank.labels[nearest.indices], (nearest.values / temperature).exp()
        for k in ks:
            votes = torch.zeros(len(part), classes)
            votes.scatter_add_(1, named[:, :k], weights[:, :k])
            right[k] += int((votes.argmax(dim=1) == labels).sum())
    return {k: count / len(queries.labels) for k, count in right.items()}


def knn_accuracy(
    bank: Features, queries: Features, k: int = 10, temperature: float = 0.07
) -> float:
    """Share of queries that their k nearest neighbours name rightly; see knn_accuracies."""
    return next(iter(knn_accuracies(bank, queries, [k], temperature).values()))
