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
from maskedae.datasets.av.screening import Shown, draw_film
from maskedae.datasets.films.drawing import strip
from maskedae.pictures import FAINT, FRAME, INK, PAPER

WIDTH, HEIGHT, ABREAST = 6.0, 1.2, 2  # inches of a panel and its spectrogram, panels in a line
LEFT, BESIDE, TITLE, GAP, TICKS, NOTE = 0.6, 0.2, 0.28, 0.06, 0.3, 0.45  # inches around them
TEXT = 0.14  # inches of a further line of text
ZERO = 1e-2  # log energies nearer to zero than this in all bands are no sound: it has ended
ABSENT = ("no pictures", "no sound")


class Line(NamedTuple):
    """Panels that are drawn side by side."""

    panels: list[Shown]
    strips: list[np.ndarray | None]  # of frames: (H, W, 1 or 3)
    limits: tuple[float, float]  # values of the sounds that are drawn darkest and brightest
    head: float  # inches of the longest caption


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
    draw_film(rows, sounds, note, fbank, interval, more[0])
    return [sheet, *more[: columns + 1]]


def draw_sheet(rows: list[list[Shown]], note: str, fbank: Fbank, path: Path) -> None:
    """Write a picture: panels of a sample side by side, each a strip of frames above its sound."""
    lines = [line for row in rows for line in broken(row)]
    shapes = [s.shape for line in lines for s in line.strips if s is not None]
    tall = max([WIDTH * height / width for height, width, _ in shapes], default=0.5)
    columns = max(len(line.panels) for line in lines)
    below = wrap(note, columns * WIDTH)
    foot = NOTE + TEXT * below.count("\n")
    heights = [line.head + tall + GAP + HEIGHT + TICKS for line in lines]
    size = (LEFT + columns * (WIDTH + BESIDE), sum(heights) + foot)
    figure = Figure(figsize=size, facecolor=PAPER)
    FigureCanvasAgg(figure)
    top = size[1]
    for line, height in zip(lines, heights, strict=True):
        draw_line(figure, line, top - line.head - tall, tall, fbank)
        top -= height
    figure.text(
        LEFT / size[0], 0.1 / size[1], below, fontsize=7, color=FAINT, va="bottom", parse_math=False
    )
    figure.savefig(path, dpi=DPI, format="png")


def draw_line(figure: Figure, line: Line, low: float, tall: float, fbank: Fbank) -> None:
    """Draw panels whose strips, so tall, begin at a height, in inches."""
    width, height = figure.get_size_inches()
    for number, (panel, picture) in enumerate(zip(line.panels, line.strips, strict=True)):
        left = (LEFT + number * (WIDTH + BESIDE)) / width
        above, below = (
            figure.add_axes((left, bottom / height, WIDTH / width, high / height))
            for bottom, high in ((low, tall), (low - GAP - HEIGHT, HEIGHT))
        )
        show(above, picture)
        hear(below, panel.log_mel, line.limits, fbank)
        text = wrap(panel.caption, WIDTH)
        above.set_title(text, fontsize=7, color=INK, loc="left", pad=3, parse_math=False)
        if number:
            below.set_yticklabels([])


def broken(row: list[Shown]) -> Iterator[Line]:
    """The panels of a sample in lines."""
    limits = scale([p.log_mel for p in row if p.log_mel is not None] or [torch.zeros(1)])
    for start in range(0, len(row), ABREAST):
        panels = row[start : start + ABREAST]
        strips = [None if p.film is None else strip(p.film).numpy() for p in panels]
        more = max(wrap(panel.caption, WIDTH).count("\n") for panel in panels)
        yield Line(panels, strips, limits, TITLE + TEXT * more)


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
