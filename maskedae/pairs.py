"""Samples of sound and picture together, and what treats them as it treats one tensor."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import default_collate

from maskedae.boxed import Boxed
from maskedae.masking import Mask, Masker


@dataclass(frozen=True)
class Pair:
    """Sound and picture of the same samples, along the first axis of each.

    A sample may lack either. What then stands in its place means nothing, and nobody looks at it.
    """

    audio: Tensor  # (B, ...)
    video: Tensor  # (B, ...)
    heard: Tensor  # (B,) bool, which samples have sound
    seen: Tensor  # (B,) bool, which samples have pictures

    def __len__(self) -> int:
        return len(self.audio)

    def __getitem__(self, rows: Any) -> "Pair":
        """Some of the samples, by a slice or an index that keeps the axis."""
        return self.each(lambda part: part[rows])

    def each(self, change: Callable[[Tensor], Tensor]) -> "Pair":
        """Change all parts alike."""
        return Pair(*map(change, (self.audio, self.video, self.heard, self.seen)))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Pair":
        """The same on a device."""
        return self.each(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Pair":
        """The same where a GPU fetches it fast; a loader calls this."""
        return self.each(Tensor.pin_memory)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.audio.device

    @property
    def present(self) -> tuple[Tensor, Tensor]:
        """Which samples have sound, and which have pictures: 2 x (B,)."""
        return self.heard, self.seen


Sample = TypeVar("Sample", Tensor, Pair, Boxed)  # of one or more samples, along one axis


def make_signal(shape: Any, make: Callable[[tuple[int, ...]], Tensor]) -> Any:
    """Signals of a shape, each part made of its own (C, *size); of a pair nothing is absent."""
    if isinstance(shape[0], int):
        return make(shape)
    audio, video = map(make, shape)
    there = torch.ones(len(audio), dtype=torch.bool, device=audio.device)
    return Pair(audio, video, there, there)


def count_values(shape: Any) -> int:
    """Values of a signal of a shape."""
    return sum(map(math.prod, [shape] if isinstance(shape[0], int) else shape))


def in_words(shape: Any) -> str:
    """A shape, or a pair of them.

    >>> in_words((3, 224, 224)), in_words(((1, 2), (3, 4)))
    ('3 x 224 x 224', '1 x 2 + 3 x 4')
    """
    pair = not isinstance(shape[0], int)
    return " + ".join(map(in_words, shape)) if pair else " x ".join(map(str, shape))


def stack_views(samples: Sequence[Sample]) -> Sample:
    """Put views of samples together: b x (views, ...) -> (views * b, ...), first views first."""
    if isinstance(samples[0], Boxed):
        return Boxed.stack(samples)
    if isinstance(samples[0], Pair):
        rows = zip(*((s.audio, s.video, s.heard, s.seen) for s in samples), strict=True)
        return Pair(*(_together(row) for row in rows))
    return _together(samples)


def _together(parts: Sequence[Tensor]) -> Tensor:
    return default_collate([view for views in zip(*parts, strict=True) for view in views])


@dataclass(frozen=True)
class PairMasker(Masker):
    """One masker for sound, whose grids have two axes, and another for pictures."""

    audio: Masker
    video: Masker

    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        masker = self.audio if len(grid) == 2 else self.video
        return masker(batch, grid, noise, generator)
