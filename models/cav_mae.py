"""CAV-MAE, contrastive audio-visual masked autoencoders (Gong et al. 2023, arXiv:2210.07839)."""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from einops import rearrange

from maskedae.attention import set_kernel
from maskedae.audio_video import AudioVideoEncoder
from maskedae.audio_video_autoencoder import AudioVideoAutoencoder
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.codes import sincos
from maskedae.contrast import Contrast
from maskedae.decoder import Decoder
from maskedae.joint import JointBlocks
from maskedae.joint_decoder import JointDecoder
from maskedae.layouts import State
from maskedae.learner import Learner
from maskedae.masking import Masker, RandomMasker
from maskedae.models.layouts.cav_mae_starts import inherit as inherit
from maskedae.models.layouts.mavil_starts import rank as rank
from maskedae.of_both import OfBoth, is_part
from maskedae.of_both import fitting as fitting
from maskedae.pairs import PairMasker
from maskedae.patches import PatchEmbed, grid_of
from maskedae.positions import FixedPositions
from maskedae.targets import NormalizedPixels, Pixels, Target
from maskedae.transformer import Tower
from maskedae.vit import VisionTransformer


@dataclass(frozen=True)
class CAVMAEConfig(OfBoth):
    """ViT-B on ten seconds of sound and one frame of them, which is a clip of one."""

    audio_size: tuple[int, ...] = (1024, 128)
    """Frames and mel bands of the spectrograms; a frame lasts 10 ms."""
    audio_patch: tuple[int, ...] = (16, 16)
    """Frames and mel bands of a patch."""
    video_size: tuple[int, ...] = (1, 224, 224)
    """Frames, height and width of the clips."""
    video_patch: tuple[int, ...] = (1, 16, 16)
    """Frames, height and width of a patch."""
    channels: int = 3
    """Channels of the clips: 1 gray, 3 colour."""
    width: int = 768
    """Width of the encoder's tokens."""
    depth: int = 11
    """Blocks of sound by itself, and as many of pictures."""
    shared_depth: int = 1
    """Blocks after those, through which both go together, and each by itself to be compared."""
    heads: int = 12
    """Attention heads of the encoder."""
    decoder_width: int = 512
    """Width of the decoder's tokens."""
    decoder_depth: int = 8
    """Blocks of the decoder, which sees all patches of both."""
    decoder_heads: int = 16
    """Attention heads of the decoder."""
    normalize_target: bool = True
    """Predict values normalised within each patch, or the values themselves."""
    inter_weight: float = 0.01
    """What telling which sound belongs to a picture counts; 0 leaves it out."""
    inter_temperature: float = 0.05
    """Its temperature."""
    modality: Literal["av", "a", "v"] = "av"
    """Sound and pictures; or one of them: an ordinary masked autoencoder of sounds or clips."""
    norm_eps: float = 1e-5
    """Added to the variance in every norm."""
    attention: str = "sdpa"
    """Kernel of attention: sdpa, sdpa-flash, sdpa-cudnn, sdpa-efficient, sdpa-math, xformers or
    eager; where a sample may lack sound or pictures, one that takes a bias, which sdpa-flash does
    not."""


PAPER, PIPELINE = "2210.07839", "video-classification"  # for model cards
DATA = "maskedae.datasets.audio_video.AudioVideo"  # what looks at its signals, if no recipe says
RATIOS = (0.75, 0.5, 0.9)  # to look at, if none are asked for

MODELS = {"cav_mae_vit_base": CAVMAEConfig()}


def places(grid: tuple[int, ...], width: int) -> FixedPositions:
    """Places of sounds, whose codes have time in their first half, or of pictures, across."""
    found = FixedPositions(grid, width, marked=True)
    if len(grid) == 2:
        codes = rearrange(sincos(grid[::-1], width), "(f t) d -> (t f) d", t=grid[0])
    else:
        codes = sincos(grid[1:] if grid[0] == 1 else grid, width)
    found.table.copy_(codes)
    return found


class Side(NamedTuple):
    """What there is for one of both modalities."""

    encoder: VisionTransformer
    places: FixedPositions  # of the decoder
    values: int  # in a patch
    target: Target


def side(config: CAVMAEConfig, audio: bool) -> Side:
    """Build what sound, or what pictures have of their own."""
    size, patch, channels = config.video_size, config.video_patch, config.channels
    if audio:
        size, patch, channels = config.audio_size, config.audio_patch, 1
    grid, alone = grid_of(size, patch), config.modality != "av"
    depth = config.depth + (config.shared_depth if alone else 0)
    encoder = VisionTransformer(
        PatchEmbed(channels, patch, config.width, size=size),
        places(grid, config.width),
        Tower(config.width, depth, config.heads, eps=config.norm_eps),
    )
    target = (NormalizedPixels if config.normalize_target else Pixels)(patch)
    return Side(encoder, places(grid, config.decoder_width), math.prod(patch) * channels, target)


def build(config: CAVMAEConfig, masker: Masker | None = None) -> Learner:
    """Build the model that a config describes; three quarters of the patches are hidden."""
    model: Learner
    width, depth, heads = config.decoder_width, config.decoder_depth, config.decoder_heads
    tower = Tower(width, depth, heads, eps=config.norm_eps)
    if config.modality == "av":
        masker = masker or PairMasker(RandomMasker(0.75), RandomMasker(0.75))
        model = build_both(config, tower, masker)
    else:
        encoder, positions, values, target = side(config, config.modality == "a")
        decoder = Decoder(config.width, positions, values, tower)
        model = MaskedAutoencoder(encoder, decoder, masker or RandomMasker(0.75), target)
    set_kernel(model, config.attention)
    return model


def build_both(config: CAVMAEConfig, decoder: Tower, masker: Masker) -> AudioVideoAutoencoder:
    """Build the model of sound and picture that a config describes."""
    audio, video = side(config, audio=True), side(config, audio=False)
    tower = Tower(config.width, config.shared_depth, config.heads, eps=config.norm_eps)
    fusion = JointBlocks(tower, shared=True)
    positions, values = (audio.places, video.places), (audio.values, video.values)
    return AudioVideoAutoencoder(
        AudioVideoEncoder(audio.encoder, video.encoder, fusion, mingled=True),
        JointDecoder(config.width, positions, values, decoder),
        (audio.target, video.target),
        masker,
        Contrast(config.inter_weight, config.inter_temperature, symmetric=False),
        Contrast(0.0, 1.0),
    )


def narrowed(
    state: State, was: CAVMAEConfig, config: CAVMAEConfig
) -> tuple[CAVMAEConfig, list[str]]:
    """Keep what one modality has of the weights of both, under the names of a model of it alone.

    Shared blocks are its last ones, under its norms. Returns the numbers of the model that what is
    kept is for, and names of what was left out. A fine-tuned model lacks the norms of each alone;
    those of both stand in for them.
    """
    if not is_part(config, was):
        return was, []
    part, which = {"a": ("audio", 0), "v": ("video", 1)}[config.modality]
    moves = {"encoder.norm.": "encoder.norm.", f"encoder.{part}.": "encoder."}
    for number in range(was.shared_depth):
        block = f"encoder.blocks.{was.depth + number}."
        moves[f"encoder.fusion.blocks.{number}."] = block
        for order in (0, 1):
            moves[f"encoder.fusion.norms.{which}.{number}.{order}."] = f"{block}norm{order + 1}."
    whole, left_out = dict(state), set(state)
    state.clear()
    for old, new in moves.items():
        for name in [name for name in whole if name.startswith(old)]:
            state[new + name.removeprefix(old)] = whole[name]
            left_out.discard(name)
    return replace(was, modality=config.modality), sorted(left_out)
