import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402

from maskedae.datasets.films.films import open_film  # noqa: E402
from maskedae.datasets.films.writing import write_film  # noqa: E402

COUNT = 12


def pictures():
    return np.stack([numbered.picture(number) for number in range(COUNT)])


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "FILM.GIF"])
@pytest.mark.parametrize("rate", [30, 12.5, 29.97])
def test_what_is_written_can_be_read(tmp_path, name, rate):
    path = tmp_path / "new" / name
    write_film(path, torch.from_numpy(pictures()), rate)
    film = open_film(str(path))
    assert film.size == (48, 80)
    assert film.rate == pytest.approx(rate, rel=0.02)
    assert numbered.numbers(film.frames(range(COUNT))) == list(range(COUNT))
    assert [entry.name for entry in path.parent.iterdir()] == [name]


@pytest.mark.parametrize("height, width", [(47, 79), (1, 1), (16, 33)])
def test_sides_are_made_even_for_h264(tmp_path, height, width):
    path = str(tmp_path / "film.mp4")
    write_film(path, np.full((3, height, width, 3), (200, 40, 40), np.uint8))
    film = open_film(path)
    assert film.size == (height + height % 2, width + width % 2)
    assert np.abs(film.frames([2])[0].astype(int) - (200, 40, 40)).max() < 12


def test_every_player_takes_it(tmp_path):
    path = tmp_path / "film.mp4"
    write_film(path, pictures())
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # playing starts before it is there


def test_a_gif_repeats_with_one_palette(tmp_path):
    path = tmp_path / "film.gif"
    write_film(path, pictures(), rate=10)
    with Image.open(path) as image:
        assert image.info["loop"] == 0 and image.n_frames == COUNT
        assert image.info["duration"] == 100
    content = path.read_bytes()
    assert content[10] & 0x80  # a palette for all


def test_colours_of_a_gif_are_near(tmp_path):
    path = str(tmp_path / "film.gif")
    down, across = np.mgrid[0:1:64j, 0:1:64j]
    picture = np.stack([down, across, 1 - down], -1) * 255
    frames = np.stack([np.roll(picture, step, 1) for step in range(4)]).astype(np.uint8)
    write_film(path, frames)
    found = open_film(path).frames(range(4)).astype(int)
    assert np.abs(found - frames).mean() < 12


def test_what_is_no_film_is_not_written(tmp_path):
    path = tmp_path / "film.mp4"
    write_film(path, pictures())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="uint8"):
        write_film(path, pictures().astype(float))
    with pytest.raises(ValueError, match=r"\.mp4 or \.gif"):
        write_film(tmp_path / "film.txt", pictures())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["film.mp4"]
