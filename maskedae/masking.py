"""Maskers split the patches of every sample into what a model sees and what it must imagine."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Mask(NamedTuple):
    """A split of the N patches of every sample, as indices."""

    visible: Tensor  # (B, V)
    hidden: Tensor  # (B, M), V + M = N


class Masker(ABC):
    """Draws a Mask for a batch of grids, the same number of hidden patches in every sample.

    All randomness comes from `noise`, uniform in [0, 1), (B, N): the same noise gives the same
    mask on any device. Without it, noise is drawn from `generator`.
    """

    @abstractmethod
    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask: ...


def take(x: Tensor, index: Tensor) -> Tensor:
    """Pick patches: (B, N, D), (B, K) -> (B, K, D)."""
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def num_visible(patches: int, ratio: float) -> int:
    """How many patches stay visible: the product is cut, as published, not rounded.

    Raises ValueError where nothing would be visible, or nothing hidden.

    >>> num_visible(196, 0.75), num_visible(100, 0.9)
    (49, 9)
    """
    return some_visible(int(patches * (1 - ratio)), patches, ratio)


def some_visible(visible: int, patches: int, ratio: float) -> int:
    """The number given. Raises ValueError where that is none of the patches, or all of them."""
    if patches < 2:
        raise ValueError("one patch or mask unit alone cannot be hidden in part; smaller ones fit")
    if not 0 < visible < patches:
        least, most = math.ceil(1000 / patches) / 1000, math.floor(1000 - 1000 / patches) / 1000
        raise ValueError(
            f"a mask ratio of {ratio} leaves {visible} of {patches} patches visible; ratios from "
            f"{least} to {most} leave some visible and hide some"
        )
    return visible


def draw_noise(
    batch: int, grid: tuple[int, ...], noise: Tensor | None, generator: torch.Generator | None
) -> Tensor:
    """Noise as given, checked, or fresh noise: (B, N)."""
    shape = (batch, math.prod(grid))
    if noise is None and generator is None:
        return torch.rand(shape)
    if noise is None:
        assert generator is not None
        return torch.rand(shape, generator=generator, device=generator.device)
    if noise.shape != shape:
        raise ValueError(f"noise of shape {tuple(noise.shape)} for {shape} patches")
    return noise


def keep_lowest(noise: Tensor, visible: int) -> Mask:
    """Leave the patches of lowest noise visible: (B, N) -> Mask."""
    order = noise.argsort(dim=1, stable=True)
    return Mask(visible=order[:, :visible], hidden=order[:, visible:])


@dataclass(frozen=True)
class RandomMasker(Masker):
    """Hide a share of the patches, all equally likely (arXiv:2111.06377, section 3)."""

    ratio: float = 0.75
    """Share of the patches to hide."""

    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        visible = num_visible(math.prod(grid), self.ratio)
        return keep_lowest(draw_noise(batch, grid, noise, generator), visible)


@dataclass(frozen=True)
class BlockMasker(Masker):
    """Hide rectangles on a grid until a share of it is hidden (arXiv:2106.08254, alg. 1).

    With further axes in front, a rectangle lasts for some of their slots: it is a box. The
    published loop may end a few patches short; those are then drawn at random, so that every
    sample hides the same number.
    """

    ratio: float = 0.5
    """Share of the patches to hide."""

    smallest: int = 16
    """The smallest rectangle or box, in patches."""

    aspect: float = 0.3
    """Rectangles are between this and its inverse times as high as wide."""

    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        if len(grid) < 2:
            raise ValueError(f"blocks are cut on grids of two axes or more, not on {grid}")
        visible = num_visible(math.prod(grid), self.ratio)
        noise = draw_noise(batch, grid, noise, generator)
        blocks = torch.zeros(batch, *grid)
        for sample, values in zip(blocks, noise.cpu(), strict=True):
            self._hide(sample, math.prod(grid) - visible, random.Random(values.numpy().tobytes()))
        return keep_lowest(noise + blocks.flatten(1).to(noise.device), visible)

    def _hide(self, sample: Tensor, wanted: int, rng: random.Random) -> None:
        """Set boxes of (.., H', W') to 1, at most `wanted` patches in all."""
        missing = wanted
        while missing > 0:
            for _ in range(10):
                new = self._box(sample, missing, rng)
                if new:
                    missing -= new
                    break
            else:
                return

    def _box(self, sample: Tensor, missing: int, rng: random.Random) -> int:
        """Try one box; return how many patches it newly hides."""
        *front, tall, broad = sample.shape
        lengths = [rng.randint(1, length) for length in front]
        area = rng.uniform(self.smallest, missing) / math.prod(lengths)
        stretch = math.exp(rng.uniform(math.log(self.aspect), -math.log(self.aspect)))
        high, wide = round(math.sqrt(area * stretch)), round(math.sqrt(area / stretch))
        if not (0 < high < tall and 0 < wide < broad):
            return 0
        sides = (*lengths, high, wide)
        corner = [rng.randint(0, n - side) for n, side in zip(sample.shape, sides, strict=True)]
        where = (slice(at, at + side) for at, side in zip(corner, sides, strict=True))
        block = sample[tuple(where)]
        new = block.numel() - int(block.sum())
        if not 0 < new <= missing:
            return 0
        block.fill_(1)
        return new


@dataclass(frozen=True)
class GridMasker(Masker):
    """Leave one patch of every `stride` along each axis visible, always the same ones.

    With stride 2 this hides 75 % of an image (arXiv:2111.06377, figure 6).
    """

    stride: int = 2
    """Distance between visible patches, in patches."""

    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        hidden = torch.ones(1, *grid)
        hidden[0][tuple(slice(None, None, self.stride) for _ in grid)] = 0
        visible = int((hidden == 0).sum())
        if visible == hidden.numel():
            raise ValueError(f"a stride of {self.stride} hides nothing of a grid of {grid}")
        device = noise.device if noise is not None else generator.device if generator else None
        return keep_lowest(hidden.flatten(1).expand(batch, -1).to(device), visible)


POOLS = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


@dataclass(frozen=True)
class PixelMasker(Masker):
    """Hide every patch that a mask drawn over the signal touches.

    `hidden` is true, or above 0, where a sample must be hidden: (*size) for one mask for all, or
    (B, *size); of any size, as it is stretched over the grid. Where samples would hide different
    numbers of patches, those with fewer hide further patches at random.
    """

    hidden: Tensor = field(repr=False)

    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        drawn = self.hidden if self.hidden.ndim > len(grid) else self.hidden.unsqueeze(0)
        if drawn.ndim != len(grid) + 1 or len(drawn) not in (1, batch):
            raise ValueError(
                f"a mask of shape {tuple(self.hidden.shape)} fits neither one signal with a grid "
                f"of {grid} nor {batch} of them"
            )
        noise = draw_noise(batch, grid, noise, generator)
        touched = POOLS[len(grid)]((drawn > 0).float().unsqueeze(1), grid).flatten(1)
        most = int(touched.sum(1).max())
        if not 0 < most < touched.shape[1]:
            raise ValueError(f"the given mask hides {most} of {touched.shape[1]} patches")
        return keep_lowest(noise + touched.to(noise.device), touched.shape[1] - most)


def box_masker(
    boxes: Sequence[tuple[float, float, float, float]], size: tuple[int, int]
) -> PixelMasker:
    """Hide the boxes (left, top, right, bottom) of an image of `size` (height, width) pixels."""
    hidden = torch.zeros(size)
    for left, top, right, bottom in boxes:
        if not (0 <= left < right <= size[1] and 0 <= top < bottom <= size[0]):
            raise ValueError(
                f"box {(left, top, right, bottom)} is not (left, top, right, bottom) inside "
                f"{size[1]} x {size[0]} pixels"
            )
        hidden[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = 1
    return PixelMasker(hidden)
