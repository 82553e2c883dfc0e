"""Clips from a film, in the process that asks."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskedae.datasets.films.film import FRAME_RATE, Film, Pixels, Refused, Times
from maskedae.datasets.films.films import Decoder, open_film
from maskedae.datasets.films.moments import Moments, within

WORTH = 1.25  # times as long as wanted is a side whose shrinking costs less than it saves


class Frames(NamedTuple):
    """Clips of a film, that share the frames they have in common."""

    pixels: Pixels  # (frames, H, W, 3)
    clips: NDArray[np.int64]  # (V, T) which of the pixels
    begins: Times  # (V,) seconds at which each clip does


@dataclass(frozen=True)
class Order:
    """Which clips of a film are wanted: drawn by chance, or the views of a test."""

    path: str
    moments: Moments
    chances: NDArray[np.float64] | None = None  # (V, T) from [0, 1), for V clips by chance
    views: int = 1  # without chances: this many, spread evenly
    window: tuple[float, float] | None = None  # seconds between which the clips lie
    short_side: int | None = None  # what is larger is made this small
    decoder: Decoder = "auto"
    frame_rate: float = FRAME_RATE  # of a folder of pictures
    track: bool = False  # whether the sound is wanted, too


def read_clips(order: Order) -> Frames:
    """Decode every frame once that a clip wants. Raises Refused."""
    film = film_of(order)
    try:
        return clips_of(film, order)
    finally:
        film.close()


def film_of(order: Order) -> Film:
    """Open the film of which clips are wanted. Raises Refused."""
    return open_film(order.path, order.decoder, order.frame_rate, order.track)


def clips_of(film: Film, order: Order) -> Frames:
    """Decode clips of an open film; refuse them where most of their frames would be held ones."""
    chosen = choose(order, film.times)
    wanted, clips = np.unique(chosen, return_inverse=True)
    before = film.lost
    pixels = film.frames(wanted.tolist(), shrunk(film.size, order.short_side))
    lost = film.lost - before
    if 2 * lost > len(wanted):
        raise Refused(f"{lost} of {len(wanted)} frames cannot be decoded")
    return Frames(pixels, clips.reshape(chosen.shape), film.times[chosen[:, 0]])


def choose(order: Order, times: Times) -> NDArray[np.int64]:
    """Numbers of the frames of every clip: (frames in the film,) -> (V, T)."""
    first, stop = (0, len(times)) if order.window is None else within(times, order.window)
    inside, moments = times[first:stop], order.moments
    if order.chances is not None:
        clips = [moments.draw(inside, chances) for chances in order.chances]
    else:
        clips = [moments.view(inside, number, order.views) for number in range(order.views)]
    return np.stack(clips) + first


def shrunk(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """Size with a shorter side as asked for, or as it is where little would be saved.

    >>> shrunk((240, 320), 128), shrunk((150, 140), 128), shrunk((4000, 1), None)
    ((128, 171), (150, 140), (4000, 1))
    """
    if short_side is None or min(size) < WORTH * short_side:
        return size
    height, width = (max(1, round(side * short_side / min(size))) for side in size)
    return height, width
