"""Attention by angles within windows, with what distances add (arXiv:2111.09883, section 3)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from maskedae.attention import KERNELS, divided
from maskedae.linear import Linear


class Nearness(nn.Module):
    """A network from the steps between two tokens to what they add to each head's score.

    In training, `dropout` is the share of its values that are left out.
    """

    def __init__(self, heads: int, dropout: float, hidden: int = 384) -> None:
        super().__init__()
        self.dropout = dropout
        self.fc1 = nn.Linear(2, hidden)
        self.fc2 = nn.Linear(hidden, heads)

    def forward(self, steps: Tensor) -> Tensor:
        """(L, L, 2) -> (heads, L, L)."""
        hidden = F.relu(self.fc1(steps))
        bias: Tensor = self.fc2.bias
        if self.dropout:
            hidden = F.dropout(hidden, self.dropout, self.training)
        else:
            # One shift of all scores changes nothing: its gradient is made zero, as that of keys'.
            bias = bias.detach() + 0 * bias
        near = F.linear(hidden, self.fc2.weight, bias)
        return F.dropout(near, self.dropout, self.training).movedim(-1, 0)


class CosineAttention(nn.Module):
    """Self-attention within windows, by the cosines of queries and keys.

    Each head divides them by a temperature of its own.
    """

    biased = True

    def __init__(self, width: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.heads = divided(width, heads)
        self.kernel = KERNELS["sdpa"]
        self.qkv = Linear(width, 3 * width)
        self.tau = nn.Parameter(torch.ones(heads))
        self.near = Nearness(heads, dropout)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor, steps: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend within each of W windows: (B, W, L, D), (L, L, 2) -> (B, W, L, D).

        `bias` (B or 1, W, 1, L or 1, L) is added to the scores.
        """
        # Windows are taken for heads, so that what is added need not be repeated for each sample.
        qkv = rearrange(self.qkv(x), "b w n (c h d) -> c b (w h) n d", c=3, h=self.heads)
        # The product of both lengths counts as 1e-6 at least.
        q, k = F.normalize(qkv[:2].float(), dim=-1, eps=1e-3)
        # Kernels divide scores by the root of d, as is right for products; cosines need it back.
        scale = q.shape[-1] ** 0.5 / self.tau.clamp(min=0.01)
        q = q * scale.repeat(x.shape[1])[:, None, None]
        near, v = self.near(steps)[None, None], qkv[2]
        added = near.expand(1, x.shape[1], -1, -1, -1) if bias is None else near + bias
        found = self.kernel(q.to(v), k.to(v), v, added.flatten(1, 2).to(v))
        return self.proj(rearrange(found, "b (w h) n d -> b w n (h d)", h=self.heads))
