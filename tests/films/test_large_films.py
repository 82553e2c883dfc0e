import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402
from numbered import KINDS  # noqa: E402

from maskedae.datasets.films import packets, with_pyav  # noqa: E402
from maskedae.datasets.films.films import open_film  # noqa: E402

SOUGHT = {
    "long.mp4": {"g": 12, "bf": 3},
    "open.mp4": {"g": 12, "bf": 3, "x264_params": "open-gop=1"},
    "ten_bits.mp4": {"codec": "libx265", "pixels": "yuv420p10le", "g": 12},
    "long.mkv": {"g": 12, "bf": 3},
    "long.ts": {"g": 12, "bf": 3},
    "long.avi": {"codec": "mpeg4", "bf": 2, "g": 12},
    "vp9.webm": {"codec": "libvpx-vp9", "g": 12},
    "motion.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return partial(numbered.make, tmp_path_factory.mktemp("films"))


@pytest.mark.parametrize("name", list(KINDS))
def test_large_films_show_the_same(made, name, monkeypatch):
    small = open_film(made(name), "pyav")
    count = len(small.times)
    whole = small.frames(range(count))
    monkeypatch.setattr(with_pyav, "KEPT", 0)
    film = open_film(made(name), "pyav")
    assert film.packets is None
    rng = np.random.default_rng(0)
    for _ in range(10):
        chosen = np.unique(rng.integers(0, count, rng.integers(1, 5))).tolist()
        assert np.array_equal(film.frames(chosen), whole[chosen])
    monkeypatch.setattr(with_pyav, "look", None)  # the second time it is known
    assert np.array_equal(open_film(made(name), "pyav").frames([3, count - 1]), whole[[3, -1]])


@pytest.mark.parametrize("name", list(SOUGHT))
def test_large_films_are_sought(tmp_path, name, monkeypatch):
    path = numbered.write(tmp_path / name, frames=900, **SOUGHT[name])
    monkeypatch.setattr(with_pyav, "KEPT", 0)
    film, read = open_film(path, "pyav"), []
    demux = with_pyav.demux
    counted = lambda *where: (read.append(packet) or packet for packet in demux(*where))  # noqa: E731
    monkeypatch.setattr(with_pyav, "demux", counted)
    monkeypatch.setattr(packets, "demux", counted)
    for chosen in ([850], [300, 303], [846, 897], [899], [13]):
        read.clear()
        assert numbered.numbers(film.frames(chosen)) == chosen
        assert len(read) <= 4 * 12 + chosen[-1] - chosen[0]
    film.frames([4, 440, 880])
    assert len(read) <= 12 * 12


def test_a_large_film_that_cannot_be_sought_is_read_from_its_start(made, monkeypatch):
    whole = open_film(made("b_frames.mp4"), "pyav").frames(range(60))
    monkeypatch.setattr(with_pyav, "KEPT", 0)
    monkeypatch.setattr(with_pyav, "INDICES", {})
    film = open_film(made("b_frames.mp4"), "pyav")
    film.index.sizes[40] += 1  # the file, as it seems, is another
    assert np.array_equal(film.frames([45]), whole[[45]])
    film.index.sizes[:] = 0
    assert np.array_equal(film.frames([45]), whole[[45]])
