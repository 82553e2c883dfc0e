"""Figures of log-mel features with axes of time and frequency, and the same as sound."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import soundfile
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from torch import Tensor

from maskedae.datasets.audio.fbank import Fbank
from maskedae.datasets.audio.inversion import to_waveform
from maskedae.pictures import FAINT, FRAME, INK, PAPER

HIDDEN = "#c9ced4"
WIDTH, HEIGHT, DPI = 2.6, 1.5, 130  # inches of a panel
LETTERS = 13  # of a caption to an inch
HERTZ = (200, 500, 1000, 2000, 5000, 10000, 20000)
SPREAD = (0.01, 0.995)  # quantiles that are black and white: one loud moment darkens nothing
PAUSE = 0.5  # seconds between sounds
HEARD = ("original", "masked", "imagined", "completed")  # the first columns of a figure

Panel = tuple[str, Tensor]  # a caption, and log energies (T, F), NaN where hidden or absent


def figure_files(path: Path) -> list[Path]:
    """A picture, and, if the path is one of a sound, what is heard of its first columns."""
    kind = path.suffix.lower()
    if kind not in (".png", ".wav"):
        raise ValueError(
            f"sounds are drawn as .png, or as .wav and .png together, not as {path.name}"
        )
    heard = [path.with_name(f"{path.stem}-{column}.wav") for column in HEARD]
    return [path.with_suffix(".png"), *(heard if kind == ".wav" else [])]


def draw_figure(rows: list[list[Panel]], note: str, fbank: Fbank, path: Path) -> list[Path]:
    """Write the files of a figure, and return them."""
    picture, *heard = figure_files(path)
    heard = heard[: max(map(len, rows))]
    draw_spectrograms(rows, note, fbank, picture)
    if heard:
        write_sounds([row[: len(heard)] for row in rows], fbank, heard)
    return [picture, *heard]


def draw_spectrograms(rows: list[list[Panel]], note: str, fbank: Fbank, path: Path) -> None:
    """Write a picture with a row of spectrograms for every sample, one scale of colours in each."""
    columns = max(map(len, rows))
    captions = [[wrap(caption, WIDTH) for caption, _ in row] for row in rows]
    lines = [max(caption.count("\n") + 1 for caption in row) for row in captions]
    below = wrap(note, columns * WIDTH + 0.4)
    heights = [HEIGHT + 0.16 * count + 0.3 for count in lines]
    foot = 0.16 * (below.count("\n") + 1) + 0.25
    size = (columns * WIDTH + 0.8, sum(heights) + foot)
    figure = Figure(figsize=size, facecolor=PAPER)
    FigureCanvasAgg(figure)
    top = size[1]
    for row, texts, height in zip(rows, captions, heights, strict=True):
        limits = scale([log_mel for _, log_mel in row])
        top -= height
        for number, ((_, log_mel), text) in enumerate(zip(row, texts, strict=True)):
            place = (0.6 + number * WIDTH, top + 0.1, WIDTH - 0.15, HEIGHT)
            box = [value / size[axis % 2] for axis, value in enumerate(place)]
            axes = figure.add_axes((box[0], box[1], box[2], box[3]))
            draw(axes, log_mel, limits, fbank)
            axes.set_title(text, fontsize=7, color=INK, loc="left", pad=3, parse_math=False)
            if number:
                axes.set_yticklabels([])
    figure.text(
        0.6 / size[0], 0.1 / size[1], below, fontsize=7, color=FAINT, va="bottom", parse_math=False
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, format="png")


def draw(axes: Axes, log_mel: Tensor, limits: tuple[float, float], fbank: Fbank) -> None:
    """Draw one spectrogram, low frequencies at the bottom: (T, F)."""
    values = log_mel.detach().float().cpu().numpy()
    # A frame is drawn from where it begins to where the next one does.
    end = len(values) * fbank.shift / fbank.rate
    axes.imshow(
        np.ma.masked_invalid(values).T,
        cmap=colormaps["magma"].with_extremes(bad=HIDDEN),
        vmin=limits[0],
        vmax=limits[1],
        extent=(0.0, end, -0.5, fbank.mels - 0.5),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    bands = np.interp(HERTZ, fbank.centres().numpy(), np.arange(fbank.mels), np.nan, np.nan)
    ticks = {
        band: f"{hertz} Hz" if hertz < 1000 else f"{hertz // 1000} kHz"
        for hertz, band in zip(HERTZ, bands.tolist(), strict=True)
        if band == band
    }
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.locator_params("x", nbins=5, prune="upper")
    axes.xaxis.set_major_formatter("{x:g} s")
    axes.tick_params(length=2, colors=FAINT, labelsize=6)
    axes.spines[:].set_color(FRAME)


def scale(panels: Sequence[Tensor]) -> tuple[float, float]:
    """Values that are drawn darkest and brightest, of all that are finite in a row."""
    values = torch.cat([panel.detach().float().cpu().flatten() for panel in panels])
    values = values[values.isfinite()]
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values.numpy(), SPREAD).tolist()
    return low, max(high, low + 1.0)


def wrap(text: str, inches: float) -> str:
    """Break a text into lines that fit, with ? for letters that the font lacks."""
    known = get_font(findfont(FontProperties())).get_charmap()
    lines = (" ".join(line.split()) for line in text.splitlines())
    plain = ("".join(letter if ord(letter) in known else "?" for letter in line) for line in lines)
    return "\n".join(fill(line, int(inches * LETTERS)) for line in plain)


def write_sounds(rows: list[list[Panel]], fbank: Fbank, paths: Sequence[Path]) -> None:
    """Write one WAV per column: the sounds of all rows one after the other."""
    pause = torch.zeros(round(PAUSE * fbank.rate))
    for number, path in enumerate(paths):
        sounds = [to_waveform(row[number][1], fbank) for row in rows]
        parts = [part for sound in sounds for part in (pause, sound)][1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        values = torch.cat(parts).numpy()
        soundfile.write(path, values, fbank.rate, format="WAV", subtype="PCM_16")
