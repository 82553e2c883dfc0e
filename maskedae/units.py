"""Mask units: blocks of tokens that are hidden as one, and what embeds them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def units_of(size: Sequence[int], unit: Sequence[int]) -> tuple[int, ...]:
    """Mask units per axis. Raises ValueError where they do not tile the signal.

    >>> units_of((224, 160), (32, 32))
    (7, 5)
    """
    if any(s % u or s < u for s, u in zip(size, unit, strict=True)):
        fits = tuple(max(round(s / u), 1) * u for s, u in zip(size, unit, strict=True))
        raise ValueError(
            f"mask units of {tuple(unit)} do not tile a signal of {tuple(size)}; {fits} would fit"
        )
    return tuple(s // u for s, u in zip(size, unit, strict=True))


def places(units: tuple[int, ...], steps: tuple[int, ...], times: int) -> Tensor:
    """Where tokens of every mask unit stand in the grid, row-major: (U, L).

    Along each axis a unit is `steps` to the power of `times` tokens long. What the first pooling
    makes one lies L / prod(steps) apart, what the second does in each part of that length, and so
    on: pooling is a maximum over slices (arXiv:2306.00989, appendix A).

    >>> places((1, 2), (2, 2), 1)
    tensor([[0, 1, 4, 5],
            [2, 3, 6, 7]])
    """
    axes = len(units)
    grid = [n * step**times for n, step in zip(units, steps, strict=True)]
    # Every axis is which unit, then the place in it by halves, the last halving first pooled.
    halves = [part for n, step in zip(units, steps, strict=True) for part in (n, *[step] * times)]
    numbers = torch.arange(math.prod(grid)).view(halves)
    which = [axis * (times + 1) for axis in range(axes)]
    inner = [first + half for half in range(times, 0, -1) for first in which]
    return numbers.permute(*which, *inner).reshape(math.prod(units), -1)


class UnitEmbed(nn.Module):
    """A convolution whose kernels overlap, for chosen mask units only.

    Each unit sees the edge of its neighbours that kernels reach, zeros where those are hidden or
    the signal ends (arXiv:2306.00989, section 3; official code). `steps` to the power of `times`
    tokens make a unit along each axis.
    """

    def __init__(
        self,
        channels: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        width: int,
        units: tuple[int, ...],
        steps: tuple[int, ...],
        times: int,
    ) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"signals of {channels} channels; 1 or more would fit")
        if len(kernel) != len(stride) or any(
            k % 2 == 0 or k < s for k, s in zip(kernel, stride, strict=True)
        ):
            raise ValueError(
                f"kernels of {kernel} every {stride} have no centre, or leave gaps; odd ones, no "
                f"shorter than their steps, would fit"
            )
        self.stride, self.units, self.steps = stride, units, steps
        self.sides = tuple(s * n**times for s, n in zip(stride, steps, strict=True))
        self.weight = nn.Parameter(torch.empty(width, channels, *kernel))
        self.bias = nn.Parameter(torch.empty(width))
        values = self.weight[0].numel()
        nn.init.xavier_uniform_(self.weight.view(width, values))
        nn.init.uniform_(self.bias, -(values**-0.5), values**-0.5)
        self.order: Tensor  # (U, L) places in the grid of the tokens of every unit
        self.inside: Tensor  # (L,) the same, counted within the unit
        self.register_buffer("order", places(units, steps, times), persistent=False)
        one = places((1,) * len(units), steps, times)[0]
        self.register_buffer("inside", one, persistent=False)

    def forward(self, signal: Tensor, index: Tensor | None = None) -> Tensor:
        """(B, C, *size), (B, K) -> (B, K, L, D); without an index, all units."""
        convolve: Any = CONVOLUTIONS[len(self.units)]
        if index is None:
            reach = [side // 2 for side in self.weight.shape[2:]]
            x = convolve(signal, self.weight, self.bias, self.stride, reach)
            tokens = x.flatten(2).transpose(1, 2).index_select(1, self.order.flatten())
            return tokens.unflatten(1, self.order.shape)
        pieces = self._pieces(signal, index)
        x = convolve(pieces.flatten(0, 1), self.weight, self.bias, self.stride)
        tokens = x.flatten(2).transpose(1, 2).index_select(1, self.inside)
        return tokens.unflatten(0, index.shape)

    def _pieces(self, signal: Tensor, index: Tensor) -> Tensor:
        """Chosen units with the edges that kernels reach: (B, C, *size) -> (B, K, C, *piece)."""
        shape = (len(signal), math.prod(self.units))
        none = torch.zeros(shape, dtype=torch.bool, device=signal.device)
        seen = none.scatter(1, index, True).view(-1, 1, *self.units)
        for axis, side in enumerate(self.sides, start=2):
            seen = seen.repeat_interleave(side, dim=axis)
        kernel = self.weight.shape[2:]
        ends: list[int] = []
        for k, s in zip(reversed(kernel), reversed(self.stride), strict=True):
            ends += [k // 2, max(k - k // 2 - s, 0)]
        pieces = F.pad(torch.where(seen, signal, 0.0), ends)
        for axis, (side, k, s) in enumerate(zip(self.sides, kernel, self.stride, strict=True), 2):
            pieces = pieces.unfold(axis, side + k - s, side)
        axes = len(self.units)
        units_first = (0, *range(2, 2 + axes), 1, *range(2 + axes, 2 + 2 * axes))
        where: list[Tensor] = []
        rest = index  # torch.unravel_index would make the host wait for the device
        for count in reversed(self.units):
            where, rest = [rest % count, *where], rest // count
        samples = torch.arange(len(index), device=index.device)[:, None]
        return pieces.permute(units_first)[(samples, *where)]
