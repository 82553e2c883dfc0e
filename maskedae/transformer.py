"""The transformer that encoders and decoders are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maskedae.attention import Attention
from maskedae.linear import Linear
from maskedae.ragged import shut_out

Look = Callable[[Tensor], Tensor]  # normalised tokens (B, N, D) -> what attention makes of them


@dataclass(frozen=True)
class Tower:
    """The measures of a stack of blocks."""

    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0
    eps: float = 1e-6  # of the norms

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of {getattr(self, name)}: 1 or more would fit")


class Mlp(nn.Module):
    """Two linear maps around a GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP, each with a residual (arXiv:2010.11929)."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(tower.width, eps=tower.eps)
        self.attn = Attention(tower.width, tower.heads)
        self.norm2 = nn.LayerNorm(tower.width, eps=tower.eps)
        self.mlp = Mlp(tower.width, int(tower.width * tower.mlp_ratio))

    def forward(
        self,
        x: Tensor,
        last: int | None = None,
        keep: Tensor | None = None,
        bias: Tensor | None = None,
        look: Look | None = None,
    ) -> Tensor:
        """(B, N, D) -> (B, N, D); where only the last K are wanted, (B, K, D).

        `keep` (B, 2) scales what attention and MLP add, to nothing where a path is dropped; `bias`
        is added to the scores of attention; `look` is what calls it, if not all is to be seen.
        """
        kept, x = x if last is None else x[:, -last:], self.norm1(x)
        looked = self.attn(x, last, bias) if look is None else look(x)
        if keep is None:
            x = kept + looked
            return x + self.mlp(self.norm2(x))
        first, second = keep[:, :, None, None].unbind(1)
        x = kept + looked * first
        return x + self.mlp(self.norm2(x)) * second


class Blocks(nn.ModuleList):
    """A stack of blocks that can trade memory for time, and drop paths (arXiv:1603.09382)."""

    def __init__(self, tower: Tower) -> None:
        super().__init__(Block(tower) for _ in range(tower.depth))
        self.checkpointing = False
        self.drop_path = 0.0  # of the deepest block; it grows evenly from none at the first
        self.span = 0.0, 1.0  # how deep its own first and last blocks are

    def __getitem__(self, which: Any) -> Any:
        """One block, or some as a plain list."""
        if isinstance(which, slice):
            return nn.ModuleList(list(self)[which])
        return super().__getitem__(which)

    def step(
        self,
        number: int,
        x: Tensor,
        keeps: Tensor | None = None,
        last: int | None = None,
        bias: Tensor | None = None,
        look: Look | None = None,
    ) -> Tensor:
        """Run one block, forgetting its activations if they are to be computed again."""
        keep = None if keeps is None else keeps[:, number]
        if self.checkpointing and self.training:
            return checkpoint(self[number], x, last, keep, bias, look, use_reentrant=False)
        return self[number](x, last, keep, bias, look)

    def forward(
        self,
        x: Tensor,
        last: int | None = None,
        noise: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """(B, N, D) -> (B, N, D); where only the last K are wanted, (B, K, D).

        Nothing attends to tokens that are not `present` (B, N).
        """
        keeps, bias = keep_paths(self, x, noise), shut_out(x, present)
        for number in range(len(self)):
            x = self.step(number, x, keeps, last if number + 1 == len(self) else None, bias)
        return x

    def decode(
        self, x: Tensor, order: Tensor, last: int | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Run all blocks, to which the `order` (B, N) of the patches in the grid says nothing."""
        return self(x, last, present=present)


def keep_paths(blocks: Any, x: Tensor, noise: Tensor | None = None) -> Tensor | None:
    """How much of every path of some blocks to keep: (B, depth, 2); None for all of it.

    A path is dropped where its noise (B, 2 depth), uniform in [0, 1), is below its rate.
    """
    if not blocks.training or not blocks.drop_path:
        return None
    shape = (len(x), len(blocks), 2)
    noise = torch.rand(shape, device=x.device) if noise is None else noise.reshape(shape)
    first, last = (blocks.drop_path * deep for deep in blocks.span)
    rates = torch.linspace(first, last, len(blocks), device=x.device).unsqueeze(-1)
    return ((noise >= rates) / (1 - rates)).to(x.dtype)


def init_linear(module: nn.Module) -> None:
    """Draw every linear weight from Xavier's uniform distribution; biases are zero (MAE)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def set_checkpointing(model: nn.Module, on: bool) -> None:
    """Compute activations again in the backward pass instead of keeping them, or not."""
    for module in model.modules():
        if hasattr(module, "checkpointing"):
            module.checkpointing = on  # type: ignore[assignment]


def set_drop_path(model: nn.Module, rate: float) -> None:
    """Drop paths while training, none in the first block, `rate` in the last."""
    if not 0 <= rate < 1:
        raise ValueError(f"a drop path of {rate}; a share in [0, 1) would fit")
    for module in model.modules():
        if hasattr(module, "drop_path"):
            module.drop_path = rate  # type: ignore[assignment]
