"""Read a film in full and say what it is."""

import os

import numpy as np
import torch

from maskedae.colours import pixel_sums
from maskedae.data import BadSample
from maskedae.datasets.films.describing import Facts, describe
from maskedae.datasets.films.film import Refused
from maskedae.datasets.films.reading import shrunk
from maskedae.datasets.films.stills import Stills
from maskedae.datasets.films.with_pyav import PyAVFilm

FEW = 16  # frames of a clip, as most models take them
LOOKED_AT = 16  # frames that mean and deviation come from
SMALL = 256  # shorter side of these


def inspect(path: str, sums: bool = False) -> dict[str, object]:
    """Decode a film in full and report what it is. Raises BadSample."""
    try:
        film: PyAVFilm | Stills = Stills(path) if os.path.isdir(path) else PyAVFilm(path)
    except Refused as reason:
        raise BadSample(str(reason)) from reason
    try:
        found = describe(film)
        report = summary(found, found.frames - film.decodable())
        return report | ({"sums": frame_sums(film)} if sums else {})
    except Refused as reason:
        raise BadSample(str(reason)) from reason
    finally:
        film.close()


def summary(found: Facts, lost: int) -> dict[str, object]:
    """Say in the words of a report what a film is, and what may surprise."""
    height, width = found.size
    notes = {
        f"cut off: {found.missing} of {found.frames + found.missing} frames are gone": found.missing
        > 0,
        f"{lost} of {found.frames} frames cannot be decoded": lost > 0,
        "variable frame rate": not found.steady,
        f"rotated by {found.rotation} degrees": found.rotation != 0,
        f"fewer than {FEW} frames: {found.frames}": found.frames < FEW,
    }
    return {
        "kind": "film",
        "container": found.container,
        "codec": found.codec,
        "pixels": found.pixels,
        "size": [width, height],
        "frames": found.frames,
        "seconds": round(found.seconds, 3),
        "rate": round(found.rate, 3),
        "sound": found.sound or "none",
        "warnings": [note for note, holds in notes.items() if holds],
    }


def frame_sums(film: PyAVFilm | Stills) -> list[list[float]]:
    """Sums of ones, values and squares over some frames of a film: -> (3, 3)."""
    spread = np.linspace(0, len(film.times) - 1, LOOKED_AT).round().astype(int)
    pixels = film.frames(np.unique(spread).tolist(), shrunk(film.size, SMALL))
    return pixel_sums(torch.from_numpy(pixels).movedim(-1, 0).flatten(1))
