"""Targets: what a hidden patch should become, and how a prediction of it is drawn."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from einops import rearrange
from torch import Tensor

from maskedae.masking import Mask, take
from maskedae.patches import grid_of, patchify


class Target(Protocol):
    """What the hidden patches of a signal should become."""

    @property
    def needs_statistics(self) -> bool:
        """Whether a prediction lacks the mean and deviation of its patch."""
        ...

    def __call__(self, signal: Tensor, hidden: Tensor) -> Tensor:
        """(B, C, *size), (B, M) -> (B, M, P)."""
        ...

    def restore(self, imagined: Tensor, signal: Tensor, mask: Mask, oracle: bool) -> Tensor:
        """Turn predictions of all patches into values of the signal: (B, N, P) -> (B, N, P).

        Only the visible patches of the signal are looked at, unless `oracle` allows all.
        """
        ...


@dataclass(frozen=True)
class Pixels:
    """The values of the signal themselves; patches overlap where one comes every `stride`."""

    patch: tuple[int, ...]
    stride: tuple[int, ...] | None = None
    needs_statistics: ClassVar[bool] = False

    def __call__(self, signal: Tensor, hidden: Tensor) -> Tensor:
        """(B, C, *size), (B, M) -> (B, M, P)."""
        return take(patchify(signal, self.patch, self.stride), hidden)

    def restore(self, imagined: Tensor, signal: Tensor, mask: Mask, oracle: bool) -> Tensor:
        """Predictions are values already: (B, N, P) -> (B, N, P)."""
        return imagined


@dataclass(frozen=True)
class NormalizedPixels:
    """Values less their patch's mean, over its deviation (arXiv:2111.06377, section 4.1).

    Mean and unbiased variance are taken over all values of a patch, channels together. Variances
    under `floor` count as `floor`, so that the noise of flat patches is not blown up; 0 is
    published. Patches overlap where one comes every `stride`.
    """

    patch: tuple[int, ...]
    floor: float = 0.0
    eps: float = 1e-6
    stride: tuple[int, ...] | None = None
    needs_statistics: ClassVar[bool] = True

    def statistics(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of every patch: (B, K, P) -> 2 x (B, K, 1)."""
        variance = patches.var(dim=-1, keepdim=True)
        if self.floor:
            variance = variance.clamp(min=self.floor)
        return patches.mean(dim=-1, keepdim=True), (variance + self.eps).sqrt()

    def __call__(self, signal: Tensor, hidden: Tensor) -> Tensor:
        """(B, C, *size), (B, M) -> (B, M, P)."""
        patches = take(patchify(signal, self.patch, self.stride), hidden)
        mean, deviation = self.statistics(patches)
        return (patches - mean) / deviation

    def restore(self, imagined: Tensor, signal: Tensor, mask: Mask, oracle: bool) -> Tensor:
        """Undo the normalisation: (B, N, P) -> (B, N, P).

        The statistics of a hidden patch are those of the visible patches, weighted by the inverse
        square of their distance on the grid.
        """
        mean, deviation = self.statistics(patchify(signal, self.patch, self.stride))
        if not oracle:
            grid = grid_of(tuple(signal.shape[2:]), self.patch, self.stride)
            mean, deviation = (_lend(values, mask, grid) for values in (mean, deviation))
        return imagined * deviation + mean


@dataclass(frozen=True)
class NormalizedChannels:
    """Values less the mean of their patch and channel, over its deviation (arXiv:2203.12602).

    The variance is unbiased; what keeps flat patches finite is added to the deviation.
    """

    patch: tuple[int, ...]
    eps: float = 1e-6
    needs_statistics: ClassVar[bool] = True

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of every channel: (B, K, P / C, C) -> 2 x (B, K, 1, C)."""
        deviation, mean = torch.std_mean(values, dim=2, keepdim=True)
        return mean, deviation + self.eps

    def __call__(self, signal: Tensor, hidden: Tensor) -> Tensor:
        """(B, C, *size), (B, M) -> (B, M, P)."""
        values = by_channel(take(patchify(signal, self.patch), hidden), signal)
        mean, deviation = self.statistics(values)
        return ((values - mean) / deviation).flatten(2)

    def restore(self, imagined: Tensor, signal: Tensor, mask: Mask, oracle: bool) -> Tensor:
        """Undo the normalisation as `NormalizedPixels` does: (B, N, P) -> (B, N, P)."""
        mean, deviation = self.statistics(by_channel(patchify(signal, self.patch), signal))
        if not oracle:
            grid = grid_of(tuple(signal.shape[2:]), self.patch)
            mean, deviation = (
                _lend(values.squeeze(2), mask, grid).unsqueeze(2) for values in (mean, deviation)
            )
        return (by_channel(imagined, signal) * deviation + mean).flatten(2)


def by_channel(patches: Tensor, signal: Tensor) -> Tensor:
    """Values of patches with the channels of a signal apart: (B, K, P) -> (B, K, P / C, C)."""
    return rearrange(patches, "b k (p c) -> b k p c", c=signal.shape[1])


def _lend(values: Tensor, mask: Mask, grid: tuple[int, ...]) -> Tensor:
    """For every patch the mean of what visible ones have, the nearer the more: same shape.

    Those that have nothing, NaN, do not count.
    """
    seen, nearness = take(values, mask.visible), _nearness(mask, grid).to(values)
    there = (~seen.isnan()).to(values)
    return nearness @ seen.nan_to_num() / (nearness @ there)


def _nearness(mask: Mask, grid: tuple[int, ...]) -> Tensor:
    """How much every visible patch says about every patch: (B, N, V), rows sum to 1."""
    axes = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    places = torch.stack([axis.flatten() for axis in axes], dim=-1).float().to(mask.visible.device)
    seen = places[mask.visible]  # (B, V, axes)
    distance = torch.cdist(places.expand(len(seen), -1, -1), seen)
    weights = (distance.square() + 1e-6).reciprocal()
    return weights / weights.sum(dim=-1, keepdim=True)
