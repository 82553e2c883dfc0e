"""MAViL, masked audio-video learners (Huang et al. 2023, arXiv:2212.08071)."""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from maskedae.attention import set_kernel
from maskedae.audio_video import AudioVideoEncoder
from maskedae.audio_video_autoencoder import AudioVideoAutoencoder
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.contrast import Contrast
from maskedae.decoder import Decoder
from maskedae.joint import BottleneckBlocks, JointBlocks
from maskedae.joint_decoder import Decoders
from maskedae.layouts import State
from maskedae.learner import Learner
from maskedae.masking import Masker, RandomMasker
from maskedae.models.layouts.mavil_starts import inherit as inherit
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
class MAViLConfig(OfBoth):
    """ViT-B on ten seconds of sound and eight frames of four of them.

    Numbers that no released code confirms are marked: "not confirmed".
    """

    audio_size: tuple[int, ...] = (1024, 128)
    """Frames and mel bands of the spectrograms; a frame lasts 10 ms."""
    audio_patch: tuple[int, ...] = (16, 16)
    """Frames and mel bands of a patch."""
    video_size: tuple[int, ...] = (8, 224, 224)
    """Frames, height and width of the clips."""
    video_patch: tuple[int, ...] = (2, 16, 16)
    """Frames, height and width of a patch."""
    channels: int = 3
    """Channels of the clips: 1 gray, 3 colour."""
    width: int = 768
    """Width of the encoder's tokens."""
    depth: int = 12
    """Blocks of sound by itself, and as many of pictures."""
    heads: int = 12
    """Attention heads of the encoder."""
    fusion: Literal["joint", "bottleneck"] = "joint"
    """Whether the last blocks see all tokens of both, or share a few tokens only."""
    fusion_depth: int = 2
    """Blocks in which sound and pictures meet; the released fine-tuned model has 3."""
    bottlenecks: int = 4
    """Tokens that bottleneck blocks share."""
    decoder_width: int = 512
    """Width of the decoders' tokens."""
    decoder_depth: int = 8
    """Blocks of each decoder; not confirmed that those of sound look everywhere."""
    decoder_heads: int = 16
    """Attention heads of the decoders."""
    predicts: Literal["signal", "features"] = "signal"
    """What is behind the masks: the values of the signal (stage 1), all frames of a patch, which is
    not confirmed; or what a teacher makes of it (stage 2)."""
    normalize_target: bool = True
    """Predict values normalised within each patch, or the values themselves; not confirmed."""
    inter_weight: float = 0.1
    """What telling which sound belongs to which pictures counts; 0 leaves it out. Not confirmed."""
    inter_temperature: float = 0.1
    """Its temperature; not confirmed."""
    intra_weight: float = 0.01
    """What telling which of two masked views are of one sample counts; 0 leaves it out, and the
    second view, too. Not confirmed."""
    intra_temperature: float = 1.0
    """Its temperature; not confirmed."""
    modality: Literal["av", "a", "v"] = "av"
    """Sound and pictures; or one of them: an ordinary masked autoencoder of sounds or clips."""
    positions: Literal["published", "corrected"] = "published"
    """Codes of the patches of sounds, see Audio-MAE. A file of weights brings its own."""
    norm_eps: float = 1e-6
    """Added to the variance in every norm."""
    attention: str = "sdpa"
    """Kernel of attention: sdpa, sdpa-flash, sdpa-cudnn, sdpa-efficient, sdpa-math, xformers or
    eager; where a sample may lack sound or pictures, one that takes a bias, which sdpa-flash does
    not."""


PAPER, PIPELINE = "2212.08071", "video-classification"  # for model cards
DATA = "maskedae.datasets.audio_video.AudioVideo"  # what looks at its signals, if no recipe says
RATIOS = (0.8, 0.9, 0.95)  # to look at, if none are asked for

# Base is that of the paper.
MODELS = {
    "mavil_vit_small": MAViLConfig(width=384, heads=6),
    "mavil_vit_base": MAViLConfig(),
    "mavil_vit_large": MAViLConfig(width=1024, depth=24, heads=16),
}


class Side(NamedTuple):
    """What there is for one of both modalities."""

    encoder: VisionTransformer
    decoder: Decoder
    target: Target


def side(config: MAViLConfig, audio: bool) -> Side:
    """Build what sound, or what pictures have of their own."""
    size, patch, channels = config.video_size, config.video_patch, config.channels
    if audio:
        size, patch, channels = config.audio_size, config.audio_patch, 1
    grid, values = grid_of(size, patch), math.prod(patch) * channels
    if config.modality == "av" and config.predicts == "features":
        values = config.width
    swapped = audio and config.positions == "published"
    tower = Tower(config.width, config.depth, config.heads, eps=config.norm_eps)
    width, depth, heads = config.decoder_width, config.decoder_depth, config.decoder_heads
    decoder = Tower(width, depth, heads, eps=config.norm_eps)
    return Side(
        VisionTransformer(
            PatchEmbed(channels, patch, config.width, size=size),
            FixedPositions(grid, config.width, 1, swapped),
            tower,
        ),
        Decoder(config.width, FixedPositions(grid, width, 1, swapped), values, decoder),
        (NormalizedPixels if config.normalize_target else Pixels)(patch),
    )


def build(config: MAViLConfig, masker: Masker | None = None) -> Learner:
    """Build the model that a config describes; four fifths of the patches are hidden."""
    model: Learner
    if config.modality == "av":
        model = build_both(config, masker or PairMasker(RandomMasker(0.8), RandomMasker(0.8)))
    else:
        encoder, decoder, target = side(config, config.modality == "a")
        model = MaskedAutoencoder(encoder, decoder, masker or RandomMasker(0.8), target)
    set_kernel(model, config.attention)
    return model


def build_both(config: MAViLConfig, masker: Masker) -> AudioVideoAutoencoder:
    """Build the model of sound and picture that a config describes."""
    audio, video = side(config, audio=True), side(config, audio=False)
    tower = Tower(config.width, config.fusion_depth, config.heads, eps=config.norm_eps)
    joint = config.fusion == "joint"
    fusion = JointBlocks(tower) if joint else BottleneckBlocks(tower, config.bottlenecks)
    return AudioVideoAutoencoder(
        AudioVideoEncoder(audio.encoder, video.encoder, fusion),
        Decoders({"audio": audio.decoder, "video": video.decoder}),
        (audio.target, video.target) if config.predicts == "signal" else None,
        masker,
        Contrast(config.inter_weight, config.inter_temperature),
        Contrast(config.intra_weight, config.intra_temperature),
    )


def narrowed(state: State, was: MAViLConfig, config: MAViLConfig) -> tuple[MAViLConfig, list[str]]:
    """Keep what one modality has of the weights of both, under the names of a model of it alone.

    Returns the numbers of the model that what is kept is for, and names of what was left out: the
    decoder, too, which knows only what both make of each other. A fine-tuned model has no norm for
    one alone, which then begins anew.
    """
    if not is_part(config, was):
        return was, []
    kept = {"a": "encoder.audio.", "v": "encoder.video."}[config.modality]
    own = {f"encoder.{k.removeprefix(kept)}": state[k] for k in state if k.startswith(kept)}
    left_out = [name for name in state if not name.startswith(kept)]
    state.clear()
    state |= own
    return replace(was, modality=config.modality), left_out
