"""The decoder: from the latent tokens of what is visible to a prediction of what is hidden."""

import torch
from torch import Tensor, nn

from maskedae.masking import Mask, take
from maskedae.positions import Positions
from maskedae.transformer import Blocks, Tower, init_linear


class Decoder(nn.Module):
    """Stand one learned token in for every hidden patch, and decode (arXiv:2111.06377, section 3).

    Attention does not care about order, so the patches are not put back in theirs.
    """

    def __init__(self, latent: int, positions: Positions, values: int, tower: Tower) -> None:
        super().__init__()
        self.embed = nn.Linear(latent, tower.width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, tower.width).normal_(std=0.02))
        self.positions = positions
        self.blocks = Blocks(tower)
        self.norm = nn.LayerNorm(tower.width, eps=tower.eps)
        self.head = nn.Linear(tower.width, values)
        init_linear(self)

    def _decode(self, latent: Tensor, mask: Mask, last: int | None = None) -> Tensor:
        """Tokens of prefix, visible, then hidden: (B, prefix + V, D) -> (B, prefix + N, D).

        Where only the last K are wanted, the last block leaves out the others: (B, K, D).
        """
        gaps = self.mask_token.expand(*mask.hidden.shape, -1)
        prefix = self.positions.prefixed().expand(len(latent), -1, -1)
        places = torch.cat([prefix, self.positions(torch.cat(mask, dim=1))], dim=1)
        return self.blocks(torch.cat([self.embed(latent), gaps], dim=1) + places, last)

    def forward(self, latent: Tensor, mask: Mask) -> Tensor:
        """Predict what is hidden: (B, prefix + V, D) -> (B, M, P)."""
        return self.head(self.norm(self._decode(latent, mask, last=mask.hidden.shape[1])))

    def imagine(self, latent: Tensor, mask: Mask) -> Tensor:
        """Predict every patch, those seen too, in the order of the grid: (B, N, P)."""
        tokens = self._decode(latent, mask)[:, self.positions.prefix :]
        in_order = take(tokens, torch.cat(mask, dim=1).argsort(dim=1))
        return self.head(self.norm(in_order))
