"""Blocks that look around in small windows of a grid, for decoders (arXiv:2207.06405, 3.2)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maskedae.cosine import CosineAttention
from maskedae.masking import take
from maskedae.transformer import Mlp, Tower

APART = -100.0  # what is added to the scores of tokens that the roll has put side by side
ABSENT = -3e4  # the same where there is nothing: finite in every precision


class Windows(NamedTuple):
    """How a grid is cut into windows, after it was rolled by `shift`."""

    grid: tuple[int, int]
    sides: tuple[int, int]
    shift: tuple[int, int]

    @property
    def counts(self) -> tuple[int, int]:
        """Windows per axis; the last ones may reach beyond the grid."""
        tall, wide = (-(-n // side) for n, side in zip(self.grid, self.sides, strict=True))
        return tall, wide

    @property
    def whole(self) -> tuple[int, int]:
        """Patches per axis of all windows together."""
        return self.counts[0] * self.sides[0], self.counts[1] * self.sides[1]

    def cut(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, W, L, D); zeros beyond the grid."""
        x = rearrange(x, "b (h w) d -> b h w d", h=self.grid[0])
        over = [n - have for n, have in zip(self.whole, self.grid, strict=True)]
        x = F.pad(x, (0, 0, 0, over[1], 0, over[0])) if any(over) else x
        x = x.roll((-self.shift[0], -self.shift[1]), dims=(1, 2)) if any(self.shift) else x
        p, q = self.sides
        return rearrange(x, "b (h p) (w q) d -> b (h w) (p q) d", p=p, q=q)

    def join(self, x: Tensor) -> Tensor:
        """Undo `cut`: (B, W, L, D) -> (B, N, D)."""
        (h, w), (p, q) = self.counts, self.sides
        x = rearrange(x, "b (h w) (p q) d -> b (h p) (w q) d", h=h, w=w, p=p, q=q)
        x = x.roll(self.shift, dims=(1, 2)) if any(self.shift) else x
        return x[:, : self.grid[0], : self.grid[1]].flatten(1, 2)

    def bias(self, x: Tensor, present: Tensor | None) -> Tensor | None:
        """What keeps tokens of a window apart that are no neighbours, and absent ones out.

        (B, N, D), present (B, N) -> (B or 1, W, 1, L or 1, L).
        """
        apart = self._apart(x) if any(self.shift) else None
        if present is None and self.whole != self.grid:
            present = torch.ones(1, math.prod(self.grid), dtype=torch.bool, device=x.device)
        if present is None:
            return apart
        there = self.cut(present.unsqueeze(-1).byte()).squeeze(-1) > 0
        out = x.new_zeros(there.shape).masked_fill(~there, ABSENT)[:, :, None, None]
        return out if apart is None else out + apart

    def _apart(self, x: Tensor) -> Tensor:
        rows, columns = (
            torch.arange(n, device=x.device) >= n - rolled
            for n, rolled in zip(self.whole, self.shift, strict=True)
        )
        p, q = self.sides
        region = 2 * rows[:, None].byte() + columns.byte()
        region = rearrange(region, "(h p) (w q) -> (h w) (p q)", p=p, q=q)
        other = region[:, :, None] != region[:, None, :]
        return (other.to(x.dtype) * APART)[None, :, None]


class WindowedBlock(nn.Module):
    """Cosine attention within windows, then an MLP; a norm follows each (arXiv:2111.09883)."""

    def __init__(self, tower: Tower, dropout: float) -> None:
        super().__init__()
        self.attn = CosineAttention(tower.width, tower.heads, dropout)
        self.norm1 = nn.LayerNorm(tower.width, eps=tower.eps)
        self.mlp = Mlp(tower.width, int(tower.width * tower.mlp_ratio))
        self.norm2 = nn.LayerNorm(tower.width, eps=tower.eps)

    def forward(self, x: Tensor, windows: Windows, steps: Tensor, bias: Tensor | None) -> Tensor:
        """(B, N, D), in the order of the grid -> (B, N, D)."""
        x = x + self.norm1(windows.join(self.attn(windows.cut(x), steps, bias)))
        return x + self.norm2(self.mlp(x))


class WindowedBlocks(nn.ModuleList):
    """A stack of blocks that look around in windows of at most `side` patches.

    Every second block rolls the grid by half a window along the first axis: along that axis alone,
    as in the released code. Where windows reach beyond the grid, nothing is there.
    """

    def __init__(
        self, tower: Tower, grid: tuple[int, ...], side: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__(WindowedBlock(tower, dropout) for _ in range(tower.depth))
        if len(grid) != 2:
            raise ValueError(
                f"windows are cut on grids of two axes, not on {grid}; the global decoder would fit"
            )
        self.checkpointing = False
        sides = min(side, grid[0]), min(side, grid[1])
        shift = sides[0] // 2 if grid[0] > sides[0] else 0
        self.windows = [Windows(grid, sides, (0, 0)), Windows(grid, sides, (shift, 0))]

    def decode(
        self, x: Tensor, order: Tensor, last: int | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Run all blocks over N patches, whose places in the grid are their `order` (B, N).

        Tokens of a prefix are left out: (B, prefix + N, D) -> (B, N, D); where only the last K are
        wanted, (B, K, D). Nothing looks at tokens that are not `present` (B, prefix + N).
        """
        back, patches = order.argsort(dim=1), slice(-order.shape[1], None)
        present = None if present is None else present[:, patches].gather(1, back)
        x = self(take(x[:, patches], back), present)
        return take(x, order if last is None else order[:, -last:])

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Run all blocks over patches in the order of the grid: (B, N, D) -> (B, N, D)."""
        steps = log_steps(self.windows[0].sides, x)
        biases = [windows.bias(x, present) for windows in self.windows]
        for number, block in enumerate(self):
            told = self.windows[number % 2], steps, biases[number % 2]
            if self.checkpointing and self.training:
                x = checkpoint(block, x, *told, use_reentrant=False)
            else:
                x = block(x, *told)
        return x


def log_steps(sides: tuple[int, int], like: Tensor) -> Tensor:
    """How far, on a log scale, each place of a window is from each: (L, L, 2).

    >>> log_steps((1, 3), torch.empty(0))[0, :, 1]
    tensor([ 0.0000, -0.6931, -1.0986])
    """
    axes = (torch.arange(side, device=like.device, dtype=torch.float32) for side in sides)
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)
    steps = places[:, None] - places
    return steps.sign() * steps.abs().log1p()
