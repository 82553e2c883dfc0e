"""The encoder: what is visible, as tokens. It never masks unless it is given what is visible."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from maskedae.head import Head, pool_tokens
from maskedae.head import Pool as Pool
from maskedae.maps import Maps
from maskedae.masking import Mask, Masker
from maskedae.patches import PatchEmbed
from maskedae.positions import Places
from maskedae.stages import Stages
from maskedae.transformer import Blocks, set_checkpointing
from maskedae.units import UnitEmbed

POOLS: dict[str, Pool] = {"mean": "mean", "class": "class", "avg": "mean", "token": "class"}
Latent = Tensor | list[Tensor]  # tokens, or those at the end of every stage
Intermediates = list[Tensor] | list[tuple[Tensor, Tensor]] | tuple[Tensor, list[Tensor]]


class Encoder(nn.Module, ABC):
    """What all encoders have in common: visible mask units in, tokens and features of layers out.

    Tokens that stand for no patch come first and are counted by `prefix`. Names and conventions of
    features are those of timm, so that what works with its models works with these.
    """

    layer: ClassVar[str]  # what a layer is called whose output is a feature
    takes_ragged: ClassVar[bool] = True  # whether signals may end early
    embed: PatchEmbed | UnitEmbed
    positions: Places
    blocks: Blocks | Stages
    norm: nn.Module
    head: Head

    def __init__(self, width: int, prefix: int, eps: float) -> None:
        super().__init__()
        self.width, self.prefix, self.eps = width, prefix, eps
        self.head_eps = eps
        self.recipe: dict[str, Any] | None = None  # rebuilds the model that this is a part of
        self.ragged = False  # whether signals do end early, see `set_ragged`
        self.tuned = False  # whether it works as in a classifier, where that is not as pre-trained

    @property
    @abstractmethod
    def grid(self) -> tuple[int, ...]:
        """Mask units per axis."""

    @property
    def grids(self) -> list[tuple[int, ...]]:
        """The grids of all signals that make up a sample."""
        return [self.grid]

    @property
    @abstractmethod
    def unit(self) -> tuple[int, ...]:
        """Size of a mask unit, in values of the signal."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, ...]:
        """Values along every axis of the signal."""

    @property
    def shape(self) -> Any:
        """What it takes, without the batch: (C, *size), or a pair of such."""
        return (self.embed.weight.shape[1], *self.size)

    @abstractmethod
    def patches(self, mask: Mask) -> Mask:
        """The mask of what a decoder predicts one by one: the patches of visible, hidden units."""

    @abstractmethod
    def whole(self, patches: Tensor) -> Tensor:
        """Put predicted patches together again: (B, N, P) -> (B, C, *size)."""

    @abstractmethod
    def hide(self, signal: Tensor, mask: Mask) -> Tensor:
        """Put NaN where no visible unit covers the signal: (B, C, *size) -> (B, C, *size)."""

    def check(self, signal: Tensor) -> None:
        """Raise ValueError for signals (B, C, *size) that this encoder was not built for."""
        if signal.shape[1:] != self.shape:
            raise ValueError(
                f"a signal of {tuple(signal.shape[1:])} came to an encoder built for {self.shape}; "
                f"create_model and load take size=..., channels=... to build one that fits"
            )
        if not signal.is_floating_point():
            raise ValueError(f"an encoder takes normalised values, not {signal.dtype}")

    def present(self, signal: Tensor) -> Tensor | None:
        """Which patches are whole: (B, C, *size) -> (B, N); None where signals never end early."""
        return None

    def there(self, signal: Any) -> tuple[Tensor, Tensor] | None:
        """Which samples have sound, and which pictures: 2 x (B,); None where none lacks its own."""
        return None

    def share_hidden(self, mask: Mask, signal: Tensor) -> float:
        """The share of the units of signals that a mask hides."""
        return mask.hidden.shape[1] / (mask.hidden.shape[1] + mask.visible.shape[1])

    def settle(self, mask: Mask, signal: Tensor) -> Mask:
        """A mask that hides the same share of every sample, whichever end early."""
        return mask

    def choose(self, masker: Masker, signal: Tensor, noise: Tensor) -> Any:
        """What a masker leaves visible of signals, by noise (B, units of all grids): (B, V)."""
        return self.settle(masker(len(signal), self.grid, noise=noise), signal).visible

    @abstractmethod
    def latent(
        self, signal: Tensor, visible: Tensor | None = None, noise: Tensor | None = None
    ) -> Latent:
        """What a decoder is given; arguments as of `forward_features`."""

    @abstractmethod
    def forward_features(
        self, signal: Tensor, visible: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Normalised tokens with the prefix: (B, C, *size), (B, V) -> (B, prefix + .., D).

        `noise` (B, noise_size) says which paths are dropped, where any are; else chance does. Where
        a signal has ended, tokens are NaN.
        """

    def forward(self, signal: Tensor, visible: Tensor | None = None) -> Tensor:
        """Normalised tokens of patches: (B, C, *size), (B, V) -> (B, .., D); without V, of all."""
        return self.forward_features(signal, visible)[:, self.prefix :]

    @abstractmethod
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
        """Outputs of chosen layers, as feature maps (B, D, *grid) or as tokens (B, N, D).

        `indices` names layers, from the end if negative; a number stands for the last that many,
        None for all. The options and the result are those of timm's method of that name.
        """

    def told(
        self,
        kept: list[Tensor],
        grids: list[tuple[int, ...]],
        return_prefix_tokens: bool,
        output_fmt: Literal["NCHW", "NLC"],
    ) -> list[Tensor] | list[tuple[Tensor, Tensor]]:
        """Outputs (B, prefix + N, D) of layers as `forward_intermediates` is asked for them."""
        maps = [x[:, self.prefix :] for x in kept]
        if output_fmt == "NCHW":
            pairs = zip(maps, grids, strict=True)
            maps = [x.transpose(1, 2).reshape(len(x), -1, *grid) for x, grid in pairs]
        if not return_prefix_tokens:
            return maps
        return [(x, y[:, : self.prefix]) for x, y in zip(maps, kept, strict=True)]

    @abstractmethod
    def attended(self, maps: list[Tensor], layer: int) -> Tensor:
        """Where every head looks at the end of a layer: (B, heads, *grid).

        `maps` are those of all attentions, see `record_maps`. From the class token or, without one,
        from all patches on average. Raises ValueError where heads look about within windows only.
        """

    @abstractmethod
    def last_norm(self) -> nn.Module:
        """A fresh norm of the tokens."""

    def forward_head(
        self,
        features: Tensor,
        pre_logits: bool = False,
        noise: Tensor | None = None,
        visible: Any = None,
        there: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """What the head makes of normalised tokens: (B, prefix + N, D) -> (B, outputs) or (B, D).

        Without `reset_classifier`, the mean of the patches. `noise` is that of the tokens, as is
        what was `visible`, and what was `there` of their signal.
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
        device = next(self.parameters()).device
        last = self.head.norm if self.head.replaces_norm else self.norm
        head = self.make_head(num_classes, pool, batch_norm, dropout)
        self.head, self.tuned = head.to(device), self.tuned or bool(num_classes)
        if keep_norm and head.replaces_norm and last.state_dict():  # a fresh one equals one without
            head.norm.load_state_dict(last.state_dict())
        if self.head.replaces_norm:
            self.norm = nn.Identity()
        elif isinstance(self.norm, nn.Identity):
            self.norm = self.last_norm().to(device)

    def make_head(self, outputs: int, pool: Pool, batch_norm: bool, dropout: float) -> Head:
        """A fresh head."""
        eps = self.head_eps
        return Head(self.width, self.prefix, outputs, pool, batch_norm, eps, dropout)

    def get_classifier(self) -> nn.Module:
        """The linear map from features to logits."""
        return self.head.linear

    def pool(self, features: Tensor, how: Pool = "mean") -> Tensor:
        """One vector for each sample: (B, prefix + V, D) -> (B, D)."""
        return pool_tokens(features, self.prefix, how, self.ragged)

    def chosen(self, indices: int | list[int] | tuple[int, ...] | None) -> list[int]:
        """Numbers of the layers that `indices` names. Raises ValueError where there are none."""
        count = self.num_layers
        if isinstance(indices, int) and not 0 < indices <= count:
            raise ValueError(f"the last {indices} of {count} {self.layer}s: 1 to {count} would fit")
        if indices is None or isinstance(indices, int):
            indices = list(range(count - (count if indices is None else indices), count))
        if wrong := [i for i in indices if not -count <= i < count]:
            name = self.layer
            raise ValueError(f"there is no {name} {wrong[0]}: the encoder has 0 to {count - 1}")
        return [i % count for i in indices]

    def make_maps(self, window: int, wide: list[int] | None, relative: bool) -> Maps:
        """What makes feature maps of pictures of any size; the encoder then is its part.

        Raises ValueError where signals are no pictures.
        """
        raise ValueError(
            f"things are found on pictures with square patches, not in signals of {self.shape} "
            f"with patches of {self.unit}"
        )

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """Layers that have features."""

    @property
    def usual_layers(self) -> list[int]:
        """Layers whose features are wanted where none are named: the last."""
        return [self.num_layers - 1]

    @property
    def depth(self) -> int:
        """Blocks of the encoder."""
        return len(self.blocks)

    @property
    def noise_size(self) -> int:
        """Random numbers that tell which paths of one sample are dropped, and what of its head."""
        return 2 * self.depth + (self.width if self.head.dropout else 0)

    @property
    def drops(self) -> bool:
        """Whether paths are dropped in training."""
        return any(getattr(module, "drop_path", 0.0) > 0 for module in self.modules())

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
