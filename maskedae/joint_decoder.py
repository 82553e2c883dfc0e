"""A decoder of two signals at once: each is imagined from what is visible of both."""

import torch
from torch import Tensor, nn

from maskedae.joint import Both, JointBlocks
from maskedae.linear import Linear
from maskedae.masking import take
from maskedae.meeting import Masks
from maskedae.positions import FixedPositions
from maskedae.transformer import Tower, init_linear


class Decoders(nn.ModuleDict):
    """A decoder of sound and one of pictures, neither of which sees what the other decodes."""

    def forward(self, tokens: Both, masks: Masks, _: Both | None = None) -> Both:
        """Predict what is hidden: 2 x (B, 1 + V, D) -> 2 x (B, M, P)."""
        return self["audio"](tokens[0], masks[0]), self["video"](tokens[1], masks[1])

    def imagine(self, tokens: Both, masks: Masks, _: Both | None = None) -> Both:
        """Predict all patches, in the order of the grids: 2 x (B, N, P)."""
        audio, video = (
            self[name].imagine(x, mask)  # type: ignore[operator]
            for name, x, mask in zip(("audio", "video"), tokens, masks, strict=True)
        )
        return audio, video


class JointDecoder(nn.Module):
    """Decode the tokens of sound and of pictures as one sequence (arXiv:2210.07839, section 2.3).

    A model without class tokens goes before it. Nothing is seen of what is not `present`.
    """

    def __init__(
        self,
        latent: int,
        positions: tuple[FixedPositions, FixedPositions],
        values: tuple[int, int],
        tower: Tower,
    ) -> None:
        super().__init__()
        self.embed = Linear(latent, tower.width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, tower.width).normal_(std=0.02))
        self.positions = nn.ModuleList(positions)
        self.joint = JointBlocks(tower)
        self.norm = nn.LayerNorm(tower.width, eps=tower.eps)
        self.heads = nn.ModuleList(Linear(tower.width, many) for many in values)
        init_linear(self)

    def _decode(self, tokens: Both, masks: Masks, present: Both | None) -> Both:
        """Tokens of visible, then hidden patches: 2 x (B, V, D) -> 2 x (B, N, D)."""
        whole: list[Tensor] = []
        for x, mask, positions in zip(tokens, masks, self.positions, strict=True):
            gaps = self.mask_token.expand(*mask.hidden.shape, -1)
            places = positions(torch.cat(mask, dim=1))
            whole.append(torch.cat([self.embed(x), gaps], dim=1) + places)
        audio, video = self.joint(*whole, present)[-1]
        return audio, video

    def forward(self, tokens: Both, masks: Masks, present: Both | None = None) -> Both:
        """Predict what is hidden: 2 x (B, V, D) -> 2 x (B, M, P)."""
        audio, video = self._decode(tokens, masks, present)
        shown = [mask.visible.shape[1] for mask in masks]
        return self._predict((audio[:, shown[0] :], video[:, shown[1] :]))

    def imagine(self, tokens: Both, masks: Masks, present: Both | None = None) -> Both:
        """Predict all patches, in the order of the grids: 2 x (B, N, P)."""
        audio, video = (
            take(x, torch.cat(mask, dim=1).argsort(dim=1))
            for x, mask in zip(self._decode(tokens, masks, present), masks, strict=True)
        )
        return self._predict((audio, video))

    def _predict(self, tokens: Both) -> Both:
        return self.heads[0](self.norm(tokens[0])), self.heads[1](self.norm(tokens[1]))
