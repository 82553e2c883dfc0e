"""Panels of films with sound as a film: all of a sample are seen, one after the other is heard."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from maskedae.datasets.audio.drawing import HIDDEN, scale
from maskedae.datasets.audio.fbank import Fbank
from maskedae.datasets.films.drawing import at
from maskedae.datasets.films.writing import write_film
from maskedae.pictures import PANEL, Cell, contact_sheet

BAND = 64  # pixels of the height of a spectrogram
CURSOR = 2  # and of the width of the line that goes through it
Picture = NDArray[np.uint8]
Wave = NDArray[np.float32]


class Shown(NamedTuple):
    """A panel: what is NaN or gray is hidden; None is absent."""

    caption: str
    film: Tensor | None  # uint8 (1 or 3, T, H, W)
    log_mel: Tensor | None  # (T, F)


def draw_film(
    rows: list[list[Shown]],
    sounds: list[list[Wave]],
    note: str,
    fbank: Fbank,
    interval: float,
    path: Path,
) -> None:
    """Write a film in which the panels of every sample play in turn, each with its sound.

    Frames, so many seconds apart, are shown amid the sound, as they lie in it where nothing is
    drawn by chance.
    """
    step, rate = interval * fbank.rate, fbank.rate
    sheets, track = list[Picture](), list[Wave]()
    for row, heard in zip(rows, sounds, strict=True):
        bands = spectrograms(row)
        for playing, sound in enumerate(heard):
            film = row[playing].film
            length = 1 if film is None else film.shape[1]
            count = max(length, round(len(sound) / step))
            late, samples = (count - length) // 2, round(count * step)
            for moment in range(count):
                passed = moment * step / (fbank.shift * bands[playing].shape[1])
                places = [
                    (moment - late, passed) if n == playing else None for n in range(len(row))
                ]
                sheets.append(sheet(row, bands, places, note))
            track.append(np.pad(sound, (0, max(0, samples - len(sound))))[:samples])
    height, width = (max(one.shape[axis] for one in sheets) for axis in (0, 1))
    whole = np.full((len(sheets), height, width, 3), 255, np.uint8)
    for frame, one in zip(whole, sheets, strict=True):
        frame[: one.shape[0], : one.shape[1]] = one
    write_film(path, whole, 1 / interval, sound=(np.concatenate(track), rate))


def spectrograms(row: list[Shown]) -> list[Picture]:
    """Pictures of the sounds of a sample, on one scale of colours; gray is hidden, or absent."""
    low, high = scale([p.log_mel for p in row if p.log_mel is not None] or [torch.zeros(1)])
    hidden = np.array(to_rgb(HIDDEN))
    found = []
    for panel in row:
        values = torch.full((1, 1), torch.nan) if panel.log_mel is None else panel.log_mel
        shades = ((values - low) / (high - low)).clamp(0, 1).numpy().T[::-1]
        colours = colormaps["magma"](shades)[..., :3]
        colours[np.isnan(shades)] = hidden
        found.append((255 * colours).astype(np.uint8))
    return found


def sheet(
    row: list[Shown], bands: list[Picture], places: list[tuple[int, float] | None], note: str
) -> Picture:
    """All panels of a sample, frames above spectrograms: (H, W, 3).

    Places are the frame, and the share of the sound that has passed, of the panel that is heard.
    """
    cells = []
    for panel, band, place in zip(row, bands, places, strict=True):
        film = (
            torch.full((3, 1, 1, 1), 200, dtype=torch.uint8) if panel.film is None else panel.film
        )
        frame = at(film, max(0, place[0] if place else 0)).numpy()
        frame = frame.repeat(3 // frame.shape[2], 2)
        frame = frame.repeat(factor := -(-PANEL // max(frame.shape[:2])), 0).repeat(factor, 1)
        size = (frame.shape[1], BAND)
        sound = np.array(Image.fromarray(band).resize(size, Image.Resampling.BILINEAR))
        if place:
            cursor = min(int(place[1] * frame.shape[1]), frame.shape[1] - CURSOR)
            sound[:, cursor : cursor + CURSOR] = 255
        caption = panel.caption + " (heard)" * bool(place)
        cells.append(Cell(caption, np.concatenate([frame, sound])))
    return np.asarray(contact_sheet([cells], note))
