"""A film read once for both, in the process that films are decoded in: clips, and their sound."""

from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from maskedae.datasets.audio.packets import HeldReel, shown_from
from maskedae.datasets.audio.resampling import resampler
from maskedae.datasets.audio.sound import Channel, Mixed, Samples, refuse_lost
from maskedae.datasets.audio.with_pyav import Track
from maskedae.datasets.films.film import Absent, Film, Refused
from maskedae.datasets.films.reading import Frames, Order, clips_of, film_of
from maskedae.datasets.films.stills import Stills
from maskedae.datasets.films.with_pyav import PyAVFilm


@dataclass(frozen=True)
class Listening:
    """Which sound is wanted of a film, around every clip of it."""

    rate: int  # to which it will be brought
    samples: int  # so many, at that rate
    least: int  # fewer are no sound
    channel: Channel
    clip: float  # seconds that the pictures take
    chances: NDArray[np.float64] | None = None  # (V,) from [0, 1), where clips lie in their sound


class Stretch(NamedTuple):
    """Some of a sound as it was stored, and what to make of it at another rate."""

    samples: Samples  # (n,) one channel
    begin: int  # number of the first
    first: int  # numbers, at the other rate, from which
    stop: int  # and to which it is wanted


class Recording(NamedTuple):
    """What was read of a film."""

    frames: Frames | None  # without pictures, nothing
    sounds: list[Stretch | None]  # of every clip; None where there is no sound around it
    rate: int  # of the sounds
    seconds: float  # that the pictures take, or the sound, if it is longer
    lacking: str  # why there is no sound, or there are no pictures; else empty


def record(order: Order, listening: Listening | None) -> Recording:
    """Read clips and, if it is wanted, the sound around them. Raises Refused.

    The film is opened anew each time: decoders of sound are not quite as new when they are reset.
    """
    try:
        film = film_of(order)
    except Absent as reason:  # no pictures: whoever asked reads it as a sound
        return Recording(None, [], 0, 0.0, str(reason))
    with closing(film):
        return record_film(film, order, listening)


def record_film(film: Film, order: Order, listening: Listening | None) -> Recording:
    """Read from an open film."""
    frames = clips_of(film, order)
    silent = Recording(
        frames, [None] * len(frames.clips), 0, float(film.times[-1]) + 1 / film.rate, ""
    )
    if listening is None:
        return silent
    try:
        track, offset = track_of(film, order.path)
        with closing(track):
            return hear(track, offset, order.window, silent, listening)
    except Absent as reason:
        return silent._replace(lacking=str(reason))
    except Refused as reason:
        raise Refused(f"its sound: {reason}") from reason


def hear(
    track: Track,
    offset: float,
    window: tuple[float, float] | None,
    silent: Recording,
    listening: Listening,
) -> Recording:
    """Add the sound, in which the first frame is shown at a second `offset`."""
    assert silent.frames is not None
    seconds = max(silent.seconds, track.facts().seconds - offset)
    end = None if window is None else window[1] + offset
    starts = place(silent.frames.begins, listening, window or (0.0, seconds))
    found = {start: cut(track, start + offset, end, listening) for start in dict.fromkeys(starts)}
    lacking = "" if any(found.values()) else "no sound around its clips"
    sounds = [found[start] for start in starts]
    return Recording(silent.frames, sounds, track.rate, seconds, lacking)


def track_of(film: Film, path: str) -> tuple[Track, float]:
    """The sound of a film, and the second of it at which the first frame is shown."""
    if isinstance(film, Stills):
        raise Absent("a folder of pictures has no sound")
    if not isinstance(film, PyAVFilm):
        return Track(path), 0.0
    sound = film.container.streams.best("audio")
    reel = None  # of a large film, or to be told what is wrong with it: a file of its own
    if film.track is not None and isinstance(sound, AudioStream) and sound.codec_context:
        reel = HeldReel(film.container, sound, film.track)
    track = Track(path, reel)
    first, shown = film.index.pts[0] * float(film.stream.time_base or 1), shown_from(film.container)
    exact = film.index.exact and shown is not None
    return track, first - float(shown or 0) if exact else 0.0


def place(
    begins: NDArray[np.float64], listening: Listening, bounds: tuple[float, float]
) -> list[float]:
    """Seconds at which the sound of every clip begins: (V,) -> V.

    The shorter of the two lies within the longer, in the middle or by chance, as far as the
    recording reaches.
    """
    seconds, (first, last) = listening.samples / listening.rate, bounds
    least, most = first, max(first, last - seconds)
    if listening.chances is None:
        middles = begins + (listening.clip - seconds) / 2
        return np.clip(middles, least, most).tolist()
    ends = begins, begins + listening.clip - seconds
    low, high = (np.clip(end, least, most) for end in (np.minimum(*ends), np.maximum(*ends)))
    return (low + listening.chances * (high - low)).tolist()


def cut(sound: Track, start: float, end: float | None, listening: Listening) -> Stretch | None:
    """Decode what a sound of another rate from a second on, up to a second, is made of."""
    first = max(0, round(start * listening.rate))
    stop = first + listening.samples
    if end is not None:
        stop = min(stop, round(end * listening.rate))
    change = resampler(sound.rate, listening.rate)
    begin, last = first, stop
    if sound.rate != listening.rate:
        begin, last = change.before(first), change.after(stop)
    mixed = Mixed(listening.channel)
    pieces = list(mixed(sound.pieces(begin, last)))
    refuse_lost(sound)
    if 2 * mixed.wild > mixed.count:
        raise Refused(f"{mixed.wild} of {mixed.count} samples are not numbers")
    samples = np.concatenate(pieces) if pieces else np.empty(0, np.float32)
    least = listening.least * sound.rate / listening.rate
    there = begin + len(samples) - max(sound.late * sound.rate, first * sound.rate / listening.rate)
    return Stretch(samples, begin, first, stop) if there >= least else None
