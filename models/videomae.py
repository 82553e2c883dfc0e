"""VideoMAE, masked autoencoders for clips (Tong et al. 2022, arXiv:2203.12602)."""

import math
from dataclasses import dataclass

from torch import nn

from maskedae.attention import set_kernel
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.colours import Colours
from maskedae.decoder import Decoder
from maskedae.masking import Masker
from maskedae.patches import PatchEmbed, grid_of
from maskedae.positions import Positions
from maskedae.retargeting import Rescaled
from maskedae.targets import NormalizedChannels, Pixels
from maskedae.transformer import Tower
from maskedae.tubes import TubeMasker
from maskedae.vit import VisionTransformer


@dataclass(frozen=True)
class VideoMAEConfig:
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
    decoder_width: int = 384
    """Width of the decoder's tokens."""
    decoder_depth: int = 4
    """Blocks of the decoder."""
    decoder_heads: int = 6
    """Attention heads of the decoder."""
    normalize_target: bool = True
    """Predict values normalised within each patch and channel, or values between 0 and 1."""
    mean: tuple[float, ...] = ()
    """What the data take off each channel; targets undo it. Left out, it is as for ImageNet."""
    std: tuple[float, ...] = ()
    """What the data divide each channel by; targets undo it. Left out, it is as for ImageNet."""
    norm_eps: float = 1e-6
    """Added to the variance in every norm; transformers' default is 1e-12."""
    last_norm_eps: float = 1e-6
    """The same in the norms before the heads of decoder and classifier; 1e-5 in transformers."""
    attention: str = "sdpa"
    """Kernel of attention: sdpa, sdpa-flash, sdpa-cudnn, sdpa-efficient, sdpa-math, xformers or
    eager."""

    def __post_init__(self) -> None:
        for name, frames in (("size", 16), ("patch", 2)):
            value = getattr(self, name)
            sides = (frames, value, value) if isinstance(value, int) else tuple(value)
            object.__setattr__(self, name, sides)
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch: (C, T, H, W)."""
        return (self.channels, *self.size)


PAPER, PIPELINE = "2203.12602", "video-classification"  # for model cards
DATA = "maskedae.datasets.videos.Videos"  # what looks at these models' signals, if no recipe says
RATIOS = (0.9, 0.95, 0.98)  # to look at, if none are asked for

# Those of the paper; the depths of decoders are those of its scripts.
MODELS = {
    "videomae_vit_small_patch16": VideoMAEConfig(
        width=384, heads=6, decoder_width=192, decoder_heads=3
    ),
    "videomae_vit_base_patch16": VideoMAEConfig(),
    "videomae_vit_large_patch16": VideoMAEConfig(
        width=1024, depth=24, heads=16, decoder_width=512, decoder_depth=12, decoder_heads=8
    ),
    "videomae_vit_huge_patch16": VideoMAEConfig(
        width=1280, depth=32, heads=16, decoder_width=640, decoder_depth=12, decoder_heads=8
    ),
}


def build(config: VideoMAEConfig, masker: Masker | None = None) -> MaskedAutoencoder:
    """Build the model that a config describes; tubes hide nine tenths of the patches."""
    grid = grid_of(config.size, config.patch)
    eps = config.norm_eps
    encoder = Tower(config.width, config.depth, config.heads, eps=eps)
    decoder = Tower(config.decoder_width, config.decoder_depth, config.decoder_heads, eps=eps)
    normalized, plain = NormalizedChannels(config.patch), Pixels(config.patch)
    mean, std = map(tuple, Colours(config.mean, config.std).of(config.channels))
    model = MaskedAutoencoder(
        encoder=VisionTransformer(
            PatchEmbed(config.channels, config.patch, encoder.width),
            Positions.counted(grid, encoder.width),
            encoder,
        ),
        decoder=Decoder(
            encoder.width,
            Positions.counted(grid, decoder.width),
            math.prod(config.patch) * config.channels,
            decoder,
            embed_bias=False,
        ),
        masker=masker or TubeMasker(0.9),
        target=Rescaled(normalized if config.normalize_target else plain, scale=std, shift=mean),
    )
    model.encoder.head_eps = model.decoder.norm.eps = config.last_norm_eps
    model.undecayed = ("decoder.mask_token",)
    initialise(model)
    set_kernel(model, config.attention)
    return model


def initialise(model: MaskedAutoencoder) -> None:
    """Draw anew what does not begin as in image MAEs: PyTorch's own draws, and a short normal."""
    weight = model.encoder.embed.weight
    limit = weight[0].numel() ** -0.5
    nn.init.uniform_(weight, -limit, limit)
    model.decoder.embed.reset_parameters()
    nn.init.trunc_normal_(model.decoder.mask_token, std=0.02, a=-0.02, b=0.02)
