"""Blocks in which the tokens of two signals see each other: as one sequence, or by a bottleneck."""

from typing import Any

import torch
from torch import Tensor, nn

from maskedae.ragged import shut_out
from maskedae.transformer import Blocks, Tower, init_linear, keep_paths

Both = tuple[Tensor, Tensor]


class JointBlocks(nn.Module):
    """Every token of both signals looks at every other.

    Where they are `shared`, each signal also goes through them by itself, under norms of its own
    (arXiv:2210.07839, section 2.3).
    """

    def __init__(self, tower: Tower, shared: bool = False) -> None:
        super().__init__()
        self.blocks = Blocks(tower)
        self.norms = nn.ModuleList(_norms(tower) for _ in range(2 if shared else 0))
        init_linear(self)

    @property
    def stacks(self) -> list[Blocks]:
        """All blocks, in the order of their noise."""
        return [self.blocks]

    @property
    def depth(self) -> int:
        """Blocks that a token goes through."""
        return len(self.blocks)

    @property
    def noise_size(self) -> int:
        """Random numbers that tell which paths of one sample are dropped."""
        return 2 * self.depth

    def forward(
        self, x: Tensor, y: Tensor, present: Both | None = None, noise: Tensor | None = None
    ) -> list[Both]:
        """(B, N, D), (B, N', D) -> both after every block.

        Nothing looks at a signal where it is not `present` 2 x (B,). Paths are dropped by `noise`
        (B, noise_size), where any are.
        """
        found: list[Both] = []
        lengths = x.shape[1], y.shape[1]
        tokens = torch.cat([x, y], dim=1)
        keeps, bias = keep_paths(self.blocks, tokens, noise), None
        if present is not None:
            sides = zip(present, lengths, strict=True)
            there = [side.unsqueeze(1).expand(-1, length) for side, length in sides]
            bias = shut_out(tokens, torch.cat(there, dim=1))
        for number in range(self.depth):
            tokens = self.blocks.step(number, tokens, keeps, bias=bias)
            x, y = tokens.tensor_split([lengths[0]], dim=1)
            found.append((x, y))
        return found

    def alone(self, x: Tensor, y: Tensor) -> Both:
        """What becomes of each where they do not meet: (B, N, D), (B, N', D) -> the same shapes.

        No path is dropped. Nothing becomes of them where blocks are not shared.
        """
        if not self.norms:
            return x, y
        x, y = (
            _under(norms, self.blocks, side) for norms, side in zip(self.norms, (x, y), strict=True)
        )
        return x, y


def _norms(tower: Tower) -> nn.ModuleList:
    """Norms before attention and MLP of every block."""
    return nn.ModuleList(
        nn.ModuleList(nn.LayerNorm(tower.width, eps=tower.eps) for _ in range(2))
        for _ in range(tower.depth)
    )


def _under(norms: Any, blocks: Any, x: Tensor) -> Tensor:
    """Go through blocks under other norms than theirs: (B, N, D) -> (B, N, D)."""
    for block, (first, second) in zip(blocks, norms, strict=True):
        x = x + block.attn(first(x))
        x = x + block.mlp(second(x))
    return x


class BottleneckBlocks(nn.Module):
    """Each signal has blocks of its own, and all that they share are a few tokens.

    Each signal changes them, and the mean of what becomes of them goes on (arXiv:2107.00135).
    """

    def __init__(self, tower: Tower, bottlenecks: int) -> None:
        super().__init__()
        if bottlenecks < 1:
            raise ValueError(f"{bottlenecks} tokens in the bottleneck; 1 or more would fit")
        self.tokens = nn.Parameter(torch.empty(1, bottlenecks, tower.width).normal_(std=0.02))
        self.audio, self.video = Blocks(tower), Blocks(tower)
        self.norms = nn.ModuleList()
        init_linear(self)

    @property
    def stacks(self) -> list[Blocks]:
        """The blocks of each, in the order of their noise."""
        return [self.audio, self.video]

    @property
    def depth(self) -> int:
        """Blocks that a token goes through."""
        return len(self.audio)

    @property
    def noise_size(self) -> int:
        """Random numbers that tell which paths of one sample are dropped."""
        return 4 * self.depth

    def forward(
        self, x: Tensor, y: Tensor, present: Both | None = None, noise: Tensor | None = None
    ) -> list[Both]:
        """(B, N, D), (B, N', D) -> both after every block; see `JointBlocks`."""
        found: list[Both] = []
        count = self.tokens.shape[1]
        shares = _shares(present, x)
        noises = (None, None) if noise is None else noise.chunk(2, dim=1)
        keeps = [
            keep_paths(blocks, x, part) for blocks, part in zip(self.stacks, noises, strict=True)
        ]
        shared = self.tokens.expand(len(x), -1, -1)
        for number in range(self.depth):
            x = self.audio.step(number, torch.cat([x, shared], dim=1), keeps[0])
            y = self.video.step(number, torch.cat([y, shared], dim=1), keeps[1])
            shared = x[:, -count:] * shares[0] + y[:, -count:] * shares[1]
            x, y = x[:, :-count], y[:, :-count]
            found.append((x, y))
        return found

    def alone(self, x: Tensor, y: Tensor) -> Both:
        """The same: (B, N, D), (B, N', D); see `JointBlocks`."""
        return x, y


def _shares(present: Both | None, x: Tensor) -> list[Tensor]:
    """What part each signal has in the mean: 2 x (B, 1, 1)."""
    if present is None:
        return [x.new_full((1, 1, 1), 0.5)] * 2
    there = torch.stack(present).to(x.dtype)
    return list((there / there.sum(dim=0).clamp(min=1))[:, :, None, None])
