"""Films of shapes that bounce: what is seen and what is heard agree, also after the codecs."""

from dataclasses import replace

import numpy as np
import pytest

from maskedae.datasets.audio.reading import read
from maskedae.datasets.films.films import open_film
from maskedae.datasets.scenes import (
    FLOOR,
    FRAMES,
    RATE,
    SHAPES,
    SOUND_RATE,
    frames,
    scene,
    waveform,
    write_scenes,
)

FRAME = 1 / RATE
COUNT = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, train=5, held_out=COUNT - 5)
    return root


def path_of(folder, number):
    (path,) = folder.glob(f"*/*/*-{number:04d}.mp4")
    return path


def onsets(samples):
    """Seconds at which a sound becomes loud."""
    loud = np.abs(samples[: len(samples) // 80 * 80]).reshape(-1, 80).max(1)  # of each 5 ms
    before = np.array([loud[max(0, n - 8) : n].max(initial=0) for n in range(len(loud))])
    rises = np.flatnonzero((loud > 0.4 * loud.max()) & (loud > 1.5 * before)) * 80 / SOUND_RATE
    return rises[np.diff(rises, prepend=-1) > 0.2]


def flashes(pixels):
    """Seconds at which the floor lights up."""
    light = pixels[:, FLOOR + 2 :].mean(axis=(1, 2, 3)) > 160
    return np.flatnonzero(light & ~np.append(False, light[:-1])) * FRAME


@pytest.mark.parametrize("number", range(COUNT))
def test_what_bounces_sounds(folder, number):
    path, bounces = str(path_of(folder, number)), scene(number).bounces
    film = open_film(path)
    seen = flashes(film.frames(range(FRAMES)))
    heard = onsets(read(path, SOUND_RATE).numpy())
    assert len(film.times) == FRAMES and film.rate == pytest.approx(RATE)
    inside = bounces[bounces < FRAMES * FRAME - 0.1]
    assert len(inside) >= 2
    for bounce in inside:
        assert np.abs(heard - bounce).min() < 0.03
        assert np.abs(seen - bounce).min() < FRAME
        assert np.abs(heard[:, None] - seen).min(0).max() < 1.5 * FRAME


def test_folders_are_shapes(folder):
    for split in ("train", "val"):
        assert sorted(path.name for path in (folder / split).iterdir()) == sorted(SHAPES)
    assert len(list(folder.glob("*/*/*.mp4"))) == COUNT


def test_a_seed_makes_the_same_films(folder, tmp_path):
    write_scenes(tmp_path / "again", train=2, held_out=0)
    write_scenes(tmp_path / "other", train=1, held_out=0, seed=1)
    for number in range(2):
        again = path_of(tmp_path / "again", number)
        assert again.read_bytes() == path_of(folder, number).read_bytes()
    assert path_of(tmp_path / "other", 0).read_bytes() != path_of(folder, 0).read_bytes()


def test_what_is_seen_tells_what_is_heard():
    """Of a scene changed in one thing, both picture and sound change."""
    base = replace(scene(0), hue=0.2, radius=8.0, period=0.9, first=0.3)
    other = {"shape": "ring", "hue": 0.6, "radius": 12.0, "period": 1.3, "first": 0.5}
    for name, value in other.items():
        changed = replace(base, **{name: value})
        assert (frames(changed) != frames(base)).any()
        assert np.abs(waveform(changed) - waveform(base)).max() > 0.03
    assert (waveform(replace(base, speed=3.0, left=20.0)) == waveform(base)).all()
    pixels, sound = frames(base), waveform(base)
    assert pixels.shape == (FRAMES, 64, 64, 3) and sound.shape == (FRAMES * SOUND_RATE // 8,)
    assert np.abs(sound).max() <= 1
