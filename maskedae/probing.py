"""How well frozen features tell classes apart, beside what needs no training at all."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from maskedae.data import Data, Source, Split
from maskedae.encoder import Encoder, Pool
from maskedae.evaluation import encode_with, features, knn_accuracy, linear_accuracy
from maskedae.loading import Skipped
from maskedae.progress import Meter


class Scores(NamedTuple):
    """Accuracies on held-out samples."""

    what: str
    knn: float
    linear: float


def bare_values(signal: Tensor) -> Tensor:
    """The signal itself, averaged down to at most 32 values a side: (B, C, *size) -> (B, D)."""
    size = [min(side, 32) for side in signal.shape[2:]]
    return nn.functional.interpolate(signal, size, mode="area").flatten(1)


def labelled(data: Data, split: Split, shape: tuple[int, ...]) -> Source:
    """A split with labels. Raises ValueError that says what is missing."""
    source = data.source(split, shape, augment=False)
    if source is None:
        raise ValueError("nothing is held out to score on: give --data.val_root DIR")
    if source.labels is None:
        raise ValueError(f"a probe needs labels, and there are none: {source.unlabelled}")
    return source


def probe(
    encoder: Encoder,
    fresh: Callable[[], Encoder],
    data: Data,
    shape: tuple[int, ...],
    pool: Pool = "mean",
    workers: int = 0,
) -> tuple[list[Scores], list[Skipped]]:
    """Score an encoder, the same with random weights, and bare values; name what was skipped.

    Nearest neighbours (k = 10) and logistic regression, from the training to the held-out split.
    """
    train, held_out = (labelled(data, split, shape) for split in ("train", "held_out"))
    torch.manual_seed(0)
    device = next(encoder.parameters()).device
    candidates = {
        "trained": encode_with(encoder.eval(), pool),
        "random weights": encode_with(fresh().to(device).eval(), pool),
        "bare values": bare_values,
    }
    total = sum(len(source) for source in (train, held_out)) * len(candidates)
    scores, skipped = list[Scores](), list[Skipped]()
    with Meter("encoding", total) as meter:
        for what, encode in candidates.items():
            bank, queries = (
                features(encode, data, source, device, None, workers, meter)
                for source in (train, held_out)
            )
            if not len(bank.labels) or not len(queries.labels):
                some = (bank.skipped + queries.skipped)[0]
                raise ValueError(f"no sample of a split can be read: {some.name}: {some.reason}")
            scores.append(Scores(what, knn_accuracy(bank, queries), linear_accuracy(bank, queries)))
            skipped = bank.skipped + queries.skipped
    return scores, skipped
