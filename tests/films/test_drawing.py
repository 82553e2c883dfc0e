import numpy as np
import torch
from PIL import Image

from maskedae.datasets.films.drawing import draw_film, draw_strips, strip
from maskedae.datasets.films.films import open_film


def shades(frames, height=32, width=32):
    return (
        torch.arange(frames, dtype=torch.uint8)
        .mul(10)
        .view(1, -1, 1, 1)
        .expand(3, frames, height, width)
    )


def test_strips_show_frames_in_order():
    pixels = strip(shades(16))
    whites = (pixels[0] == 255).all(dim=-1)
    assert whites.sum() == 7 * 2  # gaps between eight frames
    middles = pixels[0, 80::162, 0].tolist()
    assert middles == sorted(middles) and (middles[0], middles[-1]) == (0, 150)
    assert strip(shades(3, 400, 200)).shape[:2] == (160, 3 * 80 + 2 * 2)


def test_films_and_sheets(tmp_path):
    rows = [[("original", shades(4)), ("masked, gray", shades(6)[:1])]]
    draw_strips(rows, "a note", tmp_path / "new" / "sheet.png")
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.width > 4 * 160
    for name in ("film.mp4", "film.gif"):
        draw_film(rows, "a note", tmp_path / name)
        film = open_film(str(tmp_path / name), "pyav")
        assert len(film.times) == 6
        first, last = film.frames([0, 5], None)
        assert np.abs(first.astype(int) - last).max() > 20
