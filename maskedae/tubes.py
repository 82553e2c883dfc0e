"""Maskers for which the first axis of a grid, such as time, is unlike the others."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maskedae.masking import Mask, Masker, draw_noise, keep_lowest, num_visible, some_visible


@dataclass(frozen=True)
class TubeMasker(Masker):
    """Hide the same places in every slot of the first axis (arXiv:2203.12602, section 3.2).

    With space behind the first axis, this is the space-only masking of arXiv:2205.09113.
    """

    ratio: float = 0.9
    """Share of the places to hide; their number is cut, as published, not rounded."""

    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        noise = draw_noise(batch, grid, noise, generator).view(batch, grid[0], -1)
        places = math.prod(grid[1:])
        visible = some_visible(places - int(self.ratio * places), places, self.ratio)
        slots = torch.arange(grid[0], device=noise.device).unsqueeze(0)
        return Mask(*(cross(slots, kept, places) for kept in keep_lowest(noise[:, 0], visible)))


@dataclass(frozen=True)
class SlotMasker(Masker):
    """Hide whole slots of the first axis: the time-only masking of arXiv:2205.09113."""

    ratio: float = 0.75
    """Share of the slots to hide."""

    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        noise = draw_noise(batch, grid, noise, generator).view(batch, grid[0], -1)
        visible = num_visible(grid[0], self.ratio)
        places = torch.arange(noise.shape[2], device=noise.device).unsqueeze(0)
        slots = keep_lowest(noise[:, :, 0], visible)
        return Mask(*(cross(kept, places, noise.shape[2]) for kept in slots))


def cross(slots: Tensor, places: Tensor, width: int) -> Tensor:
    """All patches at some places of some slots, with `width` places each: (B, a b).

    >>> cross(torch.tensor([[0, 2]]), torch.tensor([[1, 3]]), width=4)
    tensor([[ 1,  3,  9, 11]])
    """
    return (slots.unsqueeze(2) * width + places.unsqueeze(1)).flatten(1)
