"""Masked autoencoders for images (He et al. 2021, arXiv:2111.06377)."""

import math
from dataclasses import dataclass

from maskedae.attention import set_kernel
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.decoder import Decoder
from maskedae.masking import Masker, RandomMasker
from maskedae.patches import PatchEmbed, grid_of
from maskedae.positions import Positions
from maskedae.targets import NormalizedPixels, Pixels
from maskedae.transformer import Tower
from maskedae.vit import VisionTransformer


@dataclass(frozen=True)
class MAEConfig:
    """ViT-B/16 with the decoder of the paper."""

    size: tuple[int, ...] = (224, 224)
    """Height and width of the images, in pixels."""
    patch: tuple[int, ...] = (16, 16)
    """Height and width of a patch, in pixels."""
    channels: int = 3
    """Channels of the images: 1 gray, 3 colour, 4 colour and opacity."""
    width: int = 768
    """Width of the encoder's tokens."""
    depth: int = 12
    """Blocks of the encoder."""
    heads: int = 12
    """Attention heads of the encoder."""
    decoder_width: int = 512
    """Width of the decoder's tokens."""
    decoder_depth: int = 8
    """Blocks of the decoder."""
    decoder_heads: int = 16
    """Attention heads of the decoder."""
    normalize_target: bool = True
    """Predict values normalised within each patch (better features) or the values themselves."""
    variance_floor: float = 0.0
    """Patches that vary less than this are normalised as if they varied this much."""
    norm_eps: float = 1e-6
    """Added to the variance in every norm; transformers' default is 1e-12."""
    attention: str = "sdpa"
    """Kernel of attention: sdpa, sdpa-flash, sdpa-cudnn, sdpa-efficient, sdpa-math, xformers or
    eager."""

    def __post_init__(self) -> None:
        for name in ("size", "patch"):
            value = getattr(self, name)
            pair = (value, value) if isinstance(value, int) else tuple(value)
            object.__setattr__(self, name, pair)

    @property
    def shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch: (C, H, W)."""
        return (self.channels, *self.size)


PAPER, PIPELINE = "2111.06377", "image-classification"  # for model cards
DATA = "maskedae.datasets.images.Images"  # what looks at these models' signals, if no recipe says
RATIOS = (0.75, 0.85, 0.95)  # to look at, if none are asked for

# Width, depth and heads of encoder and decoder. Base, large and huge are table 8 and the released
# code; tiny and small are ours, with decoders that keep the paper's share of the work.
MODELS = {
    "mae_vit_tiny_patch16": MAEConfig(
        width=192, heads=3, decoder_width=128, decoder_depth=4, decoder_heads=4
    ),
    "mae_vit_small_patch16": MAEConfig(
        width=384, heads=6, decoder_width=256, decoder_depth=4, decoder_heads=8
    ),
    "mae_vit_base_patch16": MAEConfig(),
    "mae_vit_large_patch16": MAEConfig(width=1024, depth=24, heads=16),
    "mae_vit_huge_patch14": MAEConfig(patch=(14, 14), width=1280, depth=32, heads=16),
}


def build(config: MAEConfig, masker: Masker | None = None) -> MaskedAutoencoder:
    """Build the model that a config describes; three quarters of the patches are hidden."""
    grid = grid_of(config.size, config.patch)
    eps = config.norm_eps
    encoder = Tower(config.width, config.depth, config.heads, eps=eps)
    decoder = Tower(config.decoder_width, config.decoder_depth, config.decoder_heads, eps=eps)
    target = NormalizedPixels(config.patch, floor=config.variance_floor)
    model = MaskedAutoencoder(
        encoder=VisionTransformer(
            PatchEmbed(config.channels, config.patch, encoder.width),
            Positions.sincos(grid, encoder.width, prefix=1),
            encoder,
        ),
        decoder=Decoder(
            encoder.width,
            Positions.sincos(grid, decoder.width, prefix=1),
            math.prod(config.patch) * config.channels,
            decoder,
        ),
        masker=masker or RandomMasker(),
        target=target if config.normalize_target else Pixels(config.patch),
    )
    set_kernel(model, config.attention)
    return model
