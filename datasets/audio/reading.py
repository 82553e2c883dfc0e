"""Files to waveforms: sounds, and the sound of films, as one channel of one rate."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from maskedae.data import BadSample
from maskedae.datasets.audio.kinds import CONTAINERS as CONTAINERS
from maskedae.datasets.audio.kinds import EXTENSIONS as EXTENSIONS
from maskedae.datasets.audio.kinds import sniff as sniff
from maskedae.datasets.audio.kinds import stored
from maskedae.datasets.audio.resampling import resampler
from maskedae.datasets.audio.sound import END, Channel, Facts, Mixed, Samples, Sound, refuse_lost
from maskedae.datasets.audio.with_pyav import Track
from maskedae.datasets.audio.with_soundfile import StoredSound
from maskedae.datasets.films.film import Refused, check

Mixing: TypeAlias = Callable[[Iterable[Samples]], Iterator[Samples]]
REMEMBERED = 2**16  # sounds whose length a process keeps, a few hundred bytes each
SLOWEST, FASTEST = 100, 768_000  # samples per second: others are mistakes in a header


def facts(path: str) -> Facts:
    """Say what a sound is, without decoding it. Raises BadSample."""
    with opened(path) as sound:
        return sound.facts()


def seconds_of(path: str) -> float:
    """How long a sound is, remembered as long as its file does not change. Raises BadSample."""
    try:
        status = os.stat(path)
    except OSError:
        return facts(path).seconds  # which says why there are none
    return measured(path, status.st_size, status.st_mtime_ns)


@lru_cache(REMEMBERED)
def measured(path: str, size: int, changed: int) -> float:
    """How long the sound in a file of that size and time is."""
    return facts(path).seconds


def read(
    path: str,
    rate: int,
    start: float = 0.0,
    seconds: float | None = None,
    channel: Channel = "mean",
) -> Tensor:
    """Decode some seconds, or up to the end, at a rate, as one channel: -> (samples,).

    At the end of a sound there is just less. Samples that are no numbers are silence; where most
    are, or most of what is asked for cannot be decoded, raises BadSample.
    """
    first = round(start * rate)
    stop = END if seconds is None else first + round(seconds * rate)
    if not 0 <= first < stop:
        raise ValueError(
            f"{seconds} s of sound from {start} s on are none; 1 s from 0 on would fit"
        )
    with opened(path) as sound:
        mixed = Mixed(channel)
        pieces = list(resampled(sound, mixed, rate, first, stop))
        refuse_lost(sound)
        if 2 * mixed.wild > mixed.count:
            raise BadSample(f"{mixed.wild} of {mixed.count} samples are not numbers")
    if not any(map(len, pieces)):
        raise BadSample(f"no sound from {start:g} s on" if start else "no samples")
    return torch.from_numpy(np.concatenate(pieces))


def resampled(
    sound: Sound, mixed: Mixing, rate: int, first: int = 0, stop: int = END
) -> Iterator[Samples]:
    """Samples from one to another at a rate, as one channel, some at a time."""
    if sound.rate == rate:
        yield from mixed(sound.pieces(first, stop))
        return
    change = resampler(sound.rate, rate)
    begin = change.before(first)
    yield from change.pieces(begin, mixed(sound.pieces(begin, change.after(stop))), first, stop)


@contextmanager
def opened(path: str) -> Iterator[Sound]:
    """Open a file of sound, or with sound. Raises BadSample, here and where it is read."""
    try:
        check(path)
        sound = choose(path)
        try:
            if not SLOWEST <= sound.rate <= FASTEST:
                would = f"{SLOWEST} to {FASTEST} would fit"
                raise Refused(f"{sound.rate} samples per second, says the header; {would}")
            yield sound
        finally:
            sound.close()
    except Refused as reason:
        raise BadSample(str(reason)) from reason


def choose(path: str) -> Sound:
    """Open a file with libsndfile if samples are stored in it, and it takes it, or with PyAV."""
    with open(path, "rb") as file:
        head = file.read(12)
    if not stored(head):
        return Track(path)
    try:
        return StoredSound(path)
    except Refused as first:
        try:
            return Track(path)
        except Refused:
            raise first from None
