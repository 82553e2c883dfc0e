"""Spatiotemporal masked autoencoders for clips (Feichtenhofer et al. 2022, arXiv:2205.09113)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from maskedae.attention import Attention, set_kernel
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.decoder import Decoder
from maskedae.masking import Masker, RandomMasker
from maskedae.patches import PatchEmbed, grid_of
from maskedae.positions import Positions, SeparablePositions
from maskedae.retargeting import Slices
from maskedae.targets import NormalizedPixels, Pixels
from maskedae.transformer import Tower
from maskedae.vit import VisionTransformer

Predicted = Literal["every_second", "first_to_last", "all"]


@dataclass(frozen=True)
class MAESTConfig:
    """ViT-B on 16 frames, with the decoder of the paper."""

    size: tuple[int, ...] = (16, 224, 224)
    """Frames, height and width of the clips; one number is both sides of 16 frames."""
    patch: tuple[int, ...] = (2, 16, 16)
    """Frames, height and width of a patch; one number is both sides of 2 frames."""
    channels: int = 3
    """Channels of the clips: 1 gray, 3 colour."""
    width: int = 768
    """Width of the encoder's tokens."""
    depth: int = 12
    """Blocks of the encoder."""
    heads: int = 12
    """Attention heads of the encoder."""
    decoder_width: int = 512
    """Width of the decoder's tokens."""
    decoder_depth: int = 4
    """Blocks of the decoder."""
    decoder_heads: int = 16
    """Attention heads of the decoder."""
    predicted_frames: Predicted = "every_second"
    """Frames to imagine: every_second, 0, 2, .., 14, as in the training of the released weights;
    first_to_last, 0, 2, .., 12, 15, as many but spread to the end, as in the repository; or all."""
    normalize_target: bool = True
    """Predict values normalised within each patch (better features) or the values themselves."""
    own_class_token: bool = True
    """Begin the decoder with a class token of its own, as in the repository; PySlowFast hands on
    the encoder's."""
    separable_decoder: bool = True
    """Positions of the decoder in time and in space add up, as in the repository; else each place
    of a clip has its own, as in PySlowFast."""
    norm_eps: float = 1e-6
    """Added to the variance in every norm."""
    attention: str = "sdpa"
    """Kernel of attention: sdpa, sdpa-flash, sdpa-cudnn, sdpa-efficient, sdpa-math, xformers or
    eager."""

    def __post_init__(self) -> None:
        for name, frames in (("size", 16), ("patch", 2)):
            value = getattr(self, name)
            sides = (frames, value, value) if isinstance(value, int) else tuple(value)
            object.__setattr__(self, name, sides)

    @property
    def shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch: (C, T, H, W)."""
        return (self.channels, *self.size)


PAPER, PIPELINE = "2205.09113", "video-classification"  # for model cards
DATA = "maskedae.datasets.videos.Videos"  # what looks at these models' signals, if no recipe says
RATIOS = (0.9, 0.95, 0.98)  # to look at, if none are asked for

# Base, large and huge are those of the paper, which cuts patches of 16 for huge, too.
MODELS = {
    "mae_st_vit_base_patch16": MAESTConfig(),
    "mae_st_vit_large_patch16": MAESTConfig(width=1024, depth=24, heads=16),
    "mae_st_vit_huge_patch16": MAESTConfig(width=1280, depth=32, heads=16),
}


def frames(config: MAESTConfig) -> tuple[int, ...]:
    """Numbers of the frames to imagine. Raises ValueError where slots would differ in how many."""
    count, patch = config.size[0], config.patch[0]
    if config.predicted_frames == "all":
        return tuple(range(count))
    if patch % 2:
        raise ValueError(f"half of patches of {patch} frames is none: predicted_frames=all fits")
    if config.predicted_frames == "every_second":
        return tuple(range(0, count, 2))
    most = count // 2 - 1
    return tuple(number * (count - 1) // max(most, 1) for number in range(most + 1))


def build(config: MAESTConfig, masker: Masker | None = None) -> MaskedAutoencoder:
    """Build the model that a config describes; nine tenths of the patches are hidden."""
    grid, chosen = grid_of(config.size, config.patch), frames(config)
    eps = config.norm_eps
    encoder = Tower(config.width, config.depth, config.heads, eps=eps)
    decoder = Tower(config.decoder_width, config.decoder_depth, config.decoder_heads, eps=eps)
    predicted = (len(chosen) // grid[0], *config.patch[1:])
    places = SeparablePositions if config.separable_decoder else Positions.learned
    target = NormalizedPixels(predicted) if config.normalize_target else Pixels(predicted)
    model = MaskedAutoencoder(
        encoder=VisionTransformer(
            PatchEmbed(config.channels, config.patch, encoder.width),
            SeparablePositions(grid, encoder.width, prefix=1),
            encoder,
        ),
        decoder=Decoder(
            encoder.width,
            places(grid, decoder.width, prefix=1),
            math.prod(predicted) * config.channels,
            decoder,
            own_class_token=config.own_class_token,
        ),
        masker=masker or RandomMasker(0.9),
        target=Slices(target, chosen, config.patch),
    )
    split_queries_keys_and_values(model)
    set_kernel(model, config.attention)
    return model


@torch.no_grad()
def split_queries_keys_and_values(model: nn.Module) -> None:
    """Draw their weights as those of three maps, which they are in the repository."""
    for part in model.modules():
        if isinstance(part, Attention):
            for weight in part.qkv.weight.chunk(3):
                nn.init.xavier_uniform_(weight)
