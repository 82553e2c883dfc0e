"""The films of one split with their sound: clips of pictures, and waveforms around them."""

import math
import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskedae.data import BadSample
from maskedae.datasets.audio.kinds import EXTENSIONS as SOUNDS
from maskedae.datasets.audio.reading import seconds_of
from maskedae.datasets.audio.resampling import resampler
from maskedae.datasets.audio.source import SoundSource
from maskedae.datasets.av.naming import part, parts
from maskedae.datasets.films.reading import Frames, Order
from maskedae.datasets.films.recording import Listening, Recording, Stretch, place
from maskedae.listing import Listing
from maskedae.pairs import Pair
from maskedae.windows import cut_all

if TYPE_CHECKING:
    from maskedae.datasets.audio_video import AudioVideo

Span = tuple[float, float]
Heard = list[Tensor | None]  # a waveform for every view, or None where there is none


class PairSource:
    """Films, or windows of them, as pictures and sound."""

    def __init__(
        self,
        data: "AudioVideo",
        listing: Listing,
        shape: tuple[tuple[int, ...], tuple[int, ...]],
        augment: bool,
    ) -> None:
        from maskedae.datasets.videos import VideoSource

        self.data, self.listing, self.augment = data, listing, augment
        self.sound = SoundSource(
            replace(data.sounds, window=None, hop=None), part(listing, 1), shape[0], augment
        )
        self.film = VideoSource(
            replace(data.videos, window=None, hop=None), part(listing, 0), shape[1], augment
        )
        self.count = self.film.shape[0]
        values = math.prod(self.sound.shape[1:]) + math.prod(self.film.shape[1:])
        self.shape: tuple[int, ...] = (self.count, values)
        self.labels, self.classes, self.shares = listing.labels, listing.classes, listing.shares
        self.unlabelled, self.fingerprint = listing.unlabelled, listing.fingerprint
        self.weights, self.spans = self.sound.weights, None
        if data.window and not augment:
            windows = cut_all(listing, self._seconds, data.window, data.hop or data.window)
            self.files, self.spans, self.labels, self.shares, self.fingerprint = windows

    def __len__(self) -> int:
        return len(self.listing) if self.spans is None else len(self.spans)

    @cached_property
    def remarks(self) -> str:
        """What was left out, and whether sounds are of other levels than they are taken for."""
        return self.sound.remarks

    def name(self, index: int) -> str:
        film, sound = self._paths(index)
        return film or sound

    def read(self, index: int) -> Pair:
        """Decode and augment one sample: waveforms (V, 1, samples), frames (V, C, T, H, W)."""
        film, sound = self._paths(index)
        span: Span | None = None
        if self.spans is not None:
            span = (float(self.spans[index][0]), float(self.spans[index][1]))
        # As many numbers for every sample: else all that is drawn after them would be others.
        chances = np.empty((0, 0))
        if self.augment:
            shape = (self.count, self.film.moments.frames + 1)
            chances = torch.rand(shape, dtype=torch.float64).numpy()
        recording = self._record(film, chances, span, own=not sound) if film else None
        frames = recording.frames if recording else None
        if recording is None or frames is None:
            heard = self._alone(sound or film, chances, span)
        elif sound:
            heard = self._beside(sound, frames.begins, chances, span or (0.0, recording.seconds))
        else:
            heard = [self._waveform(stretch, recording.rate) for stretch in recording.sounds]
        if self.data.missing == "skip" and (frames is None or any(one is None for one in heard)):
            lacking = recording.lacking if recording else "a sound without pictures"
            raise BadSample(lacking or "no sound around its clips")
        return self._pair(frames, heard)

    def _paths(self, index: int) -> tuple[str, str]:
        """Where its pictures lie, or its film, and where sound of its own does; empty without."""
        number = index if self.spans is None else int(self.files[index])
        root, name = self.listing.place(number)
        film, sound = (os.path.join(root, path) if path else "" for path in parts(name))
        if not sound and os.path.splitext(film)[1].lower() in SOUNDS:
            return "", film
        return film, sound

    def _seconds(self, path: str) -> float:
        film, sound = parts(path)
        try:
            return self.film.reader.facts(film).seconds
        except BadSample:
            return seconds_of(sound or film)

    def _record(
        self, path: str, chances: NDArray[np.float64], span: Span | None, own: bool
    ) -> Recording:
        """Read a film, with its own sound if it is wanted."""
        by_chance = chances[:, :-1] if self.augment else None
        film = self.film
        order = Order(path, film.moments, by_chance, film.temporal, span, film.short_side)
        return film.reader.record(order, self._listening(chances) if own else None)

    def _listening(self, chances: NDArray[np.float64]) -> Listening:
        fbank, moments = self.sound.fbank, self.film.moments
        return Listening(
            rate=fbank.rate,
            samples=self.sound.samples,
            least=fbank.samples(1),
            channel=self.data.channel or "mean",
            clip=moments.frames * (moments.interval or 0.0),
            chances=chances[:, -1] if self.augment else None,
        )

    def _alone(self, path: str, chances: NDArray[np.float64], span: Span | None) -> Heard:
        """A sound without pictures."""
        places = np.linspace(0, 1, self.count)
        if self.augment:
            places = chances[:, -1]
        whole = span or (0.0, seconds_of(path))
        return [*self.sound.stretches(path, whole, torch.from_numpy(places))]

    def _beside(
        self, path: str, begins: NDArray[np.float64], chances: NDArray[np.float64], span: Span
    ) -> Heard:
        """The sound of pictures that lie elsewhere, around clips (V,); both begin at once."""
        rate, whole, least = self.sound.fbank.rate, self.sound.samples, self.sound.fbank.samples(1)
        try:
            end = seconds_of(path)
            if self.spans is None:
                span = (0.0, max(end, span[1]))
            starts = place(begins, self._listening(chances), span)
            lengths = [min(whole / rate, min(end, span[1]) - start) for start in starts]
            return [
                self.sound.stretch(path, start, length) if length * rate >= least else None
                for start, length in zip(starts, lengths, strict=True)
            ]
        except BadSample as reason:
            raise BadSample(f"its sound, {path}: {reason}") from reason

    def _waveform(self, stretch: Stretch | None, rate: int) -> Tensor | None:
        """What was decoded at a rate, at the rate that is wanted: -> (samples,)."""
        if stretch is None:
            return None
        samples, begin, first, stop = stretch
        if rate != self.sound.fbank.rate:
            change = resampler(rate, self.sound.fbank.rate)
            samples = np.concatenate([*change.pieces(begin, [samples], first, stop)])
        return self.sound.levelled(torch.from_numpy(samples))

    def _pair(self, frames: Frames | None, heard: Heard) -> Pair:
        """All views, changed in training; what is absent is zero, and nobody looks at it."""
        audio = torch.zeros(self.count, *self.sound.shape[1:])
        video = torch.zeros(self.count, *self.film.shape[1:], dtype=torch.uint8)
        if frames is not None:
            video = self.film.clips(frames)
        there = torch.tensor([waveform is not None for waveform in heard])
        if found := [waveform for waveform in heard if waveform is not None]:
            audio[there] = self.sound.views(found)
        return Pair(audio, video, there, torch.full((self.count,), frames is not None))
