"""The vision transformer: tokens of patches, all of one width."""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.encoder import Encoder, Intermediates
from maskedae.head import Head
from maskedae.maps import Maps, PlainMap
from maskedae.masking import Mask
from maskedae.patches import PatchEmbed, covered, unpatchify
from maskedae.positions import Places
from maskedae.ragged import blank, shut_out, spare, whole_patches
from maskedae.transformer import Blocks, Tower, init_linear, keep_paths


class VisionTransformer(Encoder):
    """A vision transformer over the visible patches (arXiv:2111.06377, section 3).

    A mask unit is a patch.
    """

    layer: ClassVar[str] = "block"
    embed: PatchEmbed
    positions: Places
    blocks: Blocks

    def __init__(self, embed: PatchEmbed, positions: Places, tower: Tower) -> None:
        super().__init__(tower.width, positions.prefix, tower.eps)
        self.embed, self.positions = embed, positions
        token = torch.empty(1, self.prefix, tower.width).normal_(std=0.02)
        self.class_token = nn.Parameter(token) if self.prefix else None
        self.blocks = Blocks(tower)
        self.norm = self.last_norm()
        self.head = Head(tower.width, self.prefix)
        init_linear(self.blocks)

    def last_norm(self) -> nn.Module:
        """A fresh norm of the tokens."""
        return nn.LayerNorm(self.width, eps=self.eps)

    @property
    def grid(self) -> tuple[int, ...]:
        """Mask units per axis."""
        return self.positions.grid

    @property
    def unit(self) -> tuple[int, ...]:
        """Size of a patch, in values of the signal."""
        return self.embed.patch

    @property
    def size(self) -> tuple[int, ...]:
        """Values along every axis of the signal."""
        if self.embed.size is not None:
            return self.embed.size
        return tuple(n * p for n, p in zip(self.grid, self.unit, strict=True))

    def whole(self, patches: Tensor) -> Tensor:
        """Put patches together again, their mean where they overlap: (B, N, P) -> (B, C, *size)."""
        return unpatchify(patches, self.grid, self.unit, self.embed.stride, self.size)

    def patches(self, mask: Mask) -> Mask:
        """The mask itself: a patch is a unit."""
        return mask

    def hide(self, signal: Tensor, mask: Mask) -> Tensor:
        """Put NaN where no visible patch covers the signal: (B, C, *size) -> (B, C, *size)."""
        seen = covered(signal, mask.visible, self.unit, self.embed.stride)
        return torch.where(seen, signal, torch.nan)

    def tokens(self, signal: Tensor, visible: Tensor | None = None) -> Tensor:
        """What enters the first block: (B, C, *size), (B, V) -> (B, prefix + V, D)."""
        self.check(signal)
        signal = signal.nan_to_num() if self.ragged else signal
        patches = self.embed(signal, visible) + self.positions(visible)
        if self.class_token is None:
            return patches
        prefix = (self.class_token + self.positions.prefixed()).expand(len(signal), -1, -1)
        return torch.cat([prefix, patches], dim=1)

    def present(self, signal: Tensor) -> Tensor | None:
        """Which patches are whole: (B, C, *size) -> (B, N); None where signals never end early."""
        return whole_patches(signal, self.unit, self.embed.stride) if self.ragged else None

    def share_hidden(self, mask: Mask, signal: Tensor) -> float:
        """The share of the patches of signals that a mask hides."""
        present = self.present(signal)
        if present is None:
            return super().share_hidden(mask, signal)
        return float(present.gather(1, mask.hidden).sum() / present.sum())

    def settle(self, mask: Mask, signal: Tensor) -> Mask:
        """A mask that hides the same share of every sample, whichever end early."""
        present = self.present(signal)
        return mask if present is None else spare(mask, present)

    def _present(self, signal: Tensor, visible: Tensor | None = None) -> Tensor | None:
        present = self.present(signal)
        if present is None:
            return None
        chosen = present if visible is None else present.gather(1, visible)
        return F.pad(chosen, (self.prefix, 0), value=True)

    def latent(
        self, signal: Tensor, visible: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Normalised tokens with the prefix."""
        return self.forward_features(signal, visible, noise)

    def forward_features(
        self, signal: Tensor, visible: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Normalised tokens with the prefix: (B, C, *size), (B, V) -> (B, prefix + V, D).

        `noise` (B, noise_size) says which paths are dropped, where any are; else chance does. Where
        a signal has ended, tokens are NaN.
        """
        paths = None if noise is None else noise[:, : 2 * self.depth]
        present = self._present(signal, visible)
        x = self.blocks(self.tokens(signal, visible), noise=paths, present=present)
        return blank(self.norm(x), present)

    def forward_intermediates(
        self,
        signal: Tensor,
        indices: int | list[int] | None = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW", "NLC"] = "NCHW",
        intermediates_only: bool = False,
    ) -> Intermediates:
        """Outputs of chosen blocks, as feature maps (B, D, *grid) or as tokens (B, N, D)."""
        chosen = set(self.chosen(indices))
        x, present = self.tokens(signal), self._present(signal)
        kept: list[Any] = []
        keeps, bias = keep_paths(self.blocks, x), shut_out(x, present)
        for number in range(max(chosen) + 1 if stop_early else self.depth):
            x = self.blocks.step(number, x, keeps, bias=bias)
            if number in chosen:
                kept.append(blank(self.norm(x) if norm else x, present))
        found = self.told(kept, [self.grid] * len(kept), return_prefix_tokens, output_fmt)
        if intermediates_only:
            return found
        return blank(self.norm(x), present), found  # type: ignore[return-value]

    def attended(self, maps: list[Tensor], layer: int) -> Tensor:
        """Where every head of a block looks: (B, heads, *grid)."""
        found = maps[layer]
        looks = found[:, :, 0, self.prefix :] if self.prefix else found.mean(2)
        return looks.reshape(*looks.shape[:2], *self.grid)

    def make_maps(self, window: int, wide: list[int] | None, relative: bool) -> Maps:
        """What makes a feature map of pictures of any size, in windows of so many patches.

        The blocks in `wide` look everywhere, by default the last of every quarter. Raises
        ValueError for other signals than pictures, and for patches that are not square.
        """
        if len(self.grid) != 2 or len(set(self.unit)) > 1 or self.embed.stride is not None:
            return super().make_maps(window, wide, relative)
        if wide is None:
            wide = sorted({-(-self.depth * n // 4) - 1 for n in range(1, 5)})
        if wrong := [n for n in wide if not 0 <= n < self.depth]:
            raise ValueError(f"no block {wrong[0]} can look everywhere: 0 to {self.depth - 1} fit")
        self.norm = nn.Identity()
        return PlainMap(self, window, wide, relative)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] | tuple[int, ...] | None = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop what the outputs of chosen blocks do not need; return their numbers."""
        chosen = self.chosen(indices)
        del self.blocks[max(chosen) + 1 :]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.head = Head(self.width, self.prefix, pool=self.head.pool)
        return chosen

    @property
    def num_layers(self) -> int:
        """Blocks."""
        return len(self.blocks)

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels and stride of every block's feature map."""
        reduction = max(self.unit)
        return [
            {"module": f"blocks.{i}", "num_chs": self.width, "reduction": reduction}
            for i in range(len(self.blocks))
        ]
