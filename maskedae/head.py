"""The head of an encoder: from tokens to one vector, and from that to an answer."""

from typing import Literal

import torch
from torch import Tensor, nn

from maskedae.linear import Linear

Pool = Literal["mean", "class"]


def pool_tokens(features: Tensor, prefix: int, how: Pool, ragged: bool = False) -> Tensor:
    """One vector for each sample: (B, prefix + V, D) -> (B, D).

    Tokens of `ragged` signals that have ended, which are NaN, do not count. Raises ValueError where
    there is no class token to take.
    """
    if how == "mean":
        patches = features[:, prefix:]
        return patches.nanmean(dim=1) if ragged else patches.mean(dim=1)
    if not prefix:
        raise ValueError("this encoder has no class token; pool by mean")
    return features[:, 0]


class Head(nn.Module):
    """Pool, normalise, map linearly; without outputs, only pool.

    The mean of the tokens gets a norm of its own (MAE, official fine-tuning code); with
    `batch_norm`, what is pooled is normalised over the batch (official linear probe). In training,
    `dropout` is the share of values that the linear map does not get.
    """

    def __init__(
        self,
        width: int,
        prefix: int,
        outputs: int = 0,
        pool: Pool = "mean",
        batch_norm: bool = False,
        eps: float = 1e-6,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.prefix, self.pool, self.batch_norm = prefix, pool, batch_norm
        self.norm: nn.Module = nn.Identity()
        self.dropout = dropout
        self.linear: nn.Module = nn.Identity()
        if outputs:
            self.linear = Linear(width, outputs)
            nn.init.trunc_normal_(self.linear.weight, std=0.01 if batch_norm else 2e-5)
            nn.init.zeros_(self.linear.bias)
        if outputs and batch_norm:
            self.norm = nn.BatchNorm1d(width, affine=False, eps=1e-6)
        elif outputs and pool == "mean":
            self.norm = nn.LayerNorm(width, eps=eps)

    @property
    def replaces_norm(self) -> bool:
        """Whether the norm of the tokens has to go, as the head has one in its place."""
        return isinstance(self.norm, nn.LayerNorm)

    def forward(
        self,
        features: Tensor,
        pre_logits: bool = False,
        noise: Tensor | None = None,
        ragged: bool = False,
    ) -> Tensor:
        """(B, prefix + N, D) -> (B, outputs), or (B, D) before the linear map.

        In training, values are dropped where their noise (B, D), uniform in [0, 1), is low.
        """
        pooled = self.norm(pool_tokens(features, self.prefix, self.pool, ragged))
        if pre_logits:
            return pooled
        if self.training and self.dropout:
            noise = torch.rand_like(pooled) if noise is None else noise
            pooled = pooled * ((noise >= self.dropout) / (1 - self.dropout)).to(pooled.dtype)
        return self.linear(pooled)
