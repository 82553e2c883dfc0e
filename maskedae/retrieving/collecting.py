"""Vectors of the sound and of the pictures of every film that has both."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor

from maskedae.data import Data, Source
from maskedae.encoder import Encoder
from maskedae.evaluation import spread
from maskedae.loading import Batch, Skipped, read_in_order
from maskedae.pairs import Pair
from maskedae.progress import Meter
from maskedae.zoo import list_models, model_config

Vectors = Callable[[Pair], tuple[Tensor, Tensor]]  # of sound and of pictures, each (B, D)
LACK = {(True, False): "no pictures", (False, True): "no sound", (False, False): "neither"}


class Collected(NamedTuple):
    """A vector of the sound and one of the pictures of each film that has both."""

    vectors: dict[str, tuple[Tensor, Tensor]]  # per candidate, each (n, D)
    indices: list[int]  # n numbers of the samples in their source
    lacking: list[Skipped]  # what has no sound, or no pictures
    skipped: list[Skipped]  # what cannot be read


def vectors_of(encoder: Encoder, name: str) -> Vectors:
    """How an encoder makes vectors to compare.

    Raises ValueError if it does not see both kinds, or has forgotten how they compare.
    """
    vectors: Vectors | None = getattr(encoder, "vectors", None)
    if vectors is None:
        both = [other for other in list_models() if isinstance(model_config(other).shape[0], tuple)]
        raise ValueError(
            f"this checkpoint of {name} sees signals of one kind, and it takes an encoder of both "
            f"to find films by their sound: one of {', '.join(both) or 'sound and film'} would fit"
        )
    if encoder.tuned:
        raise ValueError(
            f"this checkpoint of {name} was tuned to answer, and its sound and pictures no longer "
            f"compare: the checkpoint that the tuning started from would fit"
        )
    return vectors


def choose(source: Source, per_class: int | None) -> list[int]:
    """Numbers of the samples to compare: all, or at most so many of each class, evenly spaced."""
    if per_class is None:
        return list(range(len(source)))
    if per_class < 1:
        raise ValueError(f"--per_class is {per_class}; 1 or more would fit")
    labels = source.labels
    if labels is None or labels.ndim != 1 or labels.is_floating_point():
        said = source.unlabelled or "these labels are others"
        raise ValueError(f"--per_class needs one class for each sample: {said}")
    members = [np.flatnonzero(labels.numpy() == number) for number in np.unique(labels.numpy())]
    return sorted(int(rows[i]) for rows in members for i in spread(len(rows), per_class))


def mean(batch: Batch, vectors: Tensor, there: Tensor) -> Tensor:
    """The mean over those views of a sample that are there: (views * b, D) -> (b, D)."""
    counted = there.unsqueeze(1)
    return batch.average(vectors.float().where(counted, 0)) / batch.average(counted.float())


def encoded(
    batch: Batch, candidates: Mapping[str, Vectors], data: Data, source: Source
) -> Collected:
    """What the samples of a batch bring."""
    if batch.samples is None:
        return Collected({}, [], [], batch.skipped)
    pair: Pair = data.signal(batch.samples.to(PartialState().device))
    heard, seen = (there.view(batch.views, -1).any(dim=0).cpu() for there in pair.present)
    both, vectors = heard & seen, {}
    for name, candidate in candidates.items():
        audio, video = candidate(pair)
        averages = mean(batch, audio, pair.heard), mean(batch, video, pair.seen)
        vectors[name] = averages[0].cpu()[both], averages[1].cpu()[both]
    lacking = [
        Skipped(source.name(index), LACK[bool(sound), bool(pictures)])
        for (_, index), sound, pictures in zip(batch.draws, heard, seen, strict=True)
        if not (sound and pictures)
    ]
    indices = [index for (_, index), has in zip(batch.draws, both, strict=True) if has]
    return Collected(vectors, indices, lacking, batch.skipped)


def join(parts: Sequence[Collected]) -> Collected:
    """Put parts together, in the order of the samples."""
    full = [part for part in parts if part.indices]
    indices = [index for part in full for index in part.indices]
    order = torch.tensor(indices, dtype=torch.int64).argsort()
    vectors = {
        name: (
            torch.cat([part.vectors[name][0] for part in full])[order],
            torch.cat([part.vectors[name][1] for part in full])[order],
        )
        for name in (full[0].vectors if full else ())
    }
    return Collected(
        vectors,
        [indices[place] for place in order.tolist()],
        [row for part in parts for row in part.lacking],
        [row for part in parts for row in part.skipped],
    )


@torch.inference_mode()
def collect(
    candidates: Mapping[str, Vectors],
    data: Data,
    source: Source,
    indices: list[int],
    batch_size: int,
    workers: int,
    quiet: bool = False,
) -> Collected:
    """Encode samples, each read once for all candidates and by one of the processes."""
    state, parts = PartialState(), list[Collected]()
    mine = indices[state.process_index :: state.num_processes]
    with Meter("encoding", len(mine), quiet=quiet or not state.is_main_process) as meter:
        for batch in read_in_order(source, mine, batch_size, workers):
            parts.append(encoded(batch, candidates, data, source))
            meter.update(meter.done + len(batch.draws) + len(batch.skipped), {})
    return join(gather_object([join(parts)]))
