"""The head of an encoder of sound and picture: from a vector of each to one answer."""

import torch
from torch import Tensor, nn

from maskedae.head import Head, Pool
from maskedae.joint import Both


class JointHead(Head):
    """Normalise vectors (B, P), such as two put together, map linearly; without outputs, neither.

    What is not there has no part in the norm and adds nothing to the answer. See `Head` for what is
    to be chosen. Unless the head `replaces` the norm of the tokens, it has one beside it.
    """

    def __init__(
        self,
        values: int,
        outputs: int = 0,
        pool: Pool = "mean",
        batch_norm: bool = False,
        eps: float = 1e-6,
        dropout: float = 0.0,
        replaces: bool = True,
    ) -> None:
        super().__init__(values, 0, outputs, pool, batch_norm, eps, dropout)
        self.replaces = replaces

    @property
    def replaces_norm(self) -> bool:
        """Whether the norm of the tokens has to go, as the head has one in its place."""
        return self.replaces and super().replaces_norm

    def forward(  # type: ignore[override]
        self,
        vectors: Tensor,
        pre_logits: bool = False,
        noise: Tensor | None = None,
        there: Tensor | None = None,
    ) -> Tensor:
        """(B, P) -> (B, outputs), or (B, P) before the linear map; NaN there for what is not.

        In training, values are dropped where their noise (B, P), uniform in [0, 1), is low.
        Raises ValueError for a batch norm where it is told which values are `there` (B, P).
        """
        if there is None:
            normed = self.norm(vectors)
        else:
            normed = self._normalise(vectors.masked_fill(~there, 0.0), there)
        if pre_logits or isinstance(self.linear, nn.Identity):
            return normed if there is None else normed.masked_fill(~there, torch.nan)
        if self.training and self.dropout:
            noise = torch.rand_like(normed) if noise is None else noise
            normed = normed * ((noise >= self.dropout) / (1 - self.dropout)).to(normed.dtype)
        return self.linear(normed)

    def _normalise(self, x: Tensor, there: Tensor) -> Tensor:
        if isinstance(self.norm, nn.LayerNorm):
            return norm_present(x, there, self.norm)
        if self.batch_norm:
            raise ValueError(
                "a batch norm takes samples of sound and picture both: --data.missing=skip fits"
            )
        return x


def norm_present(x: Tensor, there: Tensor, norm: nn.LayerNorm) -> Tensor:
    """A layer norm of the values that are there, zero for all others: 2 x (B, P) -> (B, P)."""
    x, count = x.float(), there.sum(dim=1, keepdim=True).clamp(min=1)
    centred = (x - x.sum(dim=1, keepdim=True) / count).masked_fill(~there, 0.0)
    variance = centred.square().sum(dim=1, keepdim=True) / count
    normed = centred * (variance + norm.eps).rsqrt() * norm.weight + norm.bias
    return normed.masked_fill(~there, 0.0)


def means_of(parts: Both) -> Tensor:
    """The mean of sound's tokens, then of pictures': (B, V, D), (B, V', D) -> (B, 2 D)."""
    return torch.cat([part.mean(dim=1) for part in parts], dim=1)


def mean_of(parts: Both, there: Both) -> Tensor:
    """The mean of all tokens of what is `there`: (B, V, D), (B, V', D), 2 x (B,) -> (B, D)."""
    counts = [has.unsqueeze(1) * part.shape[1] for has, part in zip(there, parts, strict=True)]
    sums = [
        part.sum(dim=1).masked_fill(count == 0, 0.0)
        for part, count in zip(parts, counts, strict=True)
    ]
    return (sums[0] + sums[1]) / (counts[0] + counts[1]).clamp(min=1)


def values_there(there: Both, width: int, mingled: bool) -> Tensor:
    """Which values of pooled vectors stand for anything: 2 x (B,) -> (B, D) or (B, 2 D)."""
    kept = [there[0] | there[1]] if mingled else list(there)
    return torch.stack(kept, dim=1).repeat_interleave(width, dim=1)
