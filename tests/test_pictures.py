import numpy as np
import pytest
import torch
from PIL import ImageFont

from maskedae.pictures import SIZE, Cell, contact_sheet, enlarge, wrap

FONT = ImageFont.load_default(SIZE)
RED = torch.tensor([255, 0, 0], dtype=torch.uint8)


def colours(sheet):
    return {colour: count for count, colour in sheet.getcolors(sheet.width * sheet.height)}


@pytest.mark.parametrize(
    ("size", "shown"), [((32, 32), 128), ((100, 50), 200), ((224, 96), 224), ((1, 1), 128)]
)
def test_small_pictures_grow_by_whole_factors(size, shown):
    pixels = torch.randint(256, (*size, 3), dtype=torch.uint8)
    panel = np.asarray(enlarge(pixels))
    factor = shown // max(size)
    assert max(panel.shape) == shown
    assert (panel == np.kron(pixels, np.ones((factor, factor, 1), np.uint8))).all()


def test_every_panel_is_shown_whole():
    cells = [Cell("", RED.expand(200, 150, 3)) for _ in range(3)]
    sheet = contact_sheet([cells, cells[:2]])
    assert colours(sheet)[255, 0, 0] == 5 * 200 * 150


def test_gray_panels_and_arrays():
    sheet = contact_sheet([[Cell("", np.full((128, 128, 1), 77, np.uint8))]])
    assert colours(sheet)[77, 77, 77] == 128 * 128


@pytest.mark.parametrize("pixels", [torch.zeros(3, 8, 8), torch.zeros(8, 8, 4).byte()])
def test_what_is_no_panel_is_refused(pixels):
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3 or 1\), not"):
        enlarge(pixels)


@pytest.mark.parametrize(
    "text", ["a short one", "word " * 30, "w" * 300, "x\udcff\n\ty", "", "日本"]
)
def test_captions_stay_in_their_column(text):
    lines = wrap(text, 112)
    assert all(FONT.getlength(line) <= 112 for line in lines)
    said = text.encode("utf-8", "replace").decode()
    assert "".join(lines).replace(" ", "") == "".join(said.split())


def test_long_captions_do_not_touch_their_neighbours():
    blank = torch.full((128, 128, 3), 255, dtype=torch.uint8)
    long = Cell("many_words_without_a_break" * 5 + " and some with breaks" * 5, blank)
    sheet = np.asarray(contact_sheet([[long, long, long]]))
    for column in range(2):
        gap = sheet[:, 16 + (128 + 2 + 12) * (column + 1) - 10 :][:, :8]
        assert (gap == 255).all()


def test_note_is_wrapped_below_and_keeps_its_lines():
    cell = Cell("", RED.expand(128, 128, 3))
    without = contact_sheet([[cell]])
    short = contact_sheet([[cell]], "one\ntwo")
    long = contact_sheet([[cell]], "word " * 100)
    assert without.height < short.height < long.height
    assert without.width == short.width == long.width
    below = np.asarray(short)[without.height - 16 :]
    assert (below != 255).any()


def test_an_empty_sheet_is_paper():
    assert set(colours(contact_sheet([]))) == {(255, 255, 255)}
