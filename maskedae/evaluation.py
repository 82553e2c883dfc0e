"""Scores of an encoder that is not trained any further."""

from collections.abc import Callable
from typing import NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskedae.data import Data, Source
from maskedae.encoder import Encoder, Pool
from maskedae.loading import Skipped, read_in_order
from maskedae.progress import Meter


class Features(NamedTuple):
    """One vector for each sample that could be read."""

    vectors: Tensor  # (n, D)
    labels: Tensor  # (n,)
    skipped: list[Skipped]


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
) -> Features:
    """Encode samples of a labelled source, at most so many, evenly spaced."""
    assert source.labels is not None
    vectors, indices, skipped = list[Tensor](), list[int](), list[Skipped]()
    for batch in read_in_order(source, spread(len(source), most or len(source)), 256, workers):
        skipped += batch.skipped
        if batch.samples is not None:
            vectors.append(encode(data.signal(batch.samples.to(device))).float().cpu())
            indices += [index for _, index in batch.draws]
        if meter:
            meter.update(meter.done + len(batch.draws) + len(batch.skipped), {})
    found = torch.cat(vectors) if vectors else torch.empty(0, 0)
    return Features(found, source.labels[indices], skipped)


@torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
def knn_accuracy(
    bank: Features, queries: Features, k: int = 10, temperature: float = 0.07
) -> float:
    """Share of queries that their nearest neighbours name rightly (arXiv:1805.01978, eq. 11).

    The k nearest by cosine vote with the weight exp(similarity / temperature).
    """
    vectors = F.normalize(bank.vectors, dim=1)
    classes = int(max(bank.labels.max(), queries.labels.max())) + 1
    right = 0
    for start in range(0, len(queries.labels), 1024):
        part, labels = (x[start : start + 1024] for x in (queries.vectors, queries.labels))
        nearest = (F.normalize(part, dim=1) @ vectors.T).topk(min(k, len(vectors)), dim=1)
        votes = torch.zeros(len(part), classes)
        votes.scatter_add_(1, bank.labels[nearest.indices], (nearest.values / temperature).exp())
        right += int((votes.argmax(dim=1) == labels).sum())
    return right / len(queries.labels)


def linear_accuracy(bank: Features, queries: Features, strength: float = 1.0) -> float:
    """Share of queries that logistic regression on standardised features names rightly."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    with catch_warnings():
        simplefilter("ignore", ConvergenceWarning)  # a thousand rounds say enough of a score
        probe.fit(bank.vectors.numpy(), bank.labels.numpy())
    return float(probe.score(queries.vectors.numpy(), queries.labels.numpy()))
