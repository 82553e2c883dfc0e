"""Audio-MAE, masked autoencoders for sounds (Huang et al. 2022, arXiv:2207.06405)."""

import math
from dataclasses import dataclass
from typing import Literal

from maskedae.attention import set_kernel
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.decoder import Decoder
from maskedae.masking import Masker, RandomMasker
from maskedae.patches import PatchEmbed, grid_of
from maskedae.positions import FixedPositions
from maskedae.targets import NormalizedPixels, Pixels
from maskedae.transformer import Tower
from maskedae.vit import VisionTransformer
from maskedae.windowed import WindowedBlocks


@dataclass(frozen=True)
class AudioMAEConfig:
    """ViT-B on ten seconds, with the local decoder of the paper."""

    size: tuple[int, ...] = (1024, 128)
    """Frames and mel bands of the spectrograms; a frame lasts 10 ms."""
    patch: tuple[int, ...] = (16, 16)
    """Frames and mel bands of a patch."""
    stride: tuple[int, ...] | None = None
    """Frames and mel bands from a patch to the next, where they overlap: 10, 10 in the paper."""
    channels: int = 1
    """Channels of the sounds."""
    width: int = 768
    """Width of the encoder's tokens."""
    depth: int = 12
    """Blocks of the encoder."""
    heads: int = 12
    """Attention heads of the encoder."""
    decoder: Literal["local", "global"] = "local"
    """Whether patches look around in windows of 4 x 4, every second time two slots later, or
    everywhere."""
    decoder_width: int = 512
    """Width of the decoder's tokens."""
    decoder_depth: int | None = None
    """Blocks of the decoder; left out, 16 local or 8 global ones."""
    decoder_heads: int = 16
    """Attention heads of the decoder."""
    decoder_dropout: float = 0.1
    """Share that training leaves out of what local blocks know of distances, drawn once a step."""
    normalize_target: bool = True
    """Predict values normalised within each patch, or the values themselves."""
    positions: Literal["published", "corrected"] = "published"
    """Codes of patches: those of the released weights, made for a grid with frequency first, which
    number patches uniquely but call others neighbours; or those of the grid as it is. A file of
    weights brings its own."""
    norm_eps: float = 1e-6
    """Added to the variance in every norm."""
    attention: str = "sdpa"
    """Kernel of attention: sdpa, sdpa-flash, sdpa-cudnn, sdpa-efficient, sdpa-math, xformers or
    eager; the local decoder, and sounds that end early, need one that takes a bias, which
    sdpa-flash does not."""

    def __post_init__(self) -> None:
        for name in ("size", "patch", "stride"):
            value = getattr(self, name)
            if value is not None:
                pair = (value, value) if isinstance(value, int) else tuple(value)
                object.__setattr__(self, name, pair)

    @property
    def shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch: (C, T, F)."""
        return (self.channels, *self.size)


PAPER, PIPELINE = "2207.06405", "audio-classification"  # for model cards
DATA = "maskedae.datasets.sounds.Sounds"  # what looks at these models' signals, if no recipe says
RATIOS = (0.8, 0.9, 0.95)  # to look at, if none are asked for

# Those of the paper.
MODELS = {
    "audiomae_vit_small_patch16": AudioMAEConfig(width=384, heads=6),
    "audiomae_vit_base_patch16": AudioMAEConfig(),
    "audiomae_vit_large_patch16": AudioMAEConfig(width=1024, depth=24, heads=16),
}
DEPTHS = {"local": 16, "global": 8}


def build(config: AudioMAEConfig, masker: Masker | None = None) -> MaskedAutoencoder:
    """Build the model that a config describes; four fifths of the patches are hidden."""
    stride = None if config.stride == config.patch else config.stride
    grid, eps = grid_of(config.size, config.patch, stride), config.norm_eps
    # Overlapping patches were numbered rightly.
    swapped = config.positions == "published" and stride is None
    encoder = Tower(config.width, config.depth, config.heads, eps=eps)
    depth = DEPTHS[config.decoder] if config.decoder_depth is None else config.decoder_depth
    decoder = Tower(config.decoder_width, depth, config.decoder_heads, eps=eps)
    local = config.decoder == "local"
    target = NormalizedPixels if config.normalize_target else Pixels
    model = MaskedAutoencoder(
        encoder=VisionTransformer(
            PatchEmbed(config.channels, config.patch, encoder.width, stride, config.size),
            FixedPositions(grid, encoder.width, 1, swapped),
            encoder,
        ),
        decoder=Decoder(
            encoder.width,
            FixedPositions(grid, decoder.width, 1, swapped),
            math.prod(config.patch) * config.channels,
            decoder,
            blocks=WindowedBlocks(decoder, grid, 4, config.decoder_dropout) if local else None,
        ),
        masker=masker or RandomMasker(0.8),
        target=target(config.patch, stride=stride),
    )
    set_kernel(model, config.attention)
    return model
