"""What is compared: the trained encoder, the same with random weights, and no encoder at all."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskedae.data import Source
from maskedae.encoder import Encoder
from maskedae.extraction import Encode, Pooling, encode_layers
from maskedae.loading import Skipped
from maskedae.pairs import Pair
from maskedae.parts import Parts

TRAINED, RANDOM, BARE = "trained", "random weights", "bare values"
CANDIDATES = (TRAINED, RANDOM, BARE)
MOST_VALUES = 4096


class Samples(NamedTuple):
    """All that is cached of a split."""

    columns: dict[str, dict[str, Tensor]]  # per candidate, features by name, each (n, D)
    labels: Tensor | None  # (n,)
    skipped: list[Skipped]


def bare_values(signal: Tensor | Pair) -> Tensor:
    """The signal itself, at most 32 values a side and 4096 in all: (B, C, *size) -> (B, D).

    Where it is larger it is averaged down, its longest side first; where it has ended, it is 0. Of
    sound and picture, one after the other.
    """
    if isinstance(signal, Pair):
        return torch.cat([bare_values(signal.audio), bare_values(signal.video)], dim=1)
    signal = signal.nan_to_num()
    size = [min(side, 32) for side in signal.shape[2:]]
    while signal.shape[1] * torch.Size(size).numel() > MOST_VALUES and max(size) > 1:
        longest = size.index(max(size))
        size[longest] //= 2
    return nn.functional.interpolate(signal, size, mode="area").flatten(1)


def encode_all(
    trained: Encoder, random: Encoder, layers: list[int], pools: list[Pooling]
) -> Encode:
    """How all candidates encode a signal that is read once."""
    encoders: dict[str, Encode] = {
        TRAINED: encode_layers(trained, layers, pools),
        RANDOM: encode_layers(random, layers, pools),
        BARE: lambda signal: {"values": bare_values(signal)},
    }

    def encode(signal: Any) -> dict[str, Tensor]:
        return {
            f"{candidate}/{name}": column
            for candidate, encoder in encoders.items()
            for name, column in encoder(signal).items()
        }

    return encode


def load_samples(parts: Parts, split: str, source: Source, names: list[str]) -> Samples:
    """Read all features of a split, in the order of their names.

    Raises ValueError if there are none.
    """
    found = list(parts.read(split, len(source)))
    skipped = [row for part in found for row in part.skipped]
    whole = [part for part in found if part.columns]
    if not whole:
        some = skipped[0]
        raise ValueError(f"no sample of a split can be read: {some.name}: {some.reason}")
    columns: dict[str, dict[str, Tensor]] = {candidate: {} for candidate in CANDIDATES}
    keys = [f"{candidate}/{name}" for candidate in (TRAINED, RANDOM) for name in names]
    for key in (*keys, f"{BARE}/values"):
        candidate, _, name = key.partition("/")
        columns[candidate][name] = torch.cat([part.columns.pop(key) for part in whole])
    indices = torch.cat([part.indices for part in whole])
    there = columns[RANDOM][names[0]].isfinite().all(dim=1)  # fresh weights know all there is
    if not columns[TRAINED][names[0]][there].isfinite().all():
        raise ValueError("features of the checkpoint are not finite: its training has diverged")
    if not there.all():
        gone = indices[~there].tolist()
        skipped += [Skipped(source.name(index), "lacks sound or pictures") for index in gone]
        indices = indices[there]
        for rows in columns.values():
            rows |= {name: column[there] for name, column in rows.items()}
    labels = None if source.labels is None else source.labels[indices]
    return Samples(columns, labels, skipped)


def why_unscored(sources: Mapping[str, Source]) -> str:
    """Why there can be no scores with labels; nothing if there can.

    Raises ValueError for labels that name no class, and where nothing is held out to score on.
    """
    for source in sources.values():
        labels = source.labels
        if labels is None:
            return f"there are no labels: {source.unlabelled}"
        if labels.ndim != 1 or labels.dtype != torch.int64:
            raise ValueError(
                f"a probe needs one class number for each sample, int64 (samples,); these labels "
                f"are {str(labels.dtype).removeprefix('torch.')} {tuple(labels.shape)}"
            )
        if len(source.classes) < 2:
            return f"all samples are of one class, {source.classes[0]}"
    if "held_out" not in sources:
        raise ValueError("nothing is held out to score on: give --data.val_root DIR")
    return ""
