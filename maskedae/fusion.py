"""Features of several stages made one for a decoder (arXiv:2306.00989, section 3.3)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from maskedae.linear import linear
from maskedae.units import places


class Shrink(nn.Module):
    """A convolution over blocks of tokens that lie as pooling leaves them, one to each block.

    The weight is that of a convolution whose kernel and stride are the block.
    """

    def __init__(self, width: int, out: int, steps: tuple[int, ...], times: int) -> None:
        super().__init__()
        kernel = [step**times for step in steps]
        self.weight = nn.Parameter(torch.empty(out, width, *kernel))
        self.bias = nn.Parameter(torch.empty(out))
        limit = self.weight[0].numel() ** -0.5
        nn.init.uniform_(self.weight, -limit, limit)  # PyTorch's own draw for convolutions
        nn.init.uniform_(self.bias, -limit, limit)
        self.order: Tensor  # (K,) places in the kernel of the tokens of a block
        order = places((1,) * len(steps), steps, times)[0]
        self.register_buffer("order", order, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, V, L, D) -> (B, V, L / K, D')."""
        blocks = rearrange(x, "b v (k l) d -> b v l (k d)", k=len(self.order))
        weight = self.weight.flatten(2)[:, :, self.order].transpose(1, 2).flatten(1)
        return linear(blocks, weight, self.bias)


class Fusion(nn.Module):
    """The sum of stages at the resolution of the last, each through a convolution, normalised.

    Stages that have its resolution already, but for the last, are left out; so are all but the last
    where only one scale is wanted.
    """

    def __init__(
        self, widths: list[int], steps: tuple[int, ...], eps: float = 1e-6, several: bool = True
    ) -> None:
        super().__init__()
        count = len(widths) - 2 if several else 0
        heads = (Shrink(widths[n], widths[-1], steps, count - n) for n in range(count))
        self.heads = nn.ModuleList(heads)
        self.norm = nn.LayerNorm(widths[-1], eps=eps)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Tokens at the end of every stage, (B, V, L, D) each -> (B, N, D')."""
        fused = stages[-1]
        for head, x in zip(self.heads, stages, strict=False):
            fused = fused + head(x)
        return self.norm(fused).flatten(1, 2)
