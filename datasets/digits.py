"""Handwritten digits that scikit-learn ships, as files: pictures, and films in which they move."""

from pathlib import Path

import numpy as np
from PIL import Image

from maskedae.datasets.films.writing import write_film

SIDE, FRAMES, RATE = 32, 24, 12.0  # of films: pixels, length, frames per second
INK, SPEED = 28, 0.25  # pixels of a moving digit, pixels that it moves in a frame


def digits() -> list[tuple[Image.Image, str]]:
    """The 1,797 digits, 8 pixels wide, and what they are."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * 255 / 16).astype(np.uint8)
    return [(Image.fromarray(p), str(n)) for p, n in zip(pixels, found.target, strict=True)]


def path_of(folder: Path, number: int, label: str, extension: str) -> Path:
    """Where a digit lies, every fifth in val/; a folder for each class."""
    path = folder / ("val" if number % 5 == 0 else "train") / label / f"{number:04d}.{extension}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_pictures(folder: Path) -> None:
    """Write PNG files of 32 pixels."""
    for number, (digit, label) in enumerate(digits()):
        large = digit.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        large.save(path_of(folder, number, label, "png"))


def write_films(folder: Path) -> None:
    """Write MP4 films of 32 pixels in which a digit moves and bounces off the walls."""
    for number, (digit, label) in enumerate(digits()):
        ink = np.asarray(digit.resize((INK, INK), Image.Resampling.BICUBIC))
        film = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
        for frame, (top, left) in zip(film, bounce(number), strict=True):
            frame[top : top + INK, left : left + INK] = ink
        gray = film[..., np.newaxis].repeat(3, axis=-1)
        write_film(path_of(folder, number, label, "mp4"), gray, RATE)


def bounce(seed: int) -> np.ndarray:
    """Where a digit is in every frame, its way drawn by the seed: (T, 2), pixels down and right."""
    rng, room = np.random.default_rng(seed), SIDE - INK
    start, angle = rng.uniform(0, 2 * room, 2), rng.uniform(0, 2 * np.pi)
    steps = SPEED * np.array([np.sin(angle), np.cos(angle)])
    way = (start + np.arange(FRAMES)[:, np.newaxis] * steps) % (2 * room)
    return np.rint(room - np.abs(way - room)).astype(int)
