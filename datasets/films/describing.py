"""What a film is, by its file and its first frame."""

import os
from dataclasses import dataclass

from av.audio.stream import AudioStream

from maskedae.datasets.films.film import FRAME_RATE
from maskedae.datasets.films.stills import Stills
from maskedae.datasets.films.with_pyav import PyAVFilm


@dataclass(frozen=True)
class Facts:
    """What a user wants to know of a film."""

    container: str
    codec: str
    pixels: str  # FFmpeg's name of the format
    size: tuple[int, int]  # height, width, upright
    frames: int
    missing: int  # frames that the file promises, but that are cut off
    seconds: float
    rate: float  # frames per second, on average
    steady: bool  # whether all frames are shown equally long
    rotation: int  # degrees by which it is turned to the left before it is shown
    sound: str  # empty without


def facts(path: str, frame_rate: float = FRAME_RATE) -> Facts:
    """Look through a film, or a folder with this rate, and decode its first frame. Raises Refused.

    A file says its rate itself.
    """
    is_folder = os.path.isdir(path)
    film: PyAVFilm | Stills = Stills(path, frame_rate) if is_folder else PyAVFilm(path)
    try:
        return describe(film)
    finally:
        film.close()


def describe(film: PyAVFilm | Stills) -> Facts:
    """Say what is known of an open film."""
    gaps = film.times[1:] - film.times[:-1]
    steady = not len(gaps) or bool(gaps.max() - gaps.min() < 0.2 / film.rate)
    seconds = float(film.times[-1]) + 1 / film.rate
    if isinstance(film, Stills):
        kind = os.path.splitext(film.paths[0])[1][1:].lower()
        names, missing, rotation, sound = ("folder", kind, "rgb24"), 0, 0, ""
    else:
        codec = film.stream.codec_context
        names = (film.kind.split(",")[0], codec.codec.canonical_name, codec.pix_fmt or "")
        missing = max(0, film.stream.frames - len(film.index.stamps))
        rotation, sound = 90 * film.turns, heard(film)
    count = len(film.times)
    return Facts(*names, film.size, count, missing, seconds, film.rate, steady, rotation, sound)


def heard(film: PyAVFilm) -> str:
    """Name the sound of a film."""
    stream = film.container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        return ""
    return f"{stream.codec_context.codec.canonical_name} {stream.codec_context.sample_rate} Hz"
