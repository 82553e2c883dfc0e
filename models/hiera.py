"""Hiera, hierarchical masked autoencoders, for images (Ryali et al. 2023, arXiv:2306.00989)."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from maskedae.attention import set_kernel
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.decoder import Decoder
from maskedae.fusion import Fusion
from maskedae.hierarchy import Hierarchy
from maskedae.masking import Masker, RandomMasker
from maskedae.positions import Places, Positions, SeparablePositions, WindowPositions
from maskedae.retargeting import ChannelsFirst
from maskedae.stages import Stages
from maskedae.targets import NormalizedPixels, Pixels, Target
from maskedae.transformer import Tower
from maskedae.units import UnitEmbed, units_of


@dataclass(frozen=True)
class HieraConfig:
    """Hiera-B with the decoder of the paper."""

    size: tuple[int, ...] = (224, 224)
    """Height and width of the images, in pixels."""
    kernel: tuple[int, ...] = (7, 7)
    """Height and width of what becomes a token, in pixels."""
    stride: tuple[int, ...] = (4, 4)
    """Pixels from a token to the next."""
    channels: int = 3
    """Channels of the images: 1 gray, 3 colour, 4 colour and opacity."""
    width: int = 96
    """Width of tokens in the first stage; it doubles with every further one."""
    heads: int = 1
    """Attention heads in the first stage; they double with every further one."""
    stages: tuple[int, ...] = (2, 3, 16, 3)
    """Blocks of every stage. Between two of them tokens are pooled 2 x 2; a mask unit is what would
    be one token if all were."""
    decoder_width: int = 512
    """Width of the decoder's tokens."""
    decoder_depth: int = 8
    """Blocks of the decoder."""
    decoder_heads: int = 16
    """Attention heads of the decoder."""
    multi_scale: bool = True
    """Let the decoder see tokens of several stages, or of the last alone."""
    normalize_target: bool = True
    """Predict values normalised within each patch (better features) or the values themselves."""
    positions: Literal["windowed", "published"] = "windowed"
    """Codes of tokens: one part for places in mask units, and one that is stretched over images of
    any size (arXiv:2311.05613); or a table of all tokens, as in the released weights, which other
    sizes blur. A file of weights brings its own."""
    norm_eps: float = 1e-6
    """Added to the variance in every norm."""
    attention: str = "sdpa"
    """Kernel of attention: sdpa, sdpa-flash, sdpa-cudnn, sdpa-efficient, sdpa-math, xformers or
    eager."""

    def __post_init__(self) -> None:
        for name in ("size", "kernel", "stride"):
            value = getattr(self, name)
            pair = (value, value) if isinstance(value, int) else tuple(value)
            object.__setattr__(self, name, pair)
        object.__setattr__(self, "stages", tuple(self.stages))

    @property
    def shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch: (C, H, W)."""
        return (self.channels, *self.size)


PAPER, PIPELINE = "2306.00989", "image-classification"  # for model cards
DATA = "maskedae.datasets.images.Images"  # what looks at these models' signals, if no recipe says
RATIOS = (0.6, 0.75, 0.9)  # to look at, if none are asked for
STEPS = (2, 2)  # tokens that pooling makes one, per axis
KINDS = ("windowed", "published")  # of positions

# Those of the paper, table 2.
MODELS = {
    "hiera_tiny_224": HieraConfig(stages=(1, 2, 7, 2)),
    "hiera_small_224": HieraConfig(stages=(1, 2, 11, 2)),
    "hiera_base_224": HieraConfig(),
    "hiera_base_plus_224": HieraConfig(width=112, heads=2),
    "hiera_large_224": HieraConfig(width=144, heads=2, stages=(2, 6, 36, 4)),
    "hiera_huge_224": HieraConfig(width=256, heads=4, stages=(2, 6, 36, 4)),
}


def build(config: HieraConfig, masker: Masker | None = None) -> MaskedAutoencoder:
    """Build the model that a config describes; three fifths of the mask units are hidden."""
    patch = predicted(config, STEPS)
    target = NormalizedPixels(patch) if config.normalize_target else Pixels(patch)
    return assemble(config, STEPS, masker or RandomMasker(0.6), ChannelsFirst(target))


def predicted(config: Any, steps: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of the patches that are predicted: what is pooled to one token in pre-training.

    Raises ValueError where settings are for signals of other axes, or not above zero.
    """
    for name in ("size", "kernel", "stride"):
        sides = getattr(config, name)
        if len(sides) != len(steps):
            kind = "images" if len(steps) == 2 else "clips"
            raise ValueError(
                f"a {name} of {sides} has {len(sides)} sides, and this model takes {kind}: "
                f"{len(steps)} would fit, as in a recipe of {kind}"
            )
        if min(sides) < 1:
            raise ValueError(f"a {name} of {sides}: sides of 1 or more would fit")
    if len(config.stages) < 2 or min(config.stages) < 1:
        raise ValueError(f"stages of {config.stages} blocks: two or more, of a block or more, fit")
    times = len(config.stages) - 2
    return tuple(s * step**times for s, step in zip(config.stride, steps, strict=True))


def assemble(
    config: Any, steps: tuple[int, ...], masker: Masker, target: Target
) -> MaskedAutoencoder:
    """Wire encoder and decoder for signals of any number of axes."""
    times, eps, patch = len(config.stages) - 1, config.norm_eps, predicted(config, steps)
    unit = tuple(p * step for p, step in zip(patch, steps, strict=True))
    units = units_of(config.size, unit)
    stem = config.kernel, config.stride, config.width, units, steps, times
    tokens = tuple(n // s for n, s in zip(config.size, config.stride, strict=True))
    sides = tuple(step**times for step in steps)
    blocks = Stages(config.width, config.heads, config.stages, eps)
    tower = Tower(config.decoder_width, config.decoder_depth, config.decoder_heads, eps=eps)
    widths = [config.width * 2**stage for stage in range(len(config.stages))]
    shown = 1 if len(steps) == 3 else patch[0]  # of several frames one
    model = MaskedAutoencoder(
        encoder=Hierarchy(
            UnitEmbed(config.channels, *stem), places_of(config, tokens, sides), blocks
        ),
        decoder=Decoder(
            blocks.width,
            Positions.learned(units_of(config.size, patch), tower.width),
            math.prod((shown, *patch[1:])) * config.channels,
            tower,
            fusion=Fusion(widths, steps, eps, config.multi_scale),
        ),
        masker=masker,
        target=target,
    )
    nn.init.trunc_normal_(model.decoder.mask_token, std=0.02)
    tables = model.encoder.positions.named_parameters()
    model.undecayed = tuple(f"encoder.positions.{name}" for name, _ in tables)
    set_kernel(model, config.attention)
    return model


def places_of(config: Any, tokens: tuple[int, ...], sides: tuple[int, ...]) -> Places:
    """Codes of the encoder's tokens: units of `sides` tokens tile a grid of `tokens`."""
    if config.positions not in KINDS:
        raise ValueError(f"no positions are called {config.positions}; {' and '.join(KINDS)} fit")
    if config.positions == "windowed":
        return WindowPositions(tokens, sides, config.width)
    if len(tokens) == 3:
        return SeparablePositions(tokens, config.width)
    return Positions.learned(tokens, config.width)
