"""The decoder: from the latent tokens of what is visible to a prediction of what is hidden."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.encoder import Latent
from maskedae.fusion import Fusion
from maskedae.linear import Linear
from maskedae.masking import Mask, take
from maskedae.positions import Places
from maskedae.transformer import Blocks, Tower, init_linear
from maskedae.windowed import WindowedBlocks


class Decoder(nn.Module):
    """Stand one learned token in for every hidden patch, and decode (arXiv:2111.06377, section 3).

    Attention does not care about order, so the patches are not put back in theirs, unless its
    `blocks` are of a kind that does. With a class token of its own, which starts at zero, it does
    not see the prefix tokens of the encoder. Of features of several stages, `fusion` makes tokens.
    """

    def __init__(
        self,
        latent: int,
        positions: Places,
        values: int,
        tower: Tower,
        embed_bias: bool = True,
        own_class_token: bool = False,
        blocks: WindowedBlocks | None = None,
        fusion: Fusion | None = None,
    ) -> None:
        super().__init__()
        self.fusion = fusion
        self.embed = Linear(latent, tower.width, bias=embed_bias)
        self.mask_token = nn.Parameter(torch.empty(1, 1, tower.width).normal_(std=0.02))
        token = torch.zeros(1, positions.prefix, tower.width)
        self.class_token = nn.Parameter(token) if own_class_token else None
        self.positions = positions
        self.blocks = blocks or Blocks(tower)
        self.norm = nn.LayerNorm(tower.width, eps=tower.eps)
        self.head = Linear(tower.width, values)
        init_linear(self)

    def _decode(
        self, latent: Latent, mask: Mask, present: Tensor | None, last: int | None = None
    ) -> Tensor:
        """Tokens of visible, then hidden patches: (B, prefix + V, D) -> (B, .. + N, D).

        Those of the prefix may come first. Where only the last K are wanted, (B, K, D).
        """
        order = torch.cat(mask, dim=1)
        latent = self._fused(latent)
        if present is not None:
            absent = ~present.gather(1, mask.visible)
            absent = F.pad(absent, (latent.shape[1] - absent.shape[1], 0), value=False)
            latent = latent.masked_fill(absent.unsqueeze(-1), 0.0)
            present = present.gather(1, order)
            present = F.pad(present, (self.positions.prefix, 0), value=True)
        gaps = self.mask_token.expand(*mask.hidden.shape, -1)
        prefix = self.positions.prefixed().expand(len(latent), -1, -1)
        places = torch.cat([prefix, self.positions(order)], dim=1)
        tokens = torch.cat([self._seen(latent, mask), gaps], dim=1) + places
        return self.blocks.decode(tokens, order, last, present)

    def _fused(self, latent: Latent) -> Tensor:
        if isinstance(latent, Tensor):
            return latent
        assert self.fusion is not None, "features of stages need a fusion"
        return self.fusion(latent)

    def _seen(self, latent: Tensor, mask: Mask) -> Tensor:
        """What comes of the encoder: (B, its prefix + V, its D) -> (B, prefix + V, D)."""
        if self.class_token is None:
            return self.embed(latent)
        patches = self.embed(latent[:, -mask.visible.shape[1] :])
        return torch.cat([self.class_token.expand(len(latent), -1, -1), patches], dim=1)

    def forward(self, latent: Latent, mask: Mask, present: Tensor | None = None) -> Tensor:
        """Predict what is hidden: (B, prefix + V, D) -> (B, M, P).

        Where signals may end early, `present` (B, N) says which patches there are.
        """
        last = mask.hidden.shape[1]
        return self.head(self.norm(self._decode(latent, mask, present, last)))

    def imagine(self, latent: Latent, mask: Mask, present: Tensor | None = None) -> Tensor:
        """Predict every patch, those seen too, in the order of the grid: (B, N, P)."""
        order = torch.cat(mask, dim=1)
        tokens = self._decode(latent, mask, present)[:, -order.shape[1] :]
        in_order = take(tokens, order.argsort(dim=1))
        return self.head(self.norm(in_order))
