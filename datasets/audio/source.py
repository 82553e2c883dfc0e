"""The sounds of one split, or windows of them, as waveforms."""

import math
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maskedae.data import BadSample
from maskedae.datasets.audio.augmenting import add_noise, change_gain, roll
from maskedae.datasets.audio.reading import read, seconds_of
from maskedae.evaluation import spread
from maskedae.listing import Listing
from maskedae.weighting import balanced_weights
from maskedae.windows import cut_all

if TYPE_CHECKING:
    from maskedae.datasets.sounds import Sounds

LOOKED_AT = 32  # sounds of which mean and deviation are compared with those of the recipe
MEAN_OFF, STD_OFF = 0.5, 1.4  # deviations, and times as large: what is worth a word


class SoundSource:
    """Sounds, or windows of them, cut or lengthened to what a model takes."""

    def __init__(
        self, data: "Sounds", listing: Listing, shape: tuple[int, ...], augment: bool
    ) -> None:
        self.data, self.listing, self.augment = data, listing, augment
        self.fbank = data.fbank
        self.samples = self._heard(shape)
        views = data.repeats if augment else data.test_views
        self.shape: tuple[int, ...] = (views, 1, self.samples)
        self.labels, self.classes, self.shares = listing.labels, listing.classes, listing.shares
        self.unlabelled = listing.unlabelled
        self.fingerprint = listing.fingerprint
        self.weights = self._weights() if data.balance and augment else None
        self.spans: Tensor | None = None
        if data.window and not augment:
            windows = cut_all(listing, seconds_of, data.window, data.hop or data.window)
            self.files, self.spans, self.labels, self.shares, self.fingerprint = windows

    def _heard(self, shape: tuple[int, ...]) -> int:
        """Samples of which signals of a shape are made. Raises ValueError where it does not fit."""
        if len(shape) != 3 or shape[0] != 1:
            hint = "--model.name names a model of sounds, see maskedae models"
            raise ValueError(f"spectrograms are (1, frames, bands), not {shape}; {hint}")
        frames, bands = shape[1:]
        if bands != self.fbank.mels:
            raise ValueError(
                f"the model takes {bands} bands, and the data have {self.fbank.mels}: "
                f"--data.mels={bands}, or a model of ({frames}, {self.fbank.mels}), would fit"
            )
        samples, window, views = self.fbank.samples(frames), self.data.window, self.data.test_views
        seconds = samples / self.fbank.rate
        if window and not self.augment and window > views * seconds:
            raise ValueError(
                f"data.window is {window:g} s, of which the model hears {views * seconds:.4g} s: "
                f"--data.window={math.floor(views * seconds * 100) / 100:g} or "
                f"--data.test_views={math.ceil(window / seconds)} would fit"
            )
        return samples

    def __len__(self) -> int:
        return len(self.listing) if self.spans is None else len(self.spans)

    def _weights(self) -> Tensor:
        if self.listing.weights is not None:
            return self.listing.weights
        if self.labels is None:
            raise ValueError(f"data.balance needs labels, and there are none: {self.unlabelled}")
        return balanced_weights(self.labels)

    @cached_property
    def remarks(self) -> str:
        """What was left out, and whether sounds are of other levels than they are taken for."""
        return "; ".join(part for part in (self.listing.remarks, self._compare()) if part)

    def name(self, index: int) -> str:
        return self.listing.path(index if self.spans is None else int(self.files[index]))

    def read(self, index: int) -> Tensor:
        path = self.name(index)
        begin, end = (0.0, seconds_of(path)) if self.spans is None else self.spans[index].tolist()
        count = self.shape[0]
        # Seconds at which views begin, as shares of what the sound is longer than they are.
        if self.augment:
            places = torch.rand(count, dtype=torch.float64)
        else:
            places = torch.linspace(0, 1, count, dtype=torch.float64)
        return self.views(self.stretches(path, (begin, end), places))

    def stretches(self, path: str, span: tuple[float, float], places: Tensor) -> list[Tensor]:
        """Read as much as a model takes at some places (V,), from 0, the first, to 1, the last."""
        begin, end = span
        room = max(0.0, end - begin - self.samples / self.fbank.rate)
        seconds = min(end - begin, self.samples / self.fbank.rate)
        starts = (places * room).tolist()
        distinct = starts if room else starts[:1]  # of a sound that is not longer, all are the same
        heard = [self.stretch(path, begin + start, seconds) for start in distinct]
        return heard * (len(starts) // len(heard))

    def views(self, waveforms: list[Tensor]) -> Tensor:
        """Change what was read in training, and fit it to the model: -> (views, 1, samples)."""
        return torch.stack([self._fit(self._change(view)) for view in waveforms]).unsqueeze(1)

    def stretch(self, path: str, start: float, seconds: float) -> Tensor:
        """Read some seconds, levelled. Raises BadSample where they are too few."""
        rate, found = self.fbank.rate, torch.empty(round(seconds * self.fbank.rate))
        if len(found) >= self.fbank.samples(1):
            found = read(path, rate, start, seconds, self.data.channel or "mean")
        return self.levelled(found)

    def levelled(self, waveform: Tensor) -> Tensor:
        """As much as a model takes, its mean being zero. Raises BadSample where it is too short."""
        count, least = len(waveform), self.fbank.samples(1)
        if count < least:
            raise BadSample(f"{count} samples at {self.fbank.rate} Hz, and a frame needs {least}")
        # Frames have no offset of their own, but the silence behind the last one would be a step.
        return waveform[: self.samples] - waveform.mean()

    def _change(self, waveform: Tensor) -> Tensor:
        if not self.augment:
            return waveform
        waveform = roll(waveform, self.data.roll)
        if self.data.gain:
            waveform = change_gain(waveform)
        if self.data.noise is not None:
            waveform = add_noise(waveform, self.data.noise)
        return waveform

    def _fit(self, waveform: Tensor) -> Tensor:
        """Lengthen a sound to what the model takes, NaN being where there is nothing."""
        count = len(waveform)
        if self.data.short == "tile":
            return waveform.repeat(-(-self.samples // count))[: self.samples]
        whole = torch.full((self.samples,), torch.nan)
        if self.data.ragged:
            first, second = self.fbank.samples(1), self.fbank.samples(2)
            frames = 1 + -(-(count - first) // (second - first))
            grains = -(-frames // self.data.ends_at)
            whole[: self.fbank.samples(grains * self.data.ends_at)] = 0
        whole[:count] = waveform
        return whole

    def _compare(self) -> str:
        """Say so if the log-mel values of some sounds are far from the mean and deviation given."""
        values = list[Tensor]()
        for index in spread(len(self), LOOKED_AT):
            try:
                path = self.name(index)
                waveform = self.stretch(path, 0.0, self.samples / self.fbank.rate)
                values.append(self.fbank(waveform).flatten())
            except BadSample:
                continue
        if not values:
            return ""
        std, mean = torch.std_mean(torch.cat(values))
        given, deviation = self.data.statistics
        off = abs(float(mean) - given) > MEAN_OFF * deviation
        if not off and 1 / STD_OFF < float(std) / deviation < STD_OFF:
            return ""
        return (
            f"their log-mel values have a mean of {float(mean):.2f} and a deviation of "
            f"{float(std):.2f}, and are normalised by {given:.2f} and {deviation:.2f}: maskedae "
            f"doctor DIR --stats --recipe RECIPE tells them exactly"
        )
