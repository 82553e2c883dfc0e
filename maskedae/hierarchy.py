"""The hierarchical encoder: mask units of tokens that become fewer and wider on the way."""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from maskedae.encoder import Encoder, Intermediates
from maskedae.head import Head
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
        last: int | None = None,
    ) -> list[Tensor]:
        """Tokens at the end of every stage, or up to the `last`: (B, V, L, D) each."""
        paths = None if noise is None else noise[:, : 2 * self.depth]
        share = math.prod(self.embed.steps)
        shares = [share if 0 < stage <= self.pools else 1 for stage in range(self.num_layers)]
        stop = None if last is None else last + 1
        return self.blocks(self.tokens(signal, visible), shares[:stop], paths)

    def latent(
        self, signal: Tensor, visible: Tensor | None = None, noise: Tensor | None = None
    ) -> list[Tensor]:
        """Tokens at the end of every stage."""
        return self.stages(signal, visible, noise)

    def forward_features(
        self, signal: Tensor, visible: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Normalised tokens of the last stage: (B, C, *size), (B, V) -> (B, .., D).

        Those of all units stand in the order of the grid, those of visible ones in that of
        `patches`. `noise` (B, noise_size) says which paths are dropped; else chance does.
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

        As pre-trained, the last two stages have one resolution; with `pools` = 3, as in
        classifiers, there are four scales for a feature pyramid.
        """
        chosen = sorted(set(self.chosen(indices)))
        ends = self.stages(signal, last=chosen[-1] if stop_early else None)
        kept = [self._in_order(ends[stage], min(stage, self.pools)) for stage in chosen]
        if norm:
            kept = [nn.functional.layer_norm(x, x.shape[-1:], eps=self.eps) for x in kept]
        maps = kept
        if output_fmt == "NCHW":
            grids = [self._grid(min(stage, self.pools)) for stage in chosen]
            maps = [
                x.transpose(1, 2).reshape(len(x), -1, *grid)
                for x, grid in zip(kept, grids, strict=True)
            ]
        if return_prefix_tokens:
            pairs = [(m, x[:, :0]) for m, x in zip(maps, kept, strict=True)]
            return pairs if intermediates_only else (self._final(ends), pairs)  # type: ignore[return-value]
        return maps if intermediates_only else (self._final(ends), maps)

    def _final(self, ends: list[Tensor]) -> Tensor:
        return self._in_order(self.norm(ends[-1]), self.pools)

    def attended(self, maps: list[Tensor], layer: int) -> Tensor:
        """Where every head of the last block of a stage looks: (B, heads, *grid)."""
        depths = self.blocks.depths
        # The first block of a stage looks at tokens that are not pooled yet.
        pools = min(layer - (layer > 0 and depths[layer] == 1), self.pools)
        number = sum(depths[: layer + 1]) - 1
        block: Any = self.blocks[number]
        if block.attn.within:
            raise ValueError(f"stage {layer} attends within mask units; take another of --layers")
        looks = maps[number].mean(2).transpose(1, 2).unsqueeze(1)
        looks = self._in_order(looks, pools).transpose(1, 2)
        return looks.reshape(*looks.shape[:2], *self._grid(pools))

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
                "reduction": self.size[-1] // self._grid(min(stage, self.pools))[-1],
            }
            for stage, end in enumerate(ends)
        ]
