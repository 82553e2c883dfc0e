"""Short films of bouncing shapes that one hears: made by formulas, written as MP4 with AAC.

What is seen tells what is heard. A shape has its timbre, its colour a pitch, its size how long a
tone lasts, and it sounds at every bounce, when the floor flashes. Where it lies and moves from left
to right, how loud it is and how much it hisses tells nothing.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskedae.datasets.films.writing import write_film

SIDE, FRAMES, RATE = 64, 32, 8.0  # of films: pixels, length, frames per second
SOUND_RATE = 16000
FLOOR = 56  # the row where it begins
LOW, OCTAVES = 220.0, 2.5  # Hz of a red shape's tone, and how far a violet one's is above
BLUR = 1.0  # pixels over which an edge goes
Values = NDArray[np.float64]


def polygon(x: Values, y: Values, corners: int) -> Values:
    """How far points are outside of a regular polygon whose circle has radius 1, point up."""
    angles = np.pi / 2 + 2 * np.pi * (np.arange(corners) + 0.5) / corners
    sides = [x * np.cos(angle) - y * np.sin(angle) for angle in angles]
    return np.max(sides, axis=0) - np.cos(np.pi / corners)


# How far points (x right, y down) are outside of a shape that reaches from -1 to 1.
SHAPES: dict[str, Callable[[Values, Values], Values]] = {
    "cross": lambda x, y: np.maximum(
        np.minimum(np.abs(x), np.abs(y)) - 0.33, np.maximum(np.abs(x), np.abs(y)) - 1
    ),
    "disc": lambda x, y: np.hypot(x, y) - 1,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.75) - 0.25,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.85,
    "triangle": lambda x, y: polygon(x, y, 3),
}
# Strengths of the overtones of each, from the tone itself on.
TIMBRES: dict[str, tuple[float, ...]] = {
    "cross": (1, 0.9, 0.8, 0.7, 0.7, 0.6, 0.6, 0.5),
    "disc": (1,),
    "ring": (0.3, 0, 0, 1, 0, 0, 0.6),
    "square": (1, 0, 0.7, 0, 0.5, 0, 0.4),
    "triangle": (1, 0.7, 0, 0, 0, 0, 0, 0, 0.5, 0.5),
}


@dataclass(frozen=True)
class Scene:
    """What happens in a film."""

    shape: str
    hue: float  # from 0, red and low, to 1, violet and high
    radius: float  # pixels
    period: float  # seconds from one bounce to the next
    first: float  # seconds at which the first bounce is
    left: float  # pixels at which it starts
    speed: float  # pixels a second to the right
    loudness: float
    hiss: float

    @property
    def bounces(self) -> Values:
        """Seconds of all bounces."""
        return np.arange(self.first, FRAMES / RATE, self.period)


def scene(number: int, seed: int = 0) -> Scene:
    """Draw a scene; shapes come in turn."""
    rng = np.random.default_rng([seed, number])
    period = rng.uniform(0.6, 1.6)
    return Scene(
        shape=list(SHAPES)[number % len(SHAPES)],
        hue=rng.uniform(),
        radius=rng.uniform(7, 13),
        period=period,
        first=rng.uniform(0.1, period),
        left=rng.uniform(14, SIDE - 14),
        speed=rng.uniform(-6, 6),
        loudness=rng.uniform(0.2, 0.6),
        hiss=rng.uniform(0.001, 0.005),
    )


def frames(scene: Scene) -> NDArray[np.uint8]:
    """What is seen: (T, H, W, 3)."""
    times = np.arange(FRAMES) / RATE
    # Up and down as a ball, on the floor at every bounce.
    turn = (times - scene.first) / scene.period % 1
    height = 4 * turn * (1 - turn) * (FLOOR - 2 * scene.radius - 2)
    across = np.clip(scene.left + scene.speed * times, scene.radius, SIDE - scene.radius)
    down = FLOOR - scene.radius - height
    rows, columns = (np.mgrid[:SIDE, :SIDE] + 0.5).astype(np.float32)
    places = (value.astype(np.float32)[:, None, None] for value in (across, down))
    x, y = (
        (axis - place) / np.float32(scene.radius)
        for axis, place in zip((columns, rows), places, strict=True)
    )
    inside = np.clip(0.5 - SHAPES[scene.shape](x, y) * scene.radius / BLUR, 0, 1)[..., None]
    backdrop = np.full((FRAMES, SIDE, SIDE, 3), 0.12, np.float32)
    backdrop[:, FLOOR:] = 0.3
    backdrop[shown(scene), FLOOR:] = 1
    colour = np.array(colorsys.hsv_to_rgb(0.8 * scene.hue, 0.9, 1.0), np.float32)
    return np.rint(255 * (backdrop + inside * (colour - backdrop))).astype(np.uint8)


def shown(scene: Scene) -> NDArray[np.int64]:
    """Numbers of the frames in which the floor flashes: those nearest to a bounce."""
    nearest = np.rint(scene.bounces * RATE).astype(np.int64)
    return nearest[nearest < FRAMES]


def waveform(scene: Scene, seed: int = 0) -> NDArray[np.float32]:
    """What is heard: (samples,) from -1 to 1."""
    count = round(FRAMES / RATE * SOUND_RATE)
    times = np.arange(count) / SOUND_RATE
    pitch = LOW * 2 ** (OCTAVES * scene.hue)
    strengths = TIMBRES[scene.shape]
    tone = np.zeros(count)
    for n, strength in enumerate(strengths, 1):
        if strength:
            tone += strength * np.sin(2 * np.pi * pitch * n * times)
    decay = scene.radius / 80  # seconds
    since = times - scene.bounces[:, None]
    loud = np.exp(-np.maximum(since, 0) / decay) * np.clip(since / 0.004, 0, 1)
    sound = scene.loudness * tone / np.abs(strengths).sum() * loud.max(0)
    hiss = np.random.default_rng([seed, 1]).standard_normal(count) * scene.hiss
    return (sound + hiss).astype(np.float32)


def write_scenes(folder: Path, train: int = 300, held_out: int = 100, seed: int = 0) -> None:
    """Write train/ and val/, a folder for each shape."""
    for number in range(train + held_out):
        drawn = scene(number, seed)
        split = "train" if number < train else "val"
        path = folder / split / drawn.shape / f"{drawn.shape}-{number:04d}.mp4"
        write_film(path, frames(drawn), RATE, sound=(waveform(drawn, number), SOUND_RATE))
