"""Figures: rows of small pictures with a caption above each and a note below them all."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from maskedae.masking import PixelMasker

MARGIN, GAP = 16, 12  # pixels around the figure, between panels
SIZE, LINE = 13, 17  # pixels of the font, per line of text
PANEL = 128  # a panel's longer side is at least so long
COLUMN, FIGURE = 112, 360  # room for captions above narrow panels, for a note under few
PAPER, INK, FAINT, FRAME = "#ffffff", "#1f2328", "#59636e", "#d1d9e0"


class Cell(NamedTuple):
    """A picture and the line above it."""

    caption: str
    pixels: Tensor | np.ndarray  # (H, W, 3) or (H, W, 1), uint8


def contact_sheet(rows: Sequence[Sequence[Cell]], note: str = "") -> Image.Image:
    """Lay rows of pictures out on one sheet."""
    panels = [[enlarge(cell.pixels) for cell in row] for row in rows]
    columns = zip_longest(*([panel.width + 2 for panel in row] for row in panels), fillvalue=0)
    widths = [max(COLUMN, *column) for column in columns]  # the frame takes two pixels
    width = max(sum(widths) + GAP * (len(widths) - 1), FIGURE)
    strips = [
        strip([cell.caption for cell in row], pictures, widths, width)
        for row, pictures in zip(rows, panels, strict=True)
    ]
    lines = [line for part in note.splitlines() for line in wrap(part, width)]
    strips.append(Image.new("RGB", (width, LINE * len(lines)), PAPER))
    write(strips[-1], lines, 0, 0, FAINT)
    height = sum(strip.height for strip in strips)
    sheet = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN), PAPER)
    top = MARGIN
    for part in strips:
        sheet.paste(part, (MARGIN, top))
        top += part.height
    return sheet


def strip(
    captions: list[str], panels: list[Image.Image], widths: list[int], width: int
) -> Image.Image:
    """Lay one row out, captions above panels."""
    texts = [wrap(caption, room) for caption, room in zip(captions, widths, strict=False)]
    head = LINE * max(map(len, texts), default=0) + 5
    height = head + max((panel.height for panel in panels), default=0) + GAP
    row, left = Image.new("RGB", (width, height), PAPER), 0
    for panel, lines, room in zip(panels, texts, widths, strict=False):
        # Short captions stand right above their picture, not at the top of the tallest.
        write(row, lines, left, head - 5 - LINE * len(lines), INK)
        frame = (left, head - 1, left + panel.width + 1, head + panel.height)
        ImageDraw.Draw(row).rectangle(frame, outline=FRAME)
        row.paste(panel, (left + 1, head))
        left += room + GAP
    return row


def enlarge(pixels: Tensor | np.ndarray) -> Image.Image:
    """Show small pictures with every pixel a square, large ones as they are."""
    values = np.asarray(pixels)
    if values.ndim != 3 or values.shape[2] not in (1, 3) or values.dtype != np.uint8:
        raise ValueError(f"a panel is uint8 (H, W, 3 or 1), not {values.dtype} {values.shape}")
    image = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values).convert("RGB")
    factor = -(-PANEL // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def wrap(text: str, width: int) -> list[str]:
    """Break a text into lines that fit, between words where possible."""
    font = ImageFont.load_default(SIZE)
    # A file name may hold bytes that are no text, and line breaks.
    words = text.encode("utf-8", "replace").decode().split()
    lines: list[str] = []
    for word in words:
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def write(sheet: Image.Image, lines: list[str], left: int, top: int, colour: str) -> None:
    """Write lines of text under each other."""
    font = ImageFont.load_default(SIZE)
    for number, line in enumerate(lines):
        place = (left, top + LINE * number)
        ImageDraw.Draw(sheet).text(place, line, fill=colour, font=font)


def picture_masker(path: str) -> PixelMasker:
    """Hide what is white in a black-and-white picture."""
    with Image.open(path) as picture:
        return PixelMasker(torch.from_numpy(np.array(picture.convert("L")) > 127))
