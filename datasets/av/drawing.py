"""Figures of films with sound: frames above their spectrogram on a sheet, and a film to hear."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from maskedae.datasets.audio.drawing import DPI, HEARD, HIDDEN, PAUSE, draw, scale, wrap
from maskedae.datasets.audio.fbank import Fbank
from maskedae.datasets.audio.inversion import to_waveform
from maskedae.datasets.films.drawing import at, strip
from maskedae.datasets.films.writing import write_film
from maskedae.pictures import FAINT, FRAME, INK, PAPER, Cell, contact_sheet

WIDTH, HEIGHT, ABREAST = 6.0, 1.2, 2  # inches of a panel and its spectrogram, panels in a line
LEFT, TITLE, TICKS, NOTE = 0.6, 0.28, 0.3, 0.45  # inches beside, above and below them
ZERO = 1e-2  # log energies nearer to zero than this in all bands are no sound: it has ended
ABSENT = ("no pictures", "no sound")


class Shown(NamedTuple):
    """A panel: what is NaN or gray is hidden; None is absent."""

    caption: str
    film: Tensor | None  # uint8 (1 or 3, T, H, W)
    log_mel: Tensor | None  # (T, F)


def figure_files(path: Path) -> list[Path]:
    """A sheet and, unless it is all that is asked for, a film and what is heard of its columns."""
    kind = path.suffix.lower()
    if kind not in (".png", ".mp4", ".wav"):
        raise ValueError(
            f"films with sound are drawn as .png, or as .png, .mp4 and .wav together, not as "
            f"{path.name}"
        )
    heard = [path.with_name(f"{path.stem}-{column}.wav") for column in HEARD]
    more = [path.with_suffix(".mp4"), *heard]
    return [path.with_suffix(".png"), *(more if kind != ".png" else [])]


def draw_figure(
    rows: list[list[Shown]], note: str, fbank: Fbank, interval: float, path: Path
) -> list[Path]:
    """Write the files of a figure, frames being so many seconds apart, and return them."""
    sheet, *more = figure_files(path)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(rows, note, fbank, sheet)
    if not more:
        return [sheet]
    columns = min(len(HEARD), *map(len, rows))
    sounds = [[heard(panel, row[0], fbank) for panel in row[:columns]] for row in rows]
    pause = np.zeros(round(PAUSE * fbank.rate), np.float32)
    for number, file in enumerate(more[1 : columns + 1]):
        parts = [part for row in sounds for part in (pause, row[number])][1:]
        soundfile.write(file, np.concatenate(parts), fbank.rate, format="WAV", subtype="PCM_16")
    draw_film(rows, sounds, note, (interval, fbank.rate), more[0])
    return [sheet, *more[: columns + 1]]


def draw_sheet(rows: list[list[Shown]], note: str, fbank: Fbank, path: Path) -> None:
    """Write a picture: panels of a sample side by side, each a strip of frames above its sound."""
    lines, owners = zip(*((line, row) for row in rows for line in broken(row)), strict=True)
    strips = [[None if p.film is None else strip(p.film).numpy() for p in line] for line in lines]
    shapes = [s.shape for line in strips for s in line if s is not None]
    tall = max([WIDTH * height / width for height, width, _ in shapes], default=0.5)
    each = TITLE + tall + 0.06 + HEIGHT + TICKS
    size = (LEFT + min(ABREAST, max(map(len, rows))) * (WIDTH + 0.2), each * len(lines) + NOTE)
    figure = Figure(figsize=size, facecolor=PAPER)
    FigureCanvasAgg(figure)
    limits = {
        id(row): scale([p.log_mel for p in row if p.log_mel is not None] or [torch.zeros(1)])
        for row in rows
    }
    top = size[1]
    for line, pictures, row in zip(lines, strips, owners, strict=True):
        for number, (panel, picture) in enumerate(zip(line, pictures, strict=True)):
            left = LEFT + number * (WIDTH + 0.2)
            boxes = ((top - TITLE - tall, tall), (top - TITLE - tall - 0.06 - HEIGHT, HEIGHT))
            above, below = (
                figure.add_axes((left / size[0], low / size[1], WIDTH / size[0], high / size[1]))
                for low, high in boxes
            )
            show(above, picture)
            hear(below, panel.log_mel, limits[id(row)], fbank)
            above.set_title(
                wrap(panel.caption, WIDTH),
                fontsize=7,
                color=INK,
                loc="left",
                pad=3,
                parse_math=False,
            )
            if number:
                below.set_yticklabels([])
        top -= each
    figure.text(LEFT / size[0], 0.1 / size[1], wrap(note, size[0] - LEFT), fontsize=7, color=FAINT)
    figure.savefig(path, dpi=DPI, format="png")


def broken(row: list[Shown]) -> Iterator[list[Shown]]:
    """The panels of a sample in lines."""
    yield from (row[start : start + ABREAST] for start in range(0, len(row), ABREAST))


def show(axes: Axes, picture: np.ndarray | None) -> None:
    """Draw a strip of frames (H, W, 1 or 3)."""
    axes.set_axis_off()
    if picture is None:
        axes.text(0.5, 0.5, ABSENT[0], ha="center", va="center", fontsize=7, color=FAINT)
        return
    gray = picture.shape[2] == 1
    axes.imshow(picture[..., 0] if gray else picture, cmap="gray", vmin=0, vmax=255, aspect="auto")


def hear(axes: Axes, log_mel: Tensor | None, limits: tuple[float, float], fbank: Fbank) -> None:
    """Draw a spectrogram (T, F)."""
    if log_mel is not None:
        draw(axes, log_mel, limits, fbank)
        return
    axes.set_facecolor(HIDDEN)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(FRAME)
    axes.text(0.5, 0.5, ABSENT[1], ha="center", va="center", fontsize=7, color=FAINT)


def heard(panel: Shown, original: Shown, fbank: Fbank) -> np.ndarray:
    """How a panel sounds, as long as the original is: (samples,); silence where there is none."""
    if panel.log_mel is None or original.log_mel is None:
        return np.zeros(fbank.rate, np.float32)
    going = (original.log_mel.abs() > ZERO).any(1).nonzero()
    end = int(going[-1]) + 1 if len(going) else 1
    return to_waveform(panel.log_mel[:end], fbank).numpy().astype(np.float32)


def draw_film(
    rows: list[list[Shown]],
    sounds: list[list[np.ndarray]],
    note: str,
    clocks: tuple[float, int],
    path: Path,
) -> None:
    """Write a film in which the panels of every sample play in turn, each with its sound.

    `clocks` are seconds from frame to frame, and samples in a second. Frames are shown amid the
    sound, as they lie in it where nothing is drawn by chance.
    """
    interval, rate = clocks
    sheets, track = list[np.ndarray](), list[np.ndarray]()
    for row, heards in zip(rows, sounds, strict=True):
        for playing, sound in enumerate(heards):
            film = row[playing].film
            length = 1 if film is None else film.shape[1]
            heard = round(len(sound) / rate / interval)
            count, late = max(length, heard), max(0, heard - length) // 2
            sheets += [sheet(row, playing, moment - late, note) for moment in range(count)]
            track.append(np.pad(sound, (0, max(0, round(count * interval * rate) - len(sound)))))
            track[-1] = track[-1][: round(count * interval * rate)]
    height, width = (max(s.shape[axis] for s in sheets) for axis in (0, 1))
    whole = np.full((len(sheets), height, width, 3), 255, np.uint8)
    for frame, one in zip(whole, sheets, strict=True):
        frame[: one.shape[0], : one.shape[1]] = one
    write_film(path, whole, 1 / interval, sound=(np.concatenate(track), rate))


def sheet(row: list[Shown], playing: int, moment: int, note: str) -> np.ndarray:
    """All panels of a sample, one of them at a moment, the others at rest: (H, W, 3)."""
    cells = []
    for number, panel in enumerate(row):
        film = (
            torch.full((3, 1, 8, 8), 200, dtype=torch.uint8) if panel.film is None else panel.film
        )
        now = max(0, moment) if number == playing else 0
        cells.append(Cell(panel.caption + " (heard)" * (number == playing), at(film, now)))
    return np.asarray(contact_sheet([cells], note))
