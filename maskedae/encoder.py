"""The encoder: what is visible, as tokens. It never masks unless it is given what is visible."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.head import Head, pool_tokens
from maskedae.head import Pool as Pool
from maskedae.masking import Mask
from maskedae.patches import PatchEmbed, unpatchify
from maskedae.positions import Places
from maskedae.ragged import blank, shut_out, spare, whole_patches
from maskedae.transformer import Blocks, Tower, init_linear, set_checkpointing

POOLS: dict[str, Pool] = {"mean": "mean", "class": "class", "avg": "mean", "token": "class"}


class Encoder(nn.Module):
    """A vision transformer over the visible patches (arXiv:2111.06377, section 3).

    Tokens that stand for no patch come first and are counted by `prefix`. Names and conventions of
    features are those of timm, so that what works with its models works with this one.
    """

    def __init__(self, embed: PatchEmbed, positions: Places, tower: Tower) -> None:
        super().__init__()
        self.embed, self.positions = embed, positions
        self.width, self.prefix = tower.width, positions.prefix
        token = torch.empty(1, self.prefix, tower.width).normal_(std=0.02)
        self.class_token = nn.Parameter(token) if self.prefix else None
        self.blocks = Blocks(tower)
        self.norm: nn.Module = nn.LayerNorm(tower.width, eps=tower.eps)
        self.head = Head(tower.width, self.prefix)
        self.eps = self.head_eps = tower.eps
        self.recipe: dict[str, Any] | None = None  # rebuilds the model that this is a part of
        self.ragged = False  # whether signals may end early, see `set_ragged`
        init_linear(self.blocks)

    @property
    def grid(self) -> tuple[int, ...]:
        """Mask units per axis."""
        return self.positions.grid

    @property
    def unit(self) -> tuple[int, ...]:
        """Size of a mask unit, in values of the signal: here, a patch."""
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

    def tokens(self, signal: Tensor, visible: Tensor | None = None) -> Tensor:
        """What enters the first block: (B, C, *size), (B, V) -> (B, prefix + V, D)."""
        if signal.shape[1:] != (self.embed.weight.shape[1], *self.size):
            raise ValueError(
                f"a signal of {tuple(signal.shape[1:])} came to an encoder built for "
                f"{(self.embed.weight.shape[1], *self.size)}; create_model and load take size=..., "
                f"channels=... to build one that fits"
            )
        if not signal.is_floating_point():
            raise ValueError(f"an encoder takes normalised values, not {signal.dtype}")
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
            return mask.hidden.shape[1] / (mask.hidden.shape[1] + mask.visible.shape[1])
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

    def forward(self, signal: Tensor, visible: Tensor | None = None) -> Tensor:
        """Normalised tokens of patches: (B, C, *size), (B, V) -> (B, V, D); without V, all N."""
        return self.forward_features(signal, visible)[:, self.prefix :]

    def forward_head(
        self, features: Tensor, pre_logits: bool = False, noise: Tensor | None = None
    ) -> Tensor:
        """What the head makes of normalised tokens: (B, prefix + N, D) -> (B, outputs) or (B, D).

        Without `reset_classifier`, the mean of the patches. `noise` is that of the tokens.
        """
        dropped = None if noise is None or not self.head.dropout else noise[:, 2 * self.depth :]
        return self.head(features, pre_logits, dropped, self.ragged)

    def reset_classifier(
        self,
        num_classes: int,
        global_pool: str | None = None,
        batch_norm: bool = False,
        dropout: float = 0.0,
        keep_norm: bool = False,
    ) -> None:
        """Replace the head by a fresh one, pooling by "mean" or "class" ("avg", "token" in timm).

        The norm of the tokens goes where the head has its own, see `Head`, which starts from that
        norm with `keep_norm`. Without classes, only the linear map of the head goes.
        """
        pool = self.head.pool if global_pool is None else POOLS.get(global_pool)
        if pool is None:
            raise ValueError(f"no pooling is called {global_pool}; mean and class would fit")
        if not num_classes and pool == self.head.pool:
            self.head.linear = nn.Identity()
            return
        if pool == "class" and not self.prefix:
            raise ValueError("this encoder has no class token; pool by mean")
        device, eps = self.embed.weight.device, self.head_eps
        last = self.head.norm if self.head.replaces_norm else self.norm
        head = Head(self.width, self.prefix, num_classes, pool, batch_norm, eps, dropout)
        self.head = head.to(device)
        if keep_norm and head.replaces_norm:
            head.norm.load_state_dict(last.state_dict())
        if self.head.replaces_norm:
            self.norm = nn.Identity()
        elif isinstance(self.norm, nn.Identity):
            self.norm = nn.LayerNorm(self.width, eps=self.eps).to(device)

    def get_classifier(self) -> nn.Module:
        """The linear map from features to logits."""
        return self.head.linear

    def pool(self, features: Tensor, how: Pool = "mean") -> Tensor:
        """One vector for each sample: (B, prefix + V, D) -> (B, D)."""
        return pool_tokens(features, self.prefix, how, self.ragged)

    def forward_intermediates(
        self,
        signal: Tensor,
        indices: int | list[int] | None = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW", "NLC"] = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | list[tuple[Tensor, Tensor]] | tuple[Tensor, list[Tensor]]:
        """Outputs of chosen blocks, as feature maps (B, D, *grid) or as tokens (B, N, D).

        `indices` names blocks, from the end if negative; a number stands for the last that many,
        None for all. The options and the result are those of timm's method of that name.
        """
        chosen = set(self.chosen(indices))
        x, present = self.tokens(signal), self._present(signal)
        kept: list[Any] = []
        keeps, bias = self.blocks.keeps(x), shut_out(x, present)
        for number in range(max(chosen) + 1 if stop_early else self.depth):
            x = self.blocks.step(number, x, keeps, bias=bias)
            if number in chosen:
                kept.append(blank(self.norm(x) if norm else x, present))
        maps = [y[:, self.prefix :] for y in kept]
        if output_fmt == "NCHW":
            maps = [y.transpose(1, 2).unflatten(2, self.grid) for y in maps]
        if return_prefix_tokens:
            pairs = [(m, y[:, : self.prefix]) for m, y in zip(maps, kept, strict=True)]
            return pairs if intermediates_only else (blank(self.norm(x), present), pairs)  # type: ignore[return-value]
        return maps if intermediates_only else (blank(self.norm(x), present), maps)

    def chosen(self, indices: int | list[int] | tuple[int, ...] | None) -> list[int]:
        """Numbers of the blocks that `indices` names. Raises ValueError where there are none."""
        depth = self.depth
        if indices is None or isinstance(indices, int):
            indices = list(range(depth - (depth if indices is None else indices), depth))
        if wrong := [i for i in indices if not -depth <= i < depth]:
            raise ValueError(f"there is no block {wrong[0]}: the encoder has 0 to {depth - 1}")
        return [i % depth for i in indices]

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
    def depth(self) -> int:
        """Blocks of the encoder."""
        return len(self.blocks)

    @property
    def noise_size(self) -> int:
        """Random numbers that tell which paths of one sample are dropped, and what of its head."""
        return 2 * self.depth + (self.width if self.head.dropout else 0)

    @property
    def num_features(self) -> int:
        """Width of the features."""
        return self.width

    @property
    def head_hidden_size(self) -> int:
        """Width of what enters the linear map of the head."""
        return self.width

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens that stand for no patch."""
        return self.prefix

    @property
    def num_classes(self) -> int:
        """Outputs of the head; 0 without one."""
        linear = self.head.linear
        return linear.out_features if isinstance(linear, nn.Linear) else 0

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels and stride of every block's feature map."""
        reduction = max(self.unit)
        return [
            {"module": f"blocks.{i}", "num_chs": self.width, "reduction": reduction}
            for i in range(len(self.blocks))
        ]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters belong to which layer: the stem, then every block; the rest is last."""
        owner = r"^(?:encoder\.)?"
        return {
            "stem": owner + r"(?:class_token|positions|embed)",
            "blocks": owner + r"blocks" if coarse else owner + r"blocks\.(\d+)",
        }

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not to be decayed in fine-tuning."""
        tables = (f"positions.{name}" for name, _ in self.positions.named_parameters())
        return {"class_token", *tables}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute activations again in the backward pass instead of keeping them, or not."""
        set_checkpointing(self, enable)
