"""Learning from sound and picture: imagine what is hidden, tell what belongs together.

Sections named are those of MAViL (arXiv:2212.08071), whose learning this is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.audio_video import AudioVideoEncoder
from maskedae.contrast import Contrast, gathered, info_nce, mean_present
from maskedae.joint import Both
from maskedae.learner import Imagined, Learner, Output
from maskedae.masking import Mask, Masker, take
from maskedae.meeting import Masks, blanked, draw_masks, filled, means, sides
from maskedae.pairs import Pair
from maskedae.targets import Target


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
    def paths_size(self) -> int:
        """How many random numbers the dropped paths of all views of one sample take."""
        return self.views * super().paths_size

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
        to be imagined. `paths` (B, paths_size) says which paths are dropped, in each view.
        """
        masks = self._check(mask or self.draw_mask(len(signal), noise, generator), signal)
        first, second = masks[0], masks[-1]
        kept = [None] * self.views if paths is None else paths.tensor_split(self.views, dim=1)
        present = self.encoder.there(signal)
        heard, seen = (None, None) if present is None else map(gathered, present)
        # Each modality is encoded by itself, and then both together (section 3.1).
        apart = self.encoder.apart(signal, visible(first), kept[0])
        together = self.encoder.together(apart, signal, kept[0])
        # What is hidden of either is imagined from what is visible of both.
        predictions = self.imagine(together, first, signal)
        targets = self.asked(signal, first, taught)
        metrics = compare(predictions, targets, (heard, seen))
        loss = metrics["audio"] + metrics["video"]
        # Which sound belongs to which pictures? (3.2)
        vectors = self._vectors(apart) if self.inter.weight or self.intra.weight else None
        if vectors and self.inter.weight:
            both = None if heard is None or seen is None else heard & seen
            both_ways, temperature = self.inter.symmetric, self.inter.temperature
            metrics["inter"] = info_nce(*vectors[::-1], temperature, both, both_ways)
            loss = loss + self.inter.weight * metrics["inter"]
        # Which other view is of the same sample?
        if vectors and self.intra.weight:
            others = self._vectors(self.encoder.apart(signal, visible(second), kept[-1]))
            metrics["intra"] = self._intra(vectors, others, (heard, seen))
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
        audio, video = self.decoder(tokens, masks, self.encoder.there(signal))
        return audio.float(), video.float()

    def asked(self, signal: Pair, masks: Masks, taught: Both | None) -> Both:
        """What should be predicted: values of the signal, or what is taught; see `forward`.

        Zeros where a sample lacks it.
        """
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
        wanted = audio.float(), video.float()
        return filled(wanted, signal) if self.encoder.lacking else wanted

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
        drawn: Both = self.decoder.imagine(tokens, masks, encoder.there(signal))  # type: ignore[operator]
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

    What is present is that of all processes, see `mean_present`. As `baseline`, those of predicting
    nothing but the mean of every patch, together.
    """
    found: dict[str, Tensor] = {}
    flat: list[Tensor] = []
    parts = zip(("audio", "video"), predictions, targets, present, strict=True)
    for name, x, y, there in parts:
        found[name] = mean_present((x - y).square().mean(dim=(1, 2)), there)
        flat.append(mean_present(y.var(dim=-1, correction=0).mean(dim=1), there))
    return {**found, "baseline": flat[0] + flat[1]}
