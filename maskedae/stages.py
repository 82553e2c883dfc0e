"""Blocks in stages: tokens become fewer and wider on the way (arXiv:2306.00989, section 3)."""

from collections.abc import Sequence
from typing import Any

from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maskedae.attention import KERNELS, divided, keys_held
from maskedae.linear import Linear, linear
from maskedae.transformer import Mlp, keep_paths


def pooled(x: Tensor, share: int) -> Tensor:
    """The largest values of the first, second, .. of `share` slices: (B, V, L, D) -> .., L / share.

    Tokens of a mask unit lie as `units.places` says.
    """
    if share == 1:
        return x
    return rearrange(x, "b v (k l) d -> b v k l d", k=share).max(dim=2).values


class UnitAttention(nn.Module):
    """Attention within mask units, or among all, whose queries may be pooled."""

    biased = False  # whether a kernel must take what is added to the scores

    def __init__(self, width: int, out: int, heads: int, within: bool) -> None:
        super().__init__()
        self.heads, self.within = divided(out, heads), within
        self.kernel = KERNELS["sdpa"]
        self.qkv = Linear(width, 3 * out)
        self.proj = Linear(out, out)

    def forward(self, x: Tensor, share: int) -> Tensor:
        """(B, V, L, D) -> (B, V, L / share, D')."""
        parts = linear(x, self.qkv.weight, keys_held(self.qkv.bias)).chunk(3, dim=-1)
        parts = pooled(parts[0], share), *parts[1:]
        # Units are samples of their own, or one after the other.
        lie = "(b v) h l d" if self.within else "b h (v l) d"
        q, k, v = (rearrange(part, f"b v l (h d) -> {lie}", h=self.heads) for part in parts)
        found = self.kernel(q, k, v, None)
        return self.proj(rearrange(found, f"{lie} -> b v l (h d)", b=len(x), v=x.shape[1]))


class UnitBlock(nn.Module):
    """Pre-norm attention and MLP, each with a residual, that may widen tokens and make them fewer.

    Where tokens widen, the residual is a linear map of the normalised ones.
    """

    def __init__(self, width: int, out: int, heads: int, within: bool, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = UnitAttention(width, out, heads, within)
        self.norm2 = nn.LayerNorm(out, eps=eps)
        self.mlp = Mlp(out, 4 * out)
        self.proj = Linear(width, out) if width != out else None

    def forward(self, x: Tensor, share: int = 1, keep: Tensor | None = None) -> Tensor:
        """(B, V, L, D) -> (B, V, L / share, D').

        `keep` (B, 2) scales what attention and MLP add, to nothing where a path is dropped.
        """
        normed = self.norm1(x)
        # In mixed precision a linear map is not as precise as what the blocks add up should be.
        kept = x if self.proj is None else pooled(self.proj(normed), share).to(x.dtype)
        if keep is None:
            x = kept + self.attn(normed, share)
            return x + self.mlp(self.norm2(x))
        first, second = keep[:, :, None, None, None].unbind(1)
        x = kept + self.attn(normed, share) * first
        return x + self.mlp(self.norm2(x)) * second


class Stages(nn.ModuleList):
    """Blocks in stages, each twice as wide as the last; the first block of a stage may pool.

    Attention is within mask units in all but the last two stages, and in the first block of the
    first of these, which sees tokens before they are pooled (official code).
    """

    def __init__(self, width: int, heads: int, depths: tuple[int, ...], eps: float = 1e-6) -> None:
        for name, value in (("width", width), ("number of heads", heads)):
            if value < 1:
                raise ValueError(f"a {name} of {value} in the first stage: 1 or more would fit")
        blocks, before = [], width
        for stage, depth in enumerate(depths):
            for number in range(depth):
                within = stage - (number == 0 and stage > 0) < len(depths) - 2
                out = width * 2**stage
                blocks.append(UnitBlock(before, out, heads * 2**stage, within, eps))
                before = out
        super().__init__(blocks)
        self.depths, self.width, self.eps = depths, before, eps
        self.checkpointing = False
        self.drop_path = 0.0  # of the last block; it grows evenly from none at the first
        self.span = 0.0, 1.0

    def __getitem__(self, which: Any) -> Any:
        """One block, or some as a plain list."""
        if isinstance(which, slice):
            return nn.ModuleList(list(self)[which])
        return super().__getitem__(which)

    def forward(
        self, x: Tensor, shares: Sequence[int], noise: Tensor | None = None
    ) -> list[Tensor]:
        """Tokens at the end of as many stages as `shares` has: (B, V, L, D) -> (B, V, L', D') each.

        The first block of a stage makes tokens one of so many, its share.
        """
        keeps, number = keep_paths(self, x, noise), 0
        ends: list[Tensor] = []
        for depth, share in zip(self.depths, shares, strict=False):
            for place in range(depth):
                keep = None if keeps is None else keeps[:, number]
                x = self._step(number, x, 1 if place else share, keep)
                number += 1
            ends.append(x)
        return ends

    def _step(self, number: int, x: Tensor, share: int, keep: Tensor | None) -> Tensor:
        if self.checkpointing and self.training:
            return checkpoint(self[number], x, share, keep, use_reentrant=False)
        return self[number](x, share, keep)
