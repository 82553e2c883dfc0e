"""The encoder: what is visible, as tokens. It never masks unless it is given what is visible."""

from typing import Literal

import torch
from torch import Tensor, nn

from maskedae.patches import PatchEmbed
from maskedae.positions import Positions
from maskedae.transformer import Blocks, Tower, init_linear

Pool = Literal["mean", "class"]


class Encoder(nn.Module):
    """A vision transformer over the visible patches (arXiv:2111.06377, section 3).

    Tokens that stand for no patch come first and are counted by `prefix`.
    """

    def __init__(self, embed: PatchEmbed, positions: Positions, tower: Tower) -> None:
        super().__init__()
        self.embed, self.positions = embed, positions
        self.width, self.prefix = tower.width, positions.prefix
        self.class_token = nn.Parameter(torch.empty(1, self.prefix, tower.width).normal_(std=0.02))
        self.blocks = Blocks(tower)
        self.norm = nn.LayerNorm(tower.width, eps=1e-6)
        init_linear(self.blocks)

    @property
    def grid(self) -> tuple[int, ...]:
        """Mask units per axis."""
        return self.positions.grid

    @property
    def unit(self) -> tuple[int, ...]:
        """Size of a mask unit, in values of the signal: here, a patch."""
        return self.embed.patch

    def tokens(self, signal: Tensor, visible: Tensor | None = None) -> Tensor:
        """What enters the first block: (B, C, *size), (B, V) -> (B, prefix + V, D)."""
        size = tuple(n * p for n, p in zip(self.grid, self.embed.patch, strict=True))
        if signal.shape[1:] != (self.embed.weight.shape[1], *size):
            raise ValueError(
                f"a signal of {tuple(signal.shape[1:])} came to an encoder built for "
                f"{(self.embed.weight.shape[1], *size)}; create_model and load take size=..., "
                f"channels=... to build one that fits"
            )
        patches = self.embed(signal, visible) + self.positions(visible)
        prefix = (self.class_token + self.positions.prefixed()).expand(len(signal), -1, -1)
        return torch.cat([prefix, patches], dim=1)

    def forward_features(self, signal: Tensor, visible: Tensor | None = None) -> Tensor:
        """Normalised tokens with the prefix: (B, C, *size), (B, V) -> (B, prefix + V, D)."""
        return self.norm(self.blocks(self.tokens(signal, visible)))

    def forward(self, signal: Tensor, visible: Tensor | None = None) -> Tensor:
        """Normalised tokens of patches: (B, C, *size), (B, V) -> (B, V, D); without V, all N."""
        return self.forward_features(signal, visible)[:, self.prefix :]

    def pool(self, features: Tensor, how: Pool = "mean") -> Tensor:
        """One vector for each sample: (B, prefix + V, D) -> (B, D)."""
        if how == "mean":
            return features[:, self.prefix :].mean(dim=1)
        if not self.prefix:
            raise ValueError("this encoder has no class token; pool by mean")
        return features[:, 0]

    def forward_intermediates(
        self,
        signal: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        return_prefix_tokens: bool = False,
        intermediates_only: bool = False,
        output_fmt: Literal["NCHW", "NLC"] = "NCHW",
    ) -> list[Tensor] | list[tuple[Tensor, Tensor]] | tuple[Tensor, list[Tensor]]:
        """Outputs of chosen blocks, as feature maps (B, D, *grid) or as tokens (B, N, D).

        `indices` names blocks, from the end if negative; a number stands for the last that many,
        None for all. The options and the result are those of timm's method of that name.
        """
        depth = len(self.blocks)
        if indices is None or isinstance(indices, int):
            indices = list(range(depth - (depth if indices is None else indices), depth))
        if not all(-depth <= i < depth for i in indices):
            raise ValueError(f"blocks {indices} asked of an encoder with {depth} blocks")
        chosen = {i % depth for i in indices}
        x, kept = self.tokens(signal), []
        for number, block in enumerate(self.blocks):
            x = self.blocks.step(block, x)
            if number in chosen:
                kept.append(self.norm(x) if norm else x)
        maps = [y[:, self.prefix :] for y in kept]
        if output_fmt == "NCHW":
            maps = [y.transpose(1, 2).unflatten(2, self.grid) for y in maps]
        if return_prefix_tokens:
            pairs = [(m, y[:, : self.prefix]) for m, y in zip(maps, kept, strict=True)]
            return pairs if intermediates_only else (self.norm(x), pairs)  # type: ignore[return-value]
        return maps if intermediates_only else (self.norm(x), maps)
