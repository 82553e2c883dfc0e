"""The hierarchical encoder: mask units of tokens that become fewer and wider on the way."""

import math
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.encoder import Encoder, Intermediates
from maskedae.head import Head
from maskedae.maps import Maps, StageMaps
from maskedae.masking import Mask
from maskedae.patches import covered, unpatchify
from maskedae.positions import Places
from maskedae.stages import Stages
from maskedae.transformer import init_linear
from maskedae.units import UnitEmbed, places


class Hierarchy(Encoder):
    """Hiera: stages of blocks over the tokens of visible mask units (arXiv:2306.00989).

    On entering the second stage and so on, tokens are pooled, `pools` times. In pre-training, they
    are not on entering the last, so that a unit keeps some tokens for a decoder; a classifier pools
    there, too (official code). Features are those at the end of stages.
    """

    layer: ClassVar[str] = "stage"
    takes_ragged: ClassVar[bool] = False
    embed: UnitEmbed
    positions: Places
    blocks: Stages

    def __init__(self, embed: UnitEmbed, positions: Places, blocks: Stages) -> None:
        super().__init__(blocks.width, 0, blocks.eps)
        self.embed, self.positions, self.blocks = embed, positions, blocks
        self.norm, self.head = self.last_norm(), Head(self.width, 0)
        self.predicted: Tensor  # (U, L) patches of every unit
        self.register_buffer("predicted", self._places(self.pools), persistent=False)
        for pools in range(self.num_layers):
            back = self._places(pools).flatten().argsort()  # from units to the order of the grid
            self.register_buffer(f"back{pools}", back, persistent=False)
        init_linear(self.blocks)

    def last_norm(self) -> nn.Module:
        """A fresh norm of the tokens: nothing to learn, for decoders and heads bring theirs."""
        return nn.LayerNorm(self.width, eps=self.eps, elementwise_affine=False)

    @property
    def grid(self) -> tuple[int, ...]:
        """Mask units per axis."""
        return self.embed.units

    @property
    def unit(self) -> tuple[int, ...]:
        """Size of a mask unit, in values of the signal."""
        return self.embed.sides

    @property
    def size(self) -> tuple[int, ...]:
        """Values along every axis of the signal."""
        return tuple(n * side for n, side in zip(self.grid, self.unit, strict=True))

    def _places(self, pools: int) -> Tensor:
        """Places in the grid, after so many poolings, of the tokens of every unit: (U, L)."""
        return places(self.grid, self.embed.steps, self.num_layers - 1 - pools)

    def _grid(self, pools: int) -> tuple[int, ...]:
        """Tokens per axis after so many poolings."""
        steps = zip(self.grid, self.embed.steps, strict=True)
        return tuple(n * step ** (self.num_layers - 1 - pools) for n, step in steps)

    def patches(self, mask: Mask) -> Mask:
        """The patches of visible and of hidden units: those that the last stage has tokens for.

        Those of a unit stand one after the other, as its tokens do.
        """
        return Mask(*(self.predicted[index].flatten(1) for index in mask))

    def whole(self, patches: Tensor) -> Tensor:
        """Put predicted patches together again: (B, N, P) -> (B, C, *size)."""
        grid = self._grid(self.num_layers - 2)
        patch = tuple(side // n for side, n in zip(self.size, grid, strict=True))
        return unpatchify(patches, grid, patch)

    def hide(self, signal: Tensor, mask: Mask) -> Tensor:
        """Put NaN where no visible unit covers the signal: (B, C, *size) -> (B, C, *size)."""
        return torch.where(covered(signal, mask.visible, self.unit), signal, torch.nan)

    def tokens(self, signal: Tensor, visible: Tensor | None = None) -> Tensor:
        """What enters the first block: (B, C, *size), (B, V) -> (B, V, L, D)."""
        self.check(signal)
        tokens, order = self.embed(signal, visible), self.embed.order
        chosen = order[None] if visible is None else order[visible]
        return tokens + self.positions(chosen.flatten(1)).view(*chosen.shape, -1)

    def stages(
        self,
        signal: Tensor,
        visible: Tensor | None = None,
        noise: Tensor | None = None,
        pools: int | None = None,
        count: int | None = None,
    ) -> list[Tensor]:
        """Tokens at the end of every stage, or of so many: (B, V, L, D) each.

        They are pooled `pools` times, if that is given.
        """
        paths = None if noise is None else noise[:, : 2 * self.depth]
        share, pools = math.prod(self.embed.steps), self.pools if pools is None else pools
        shares = [share if 0 < stage <= pools else 1 for stage in range(self.num_layers)]
        return self.blocks(self.tokens(signal, visible), shares[:count], paths)

    def latent(
        self, signal: Tensor, visible: Tensor | None = None, noise: Tensor | None = None
    ) -> list[Tensor]:
        """Tokens at the end of every stage, pooled as in pre-training."""
        return self.stages(signal, visible, noise, pools=self.num_layers - 2)

    def forward_features(
        self, signal: Tensor, visible: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Normalised tokens of the last stage: (B, C, *size), (B, V) -> (B, .., D).

        Those of all units stand in the order of the grid, those of visible ones in that of the
        units. `noise` (B, noise_size) says which paths are dropped; else chance does.
        """
        tokens = self.norm(self.stages(signal, visible, noise)[-1])
        return tokens.flatten(1, 2) if visible is not None else self._in_order(tokens, self.pools)

    def _in_order(self, tokens: Tensor, pools: int) -> Tensor:
        """Tokens of all units in the order of the grid: (B, U, L, D) -> (B, N, D)."""
        return tokens.flatten(1, 2).index_select(1, getattr(self, f"back{pools}"))

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
        """Tokens at the end of chosen stages, as feature maps (B, D, *grid) or as (B, N, D).

        As pre-trained, the last two stages have one resolution; when `tuned`, as in classifiers,
        there are four scales for a feature pyramid.
        """
        chosen = sorted(set(self.chosen(indices)))
        ends = self.stages(signal, count=chosen[-1] + 1 if stop_early else None)
        kept = [self._in_order(ends[stage], self._pooled(stage)) for stage in chosen]
        kept = [self._normed(x) for x in kept] if norm else kept
        grids = [self._grid(self._pooled(stage)) for stage in chosen]
        found = self.told(kept, grids, return_prefix_tokens, output_fmt)
        last = self._in_order(ends[-1], self._pooled(len(ends) - 1))
        return found if intermediates_only else (self._normed(last), found)  # type: ignore[return-value]

    def _pooled(self, stage: int) -> int:
        """How often the tokens at the end of a stage have been pooled."""
        return min(stage, self.pools)

    def _normed(self, x: Tensor) -> Tensor:
        """What the norm of the tokens makes of those of any stage, for it depends on no width."""
        if isinstance(self.norm, nn.Identity):
            return x
        return F.layer_norm(x, x.shape[-1:], eps=self.eps)

    def attended(self, maps: list[Tensor], layer: int) -> Tensor:
        """Where every head of the last block of a stage looks: (B, heads, *grid)."""
        depths = self.blocks.depths
        # The first block of a stage looks at tokens that are not pooled yet.
        pools = self._pooled(layer - (layer > 0 and depths[layer] == 1))
        number = sum(depths[: layer + 1]) - 1
        block: Any = self.blocks[number]
        if block.attn.within:
            raise ValueError(f"stage {layer} attends within mask units; take another of --layers")
        looks = maps[number].mean(2).transpose(1, 2).unsqueeze(1)
        looks = self._in_order(looks, pools).transpose(1, 2)
        return looks.reshape(*looks.shape[:2], *self._grid(pools))

    def make_maps(self, window: int, wide: list[int] | None, relative: bool) -> Maps:
        """What makes feature maps of pictures of any size; it looks about as the encoder does.

        Raises ValueError for other signals than pictures, and for units that are not square.
        """
        if len(self.grid) != 2 or len(set(self.unit)) > 1:
            return super().make_maps(window, wide, relative)
        return StageMaps(self)

    @property
    def num_layers(self) -> int:
        """Stages."""
        return len(self.blocks.depths)

    @property
    def usual_layers(self) -> list[int]:
        """Stages whose features are wanted where none are named: all, for scales differ."""
        return list(range(self.num_layers))

    @property
    def pools(self) -> int:
        """How often tokens are pooled."""
        return self.num_layers - (1 if self.tuned else 2)

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels and stride of every stage's feature map."""
        ends = [sum(self.blocks.depths[: n + 1]) - 1 for n in range(self.num_layers)]
        return [
            {
                "module": f"blocks.{end}",
                "num_chs": self.width // 2 ** (self.num_layers - 1 - stage),
                "reduction": self.size[-1] // self._grid(self._pooled(stage))[-1],
            }
            for stage, end in enumerate(ends)
        ]
