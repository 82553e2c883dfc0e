"""Figures of log-mel features with axes, and the same as sound."""

import math
import warnings

import numpy as np
import pytest
import soundfile
import torch
from matplotlib.figure import Figure
from PIL import Image

from maskedae.datasets.audio.drawing import HIDDEN, draw_spectrograms, scale, wrap, write_sounds
from maskedae.datasets.audio.fbank import Fbank

FBANK = Fbank()


def log_mel(frames=64):
    return FBANK(0.1 * torch.randn(FBANK.samples(frames)))


def share_hidden(path):
    """The share of a picture that is drawn in the colour of what is hidden."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    colour = [int(HIDDEN[place : place + 2], 16) for place in (1, 3, 5)]
    return (pixels == colour).all(-1).mean()


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw, and return the axes that were drawn, in order."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda it, *a, **k: (figures.append(it), save(it, *a, **k))
    )

    def draw(rows, note="a note", fbank=FBANK):
        draw_spectrograms(rows, note, fbank, tmp_path / "new" / "figure.png")
        with Image.open(tmp_path / "new" / "figure.png") as picture:
            assert picture.format == "PNG"
        return figures[-1]

    return draw


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (8, 4), (2, 13)])
def test_panels_do_not_overlap_and_fit(drawn, rows, columns):
    figure = drawn(
        [[("a caption of some length " * 3, log_mel(16))] * columns] * rows, "note " * 99
    )
    assert len(figure.axes) == rows * columns
    renderer = figure.canvas.get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    boxes += [text.get_window_extent(renderer) for text in figure.texts]
    for number, box in enumerate(boxes):
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        for other in boxes[:number]:
            apart = max(box.x0 - other.x1, other.x0 - box.x1, box.y0 - other.y1, other.y0 - box.y1)
            assert apart > -2  # pixels


def test_axes_are_seconds_and_hertz(drawn):
    axes = drawn([[("tone", log_mel(98))]]).axes[0]
    left, right = axes.get_xlim()
    assert (left, right) == (0, pytest.approx(0.98))
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["200 Hz", "500 Hz", "1 kHz", "2 kHz", "5 kHz"]
    for band, hertz in zip(axes.get_yticks(), (200, 500, 1000, 2000, 5000), strict=True):
        # Between the centres of the two bands that surround it.
        below, above = FBANK.centres()[math.floor(band)], FBANK.centres()[math.ceil(band)]
        assert below <= hertz <= above
    assert axes.get_ylim() == (-0.5, 127.5)  # low frequencies at the bottom


def test_what_is_hidden_is_gray(drawn, tmp_path):
    whole, half = log_mel(), log_mel()
    half[:32] = math.nan
    path = tmp_path / "new" / "figure.png"
    drawn([[("whole", whole)]])
    assert share_hidden(path) < 0.01
    drawn([[("half", half)]])
    some = share_hidden(path)
    drawn([[("none", torch.full((64, 128), math.nan))]])
    assert share_hidden(path) == pytest.approx(2 * some, rel=0.05)


def test_a_row_has_one_scale_and_each_row_its_own(drawn):
    quiet, loud = log_mel(), log_mel() + 5
    figure = drawn([[("a", quiet), ("b", quiet + 1)], [("c", loud), ("d", loud)]])
    limits = [axes.images[0].get_clim() for axes in figure.axes]
    assert limits[0] == limits[1]
    assert limits[2] == limits[3]
    assert limits[0] != limits[2]


def test_the_scale_leaves_out_what_is_not_finite():
    values = torch.tensor([[math.nan, -3.0], [5.0, -math.inf]])
    low, high = scale([values, torch.full((2, 2), math.nan)])
    assert -3 <= low < high <= 5


@pytest.mark.parametrize(
    "name", ["$x_2$", "a\udce9b", "音.wav", "x\ny\x07.wav", "", "%s {0} \\frac"]
)
def test_any_file_name(drawn, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        title = drawn([[(name, log_mel(16))]], name).axes[0].get_title(loc="left")
    assert title == wrap(name, 9)


def test_one_file_of_sound_for_every_column(tmp_path):
    rows = [[("a", log_mel(40)), ("b", log_mel(40))], [("a", log_mel(64)), ("b", log_mel(64))]]
    paths = [tmp_path / "new" / "a.wav", tmp_path / "new" / "b.wav"]
    write_sounds(rows, FBANK, paths)
    for path in paths:
        with soundfile.SoundFile(path) as file:
            assert (file.channels, file.samplerate, file.subtype) == (1, 16000, "PCM_16")
            values = file.read()
        first = FBANK.samples(40)
        assert len(values) == first + 8000 + FBANK.samples(64)
        assert not values[first : first + 8000].any()
        assert values[:first].any()
        assert values[first + 8000 :].any()
