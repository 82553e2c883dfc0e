"""MAViL, masked audio-video learners (Huang et al. 2023, arXiv:2212.08071)."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.attention import set_kernel
from maskedae.audio_video import AudioVideoEncoder
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.contrast import info_nce, mean_present
from maskedae.decoder import Decoder
from maskedae.joint import Both, BottleneckBlocks, JointBlocks
from maskedae.layouts import State
from maskedae.learner import Imagined, Learner, Output
from maskedae.masking import Mask, Masker, RandomMasker, take
from maskedae.meeting import Masks, blanked, draw_masks, means, sides, spread
from maskedae.models.layouts.mavil_starts import inherit as inherit
from maskedae.pairs import Pair, PairMasker
from maskedae.patches import PatchEmbed, grid_of
from maskedae.positions import FixedPositions
from maskedae.targets import NormalizedPixels, Pixels, Target
from maskedae.transformer import Tower
from maskedae.vit import VisionTransformer


@dataclass(frozen=True)
class MAViLConfig:
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

    def __post_init__(self) -> None:
        for name in ("audio_size", "audio_patch", "video_size", "video_patch"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.modality not in MODALITIES:
            fits = ", ".join(MODALITIES)
            raise ValueError(f"no modality is called {self.modality}; {fits} would fit")

    @property
    def size(self) -> Any:
        """Values along every axis of the signal, or of both."""
        audio, video = self.audio_size, self.video_size
        return {"a": audio, "v": video}.get(self.modality, (audio, video))

    @property
    def shape(self) -> Any:
        """What the model takes, without the batch: (1, T, F), (C, T, H, W) or both."""
        audio, video = (1, *self.audio_size), (self.channels, *self.video_size)
        return {"a": audio, "v": video}.get(self.modality, (audio, video))


MODALITIES = ("av", "a", "v")
PAPER, PIPELINE = "2212.08071", "video-classification"  # for model cards
DATA = "maskedae.datasets.audio_video.AudioVideo"  # what looks at its signals, if no recipe says
RATIOS = (0.8, 0.9, 0.95)  # to look at, if none are asked for

# Base is that of the paper.
MODELS = {
    "mavil_vit_small": MAViLConfig(width=384, heads=6),
    "mavil_vit_base": MAViLConfig(),
    "mavil_vit_large": MAViLConfig(width=1024, depth=24, heads=16),
}


@dataclass(frozen=True)
class Contrast:
    """What a contrast counts, and how sharply it tells apart."""

    weight: float
    temperature: float
    symmetric: bool = True  # else only which sound belongs to given pictures


class Decoders(nn.ModuleDict):
    """A decoder of sound and one of pictures, neither of which sees what the other decodes."""

    def forward(self, tokens: Both, masks: Masks, _: Both | None = None) -> Both:
        """Predict what is hidden: 2 x (B, 1 + V, D) -> 2 x (B, M, P)."""
        return self["audio"](tokens[0], masks[0]), self["video"](tokens[1], masks[1])

    def imagine(self, tokens: Both, masks: Masks, _: Both | None = None) -> Both:
        """Predict all patches, in the order of the grids: 2 x (B, N, P)."""
        audio, video = (
            self[name].imagine(x, mask)  # type: ignore[operator]
            for name, x, mask in zip(("audio", "video"), tokens, masks, strict=True)
        )
        return audio, video


class AudioVideoAutoencoder(Learner):
    """Learn by imagining sound and pictures, and by telling what belongs together.

    Its `decoder` is called, as `Decoders` are, with tokens and masks of both, and with what is
    present, if something may be absent.
    What a sample lacks counts nowhere, and all means are over the samples of all processes. Without
    `targets` it imagines what a teacher makes of the whole sample (section 3.3).
    """

    encoder: AudioVideoEncoder

    def __init__(
        self,
        encoder: AudioVideoEncoder,
        decoder: nn.Module,
        targets: tuple[Target, Target] | None,
        masker: Masker,
        inter: Contrast,
        intra: Contrast,
    ) -> None:
        super().__init__()
        self.encoder, self.masker, self.targets = encoder, masker, targets
        self.decoder, self.inter, self.intra = decoder, inter, intra
        if not inter.weight and not intra.weight:  # then nothing would teach these norms
            for norm in encoder.own_norms:
                norm.requires_grad_(False)

    @property
    def noise_size(self) -> int:
        """How many random numbers the masks of one sample take."""
        return self.views * sum(torch.Size(grid).numel() for grid in self.encoder.grids)

    @property
    def views(self) -> int:
        """Masked views of every sample."""
        return 2 if self.intra.weight else 1

    @property
    def draws(self) -> bool:
        """Whether what is imagined can be drawn: features cannot."""
        return self.targets is not None

    @property
    def needs_statistics(self) -> bool:
        """Whether predictions lack the mean and deviation of their patch."""
        return self.targets is not None and self.targets[0].needs_statistics

    def draw_mask(
        self,
        batch: int,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Masks, ...]:
        """Masks of sound and of pictures, for each view, by noise (B, noise_size) if given."""
        noises = [None] * self.views if noise is None else noise.chunk(self.views, dim=1)
        grids = self.encoder.grids
        return tuple(draw_masks(self.masker, grids, batch, part, generator) for part in noises)

    def forward(
        self,
        signal: Pair,
        mask: tuple[Masks, ...] | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        paths: Tensor | None = None,
        taught: Both | None = None,
    ) -> Output:
        """Pair -> loss, predictions (B, M, P), (B, M', P') and masks of the views.

        What is `taught` (B, N, D), (B, N', D) is what a teacher's `teach` gives, where features are
        to be imagined. `paths` (B, encoder.noise_size) says which paths are dropped.
        """
        masks = self._check(mask or self.draw_mask(len(signal), noise, generator), signal)
        first, second = masks[0], masks[-1]
        heard, seen = signal.present if self.encoder.lacking else (None, None)
        # Each modality is encoded by itself, and then both together (section 3.1).
        apart = self.encoder.apart(signal, visible(first), paths)
        together = self.encoder.together(apart, signal, paths)
        # What is hidden of either is imagined from what is visible of both.
        predictions = self.imagine(together, first, signal)
        targets = self.asked(signal, first, taught)
        metrics = compare(predictions, targets, (heard, seen))
        loss = metrics["audio"] + metrics["video"]
        # Which sound belongs to which pictures? (3.2)
        audio, video = self._vectors(apart)
        if self.inter.weight:
            both = None if heard is None or seen is None else heard & seen
            both_ways, temperature = self.inter.symmetric, self.inter.temperature
            metrics["inter"] = info_nce(video, audio, temperature, both, both_ways)
            loss = loss + self.inter.weight * metrics["inter"]
        # Which other view is of the same sample?
        if self.intra.weight:
            others = self._vectors(self.encoder.apart(signal, visible(second), paths))
            metrics["intra"] = self._intra((audio, video), others, (heard, seen))
            loss = loss + self.intra.weight * metrics["intra"]
        return Output(loss, predictions, masks, metrics)

    def _vectors(self, apart: Both) -> Both:
        return means(self.encoder.alone(apart), self.encoder.audio.prefix)

    def _intra(self, x: Both, y: Both, present: tuple[Tensor | None, ...]) -> Tensor:
        losses = [
            info_nce(one, other, self.intra.temperature, there, symmetric=False)
            for one, other, there in zip(x, y, present, strict=True)
        ]
        return (losses[0] + losses[1]) / 2

    def _check(self, masks: tuple[Masks, ...], signal: Pair) -> tuple[Masks, ...]:
        """The masks, where the signal is. Raises ValueError for those of another kind of batch."""
        shape = self.views, 2, len(signal)
        for number, view in enumerate(masks):
            found = len(masks), len(view), *{len(index) for mask in view for index in mask}
            if found != shape:
                raise ValueError(
                    f"view {number} of masks is of {found}: {shape} of views, signals and samples "
                    f"would fit"
                )
        return tuple((_to(audio, signal), _to(video, signal)) for audio, video in masks)

    def imagine(self, tokens: Both, masks: Masks, signal: Pair) -> Both:
        """Predict what is hidden: (B, 1 + V, D), (B, 1 + V', D) -> (B, M, P), (B, M', P')."""
        audio, video = self.decoder(tokens, masks, self._present(signal))
        return audio.float(), video.float()

    def _present(self, signal: Pair) -> Both | None:
        return signal.present if self.encoder.lacking else None

    def asked(self, signal: Pair, masks: Masks, taught: Both | None) -> Both:
        """What should be predicted: values of the signal, or what is taught; see `forward`."""
        if (taught is None) != (self.targets is not None):
            wants = "what a teacher makes of samples" if taught is None else "no teacher"
            raise ValueError(f"predicts={'features' if taught is None else 'signal'} takes {wants}")
        if taught is not None:
            audio, video = (take(x, m.hidden) for x, m in zip(taught, masks, strict=True))
        else:
            assert self.targets is not None
            audio, video = (
                target(side, mask.hidden)
                for target, side, mask in zip(self.targets, sides(signal), masks, strict=True)
            )
        return audio.float(), video.float()

    @torch.no_grad()
    def teach(self, signal: Pair) -> Both:
        """What both signals make of each other, nothing hidden: (B, N, D), (B, N', D) (3.3).

        Of unit variance, which is not confirmed; NaN for what is not there.
        """
        audio, video = self.encoder.latent(signal)
        width, first = (audio.shape[-1],), self.encoder.audio.prefix
        return F.layer_norm(audio[:, first:], width), F.layer_norm(video[:, first:], width)

    @torch.no_grad()
    def picture(
        self, signal: Pair, masker: Masker, noise: Tensor, oracle: bool = False
    ) -> Imagined:
        """How one sample looks behind masks; the noise is (1, noise_size).

        Raises ValueError for a model that predicts features.
        """
        if self.targets is None:
            raise ValueError("this model imagines features, which cannot be drawn; stage 1 can be")
        encoder = self.encoder
        units = sum(torch.Size(grid).numel() for grid in encoder.grids)
        masks = draw_masks(masker, encoder.grids, 1, noise[:, :units])
        masks = _to(masks[0], signal), _to(masks[1], signal)
        tokens = encoder.together(encoder.apart(signal, visible(masks)), signal)
        drawn: Both = self.decoder.imagine(tokens, masks, self._present(signal))  # type: ignore[operator]
        patches = [
            target.restore(x.float(), side, mask, oracle)
            for target, x, side, mask in zip(self.targets, drawn, sides(signal), masks, strict=True)
        ]
        imagined = blanked(encoder.whole(patches), signal)
        masked = encoder.hide(signal, masks)
        audio, video = (
            torch.where(side.isnan(), new, whole)
            for side, new, whole in zip(sides(masked), imagined, sides(signal), strict=True)
        )
        predictions, targets = self.imagine(tokens, masks, signal), self.asked(signal, masks, None)
        found = compare(predictions, targets, signal.present)
        loss = (found["audio"] + found["video"]).item()
        share, present = encoder.share_hidden(masks, signal), signal.present
        whole = Pair(audio, video, *present)
        return Imagined(masked, Pair(*imagined, *present), whole, share, loss)


def visible(masks: Masks) -> Both:
    """What masks leave visible of sound and of pictures: (B, V), (B, V')."""
    return masks[0].visible, masks[1].visible


def _to(mask: Mask, signal: Pair) -> Mask:
    return Mask(mask.visible.to(signal.device), mask.hidden.to(signal.device))


def compare(
    predictions: Both, targets: Both, present: tuple[Tensor | None, ...]
) -> dict[str, Tensor]:
    """Mean squared errors of 2 x (B, M, P), over the samples present, of sound and of pictures.

    As `baseline`, those of predicting nothing but the mean of every patch, together.
    """
    found: dict[str, Tensor] = {}
    flat: list[Tensor] = []
    parts = zip(("audio", "video"), predictions, targets, present, strict=True)
    for name, x, y, there in parts:
        y = y if there is None else y.masked_fill(~spread(there, y), 0.0)  # it may be NaN
        found[name] = mean_present((x - y).square().mean(dim=(1, 2)), there)
        flat.append(mean_present(y.var(dim=-1, correction=0).mean(dim=1), there))
    return {**found, "baseline": flat[0] + flat[1]}


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
    if was.modality == config.modality:
        return was, []
    if was.modality != "av":
        raise ValueError(f"a file of modality {was.modality} cannot serve {config.modality}")
    kept = {"a": "encoder.audio.", "v": "encoder.video."}[config.modality]
    own = {f"encoder.{k.removeprefix(kept)}": state[k] for k in state if k.startswith(kept)}
    left_out = [name for name in state if not name.startswith(kept)]
    state.clear()
    state |= own
    state.setdefault("encoder.norm.weight", torch.ones(was.width))
    state.setdefault("encoder.norm.bias", torch.zeros(was.width))
    return replace(was, modality=config.modality), left_out
