"""Figures of films with sound, and what files they take."""

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from maskedae.data import Panel
from maskedae.datasets.audio.reading import facts
from maskedae.datasets.audio_video import AudioVideo
from maskedae.datasets.films.films import open_film
from maskedae.pairs import Pair

DATA = AudioVideo(mels=32, interval=0.25)
NAMES = ("original", "masked", "imagined", "completed")


def panel(caption, heard=True, seen=True, end=96):
    """A red film of 4 frames, and noise that ends."""
    video = torch.zeros(3, 4, 16, 16)
    video[0] = 255
    audio = torch.randn(1, 96, 32) / 10
    mean, std = DATA.sounds.statistics
    audio[:, end:] = -mean / (2 * std)  # zeros before they were normalised
    there = torch.tensor([heard, seen])
    return Panel(caption, Pair(audio, DATA.videos.shade(video / 255), there[0], there[1]))


@pytest.fixture
def rows():
    return [
        [panel(name) for name in NAMES],
        [panel("film", heard=False), panel("film", heard=False)],
        [panel("sound", seen=False, end=50), panel("sound", seen=False)],
    ]


def test_a_figure_is_a_sheet_a_film_and_sounds(tmp_path, rows):
    path = tmp_path / "deep" / "grid.mp4"
    files = DATA.draw(rows, "a note", path)
    assert files == DATA.drawn(path)[: len(files)] and all(file.is_file() for file in files)
    names = ["grid.png", "grid.mp4", "grid-original.wav", "grid-masked.wav"]
    assert [file.name for file in files] == names
    sheet = np.asarray(Image.open(files[0]).convert("RGB")).astype(int)
    red = (sheet - [255, 0, 0]).__abs__().max(-1) < 30
    assert red[: len(red) // 2].mean() > 0.1 and not red[-len(red) // 5 :].any()
    film, sound = open_film(str(files[1])), facts(str(files[1]))
    assert film.rate == pytest.approx(4.0)
    assert sound.seconds == pytest.approx(len(film.times) / 4, abs=0.1)
    assert len(film.times) == 2 * 4 + 2 * 4 + 2 * 2  # two panels of a sample after each other
    original, rate = soundfile.read(files[2])
    lengths = (15600, 16000, DATA.sounds.fbank.samples(50))
    assert rate == 16000 and len(original) == sum(lengths) + 2 * 8000
    assert not original[15600 + 8000 :][:16000].any() and original[:15600].std() > 0


def test_a_picture_alone_is_a_sheet(tmp_path, rows):
    assert DATA.draw(rows[1:], "", tmp_path / "a.png") == [tmp_path / "a.png"]
    # Of pictures alone a film would come with it, which must not replace what is shown, either.
    assert DATA.drawn(tmp_path / "a.png") == [tmp_path / "a.png", tmp_path / "a.mp4"]
    with pytest.raises(ValueError, match="not as a.gif"):
        DATA.drawn(tmp_path / "a.gif")


def test_figures_of_one_kind_are_those_of_sounds_and_films(tmp_path):
    pair = panel("one").signal
    heard = DATA.draw([[Panel("one", pair.audio)]], "", tmp_path / "a.mp4")
    assert [file.name for file in heard] == ["a.png", "a-original.wav"]
    seen = DATA.draw([[Panel("one", pair.video)]], "", tmp_path / "b.mp4")
    assert [file.name for file in seen] == ["b.png", "b.mp4"]
    for file in (*heard, *seen):
        assert file in DATA.drawn(tmp_path / f"{file.name[0]}.mp4")


def test_frames_are_shown_amid_their_sound(tmp_path):
    """A film of a second whose last two frames are white, and two seconds of sound."""
    video = torch.zeros(3, 4, 16, 16)
    video[:, 2:] = 1
    pair = Pair(torch.randn(1, 200, 32), DATA.videos.shade(video), *torch.ones(2, dtype=torch.bool))
    path = DATA.draw([[Panel("x", pair)]], "", tmp_path / "a.mp4")[1]
    film = open_film(str(path))
    pixels = film.frames(range(len(film.times)))
    assert len(pixels) == 8
    frame = (pixels.min(-1) > 200)[:, 60:120, 30:100].mean(axis=(1, 2)) > 0.9
    assert frame.tolist() == [False] * 4 + [True] * 4  # dark from a half to one second, then held
    band = pixels[:, 175:225, 18:142].astype(int).min(-1)
    assert np.diff(band.mean(1).argmax(1)).min() > 10  # a line goes through
