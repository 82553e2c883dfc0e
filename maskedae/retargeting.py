"""Targets that show another target the signal in another way."""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from maskedae.masking import Mask
from maskedae.patches import grid_of, patchify, unpatchify
from maskedae.targets import Target


@dataclass(frozen=True)
class Rescaled:
    """What another target makes of the signal times `scale`, plus `shift`, for each channel."""

    target: Target
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    @property
    def needs_statistics(self) -> bool:
        """Whether the other target does."""
        return self.target.needs_statistics

    def _factors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = (
            # A blocking copy would make every step wait for the device to finish the last one.
            torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)
            for values in (self.scale, self.shift)
        )
        return scale, shift

    def _rescale(self, signal: Tensor) -> Tensor:
        scale, shift = self._factors(signal)
        return torch.addcmul(shift, signal.movedim(1, -1), scale).movedim(-1, 1)

    def __call__(self, signal: Tensor, hidden: Tensor) -> Tensor:
        """(B, C, *size), (B, M) -> (B, M, P)."""
        return self.target(self._rescale(signal), hidden)

    def restore(self, imagined: Tensor, signal: Tensor, mask: Mask, oracle: bool) -> Tensor:
        """Undo what the other target did, then the scale: (B, N, P) -> (B, N, P)."""
        values = self.target.restore(imagined, self._rescale(signal), mask, oracle)
        scale, shift = self._factors(values)
        each = rearrange(values, "b n (p c) -> b n p c", c=signal.shape[1])
        return ((each - shift) / scale).flatten(2)


@dataclass(frozen=True)
class ChannelsFirst:
    """What another target makes of the signal, every channel of a patch after the other."""

    target: Target

    @property
    def needs_statistics(self) -> bool:
        """Whether the other target does."""
        return self.target.needs_statistics

    def __call__(self, signal: Tensor, hidden: Tensor) -> Tensor:
        """(B, C, *size), (B, M) -> (B, M, P)."""
        values = self.target(signal, hidden)
        return rearrange(values, "b m (p c) -> b m (c p)", c=signal.shape[1])

    def restore(self, imagined: Tensor, signal: Tensor, mask: Mask, oracle: bool) -> Tensor:
        """Undo the order, then what the other target did: (B, N, P) -> (B, N, P)."""
        values = rearrange(imagined, "b n (c p) -> b n (p c)", c=signal.shape[1])
        return self.target.restore(values, signal, mask, oracle)


@dataclass(frozen=True)
class Slices:
    """What another target makes of chosen slices of the signal's first axis.

    There are as many patches of the other target in them as there are of `patch` in the whole.
    """

    target: Target
    chosen: tuple[int, ...]
    patch: tuple[int, ...]

    @property
    def needs_statistics(self) -> bool:
        """Whether the other target does."""
        return self.target.needs_statistics

    def __call__(self, signal: Tensor, hidden: Tensor) -> Tensor:
        """(B, C, *size), (B, M) -> (B, M, P), with fewer values than a patch of the signal has."""
        return self.target(self._slices(signal), hidden)

    def _slices(self, signal: Tensor) -> Tensor:
        return torch.stack([signal[:, :, number] for number in self.chosen], dim=2)

    def restore(self, imagined: Tensor, signal: Tensor, mask: Mask, oracle: bool) -> Tensor:
        """Undo what the other target did; NaN between the slices: (B, N, P') -> (B, N, P)."""
        slices = self._slices(signal)
        values = self.target.restore(imagined, slices, mask, oracle)
        grid = grid_of(tuple(signal.shape[2:]), self.patch)
        side = len(self.chosen) // grid[0]
        whole = torch.full_like(signal, torch.nan, dtype=values.dtype)
        whole[:, :, list(self.chosen)] = unpatchify(values, grid, (side, *self.patch[1:]))
        return patchify(whole, self.patch)
