"""Hiera, hierarchical masked autoencoders, for clips (Ryali et al. 2023, arXiv:2306.00989)."""

from dataclasses import dataclass
from typing import Literal

from maskedae.autoencoder import MaskedAutoencoder
from maskedae.masking import Masker, RandomMasker
from maskedae.models.hiera import assemble, predicted
from maskedae.retargeting import Slices
from maskedae.targets import NormalizedPixels, Pixels


@dataclass(frozen=True)
class HieraVideoConfig:
    """Hiera-B on 16 frames, with the decoder of the paper."""

    size: tuple[int, ...] = (16, 224, 224)
    """Frames, height and width of the clips; one number is both sides of 16 frames."""
    kernel: tuple[int, ...] = (3, 7, 7)
    """Frames, height and width of what becomes a token."""
    stride: tuple[int, ...] = (2, 4, 4)
    """Frames and pixels from a token to the next; of these frames, the first is imagined."""
    channels: int = 3
    """Channels of the clips: 1 gray, 3 colour."""
    width: int = 96
    """Width of tokens in the first stage; it doubles with every further one."""
    heads: int = 1
    """Attention heads in the first stage; they double with every further one."""
    stages: tuple[int, ...] = (2, 3, 16, 3)
    """Blocks of every stage. Between two of them tokens are pooled 2 x 2, never in time; a mask
    unit is what would be one token if all were."""
    decoder_width: int = 512
    """Width of the decoder's tokens."""
    decoder_depth: int = 8
    """Blocks of the decoder."""
    decoder_heads: int = 16
    """Attention heads of the decoder: 16 in the repository, 8 in the paper; weights do not tell."""
    multi_scale: bool = True
    """Let the decoder see tokens of several stages, or of the last alone."""
    normalize_target: bool = True
    """Predict values normalised within each patch (better features) or the values themselves."""
    positions: Literal["windowed", "published"] = "windowed"
    """Codes of tokens within a frame: one part for places in mask units, and one that is stretched
    over frames of any size (arXiv:2311.05613); or a table of all, as in the released weights, which
    other sizes blur. A file of weights brings its own."""
    norm_eps: float = 1e-6
    """Added to the variance in every norm."""
    attention: str = "sdpa"
    """Kernel of attention: sdpa, sdpa-flash, sdpa-cudnn, sdpa-efficient, sdpa-math, xformers or
    eager."""

    def __post_init__(self) -> None:
        for name, frames in (("size", 16), ("kernel", 3), ("stride", 2)):
            value = getattr(self, name)
            sides = (frames, value, value) if isinstance(value, int) else tuple(value)
            object.__setattr__(self, name, sides)
        object.__setattr__(self, "stages", tuple(self.stages))

    @property
    def shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch: (C, T, H, W)."""
        return (self.channels, *self.size)


PAPER, PIPELINE = "2306.00989", "video-classification"  # for model cards
DATA = "maskedae.datasets.videos.Videos"  # what looks at these models' signals, if no recipe says
RATIOS = (0.9, 0.95, 0.98)  # to look at, if none are asked for
STEPS = (1, 2, 2)  # tokens that pooling makes one, per axis

# Those of the paper, table 4.
MODELS = {
    "hiera_base_16x224": HieraVideoConfig(),
    "hiera_base_plus_16x224": HieraVideoConfig(width=112, heads=2),
    "hiera_large_16x224": HieraVideoConfig(width=144, heads=2, stages=(2, 6, 36, 4)),
    "hiera_huge_16x224": HieraVideoConfig(width=256, heads=4, stages=(2, 6, 36, 4)),
}


def build(config: HieraVideoConfig, masker: Masker | None = None) -> MaskedAutoencoder:
    """Build the model that a config describes; nine tenths of the mask units are hidden."""
    patch = predicted(config, STEPS)
    of_one = (1, *patch[1:])
    target = NormalizedPixels(of_one) if config.normalize_target else Pixels(of_one)
    frames = tuple(range(0, config.size[0], patch[0]))
    return assemble(config, STEPS, masker or RandomMasker(0.9), Slices(target, frames, patch))
