"""Pictures with what is on them in boxes: a colour for every class, a name on every box."""

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Place = tuple[float, float, float, float]  # left, top, right, bottom
TURN = 0.618034  # of the circle of hues from one class to the next: no two of a few are alike
VEIL = 0.4  # how much a mask hides of what is under it
TEXT, LARGEST = 11, 40  # pixels of the smallest and the largest font
LETTERS = 24  # of a name that are shown
SMALL = 200  # pixels of the shorter side of a picture that names wider than their boxes would fill


def draw_boxes(
    pixels: Tensor,
    boxes: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    scores: Tensor | None = None,
    masks: Tensor | None = None,
) -> Tensor:
    """Draw boxes with names, and scores and masks where there are any, on a picture.

    uint8 (3 or 1, h, w), boxes (n, 4), labels (n,), scores (n,), masks (n, h, w) bool or
    probabilities -> uint8 (3, h, w).
    """
    names = [shortened(classes[label]) for label in labels.tolist()]
    if scores is not None:
        names = [f"{name} {s:.2f}" for name, s in zip(names, scores.tolist(), strict=True)]
    colours = [colour(label) for label in labels.tolist()]
    picture = pixels.cpu().expand(3, -1, -1)
    if masks is not None:
        picture = veil(picture, masks.cpu(), colours)
    image = Image.fromarray(np.ascontiguousarray(picture.movedim(0, -1).numpy()))
    places = within(boxes.cpu(), image.size)
    draw, thick = ImageDraw.Draw(image), max(1, round(min(image.size) / 300))
    for place, shade in reversed(list(zip(places, colours, strict=True))):  # the surest on top
        draw.rectangle(place, outline=shade, width=thick)
    write_names(draw, names, places, colours, image.size)
    return torch.from_numpy(np.array(image)).movedim(-1, 0)


def colour(label: int) -> tuple[int, int, int]:
    """The colour of a class, the same on every picture.

    >>> colour(0)
    (255, 56, 56)
    """
    red, green, blue = colorsys.hsv_to_rgb(label * TURN % 1, 0.78, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def ink(shade: tuple[int, int, int]) -> str:
    """What can be read on a colour.

    >>> ink((255, 255, 0)), ink((0, 0, 255))
    ('black', 'white')
    """
    red, green, blue = shade
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"


def shortened(name: str) -> str:
    r"""A class name on one line, whatever it holds.

    >>> shortened("a cell with a name that nobody reads"), shortened("two\nlines")
    ('a cell with a name that…', 'two lines')
    """
    text = " ".join(name.encode("utf-8", "replace").decode().split())
    return text if len(text) <= LETTERS else text[: LETTERS - 1].rstrip() + "…"


def within(boxes: Tensor, size: tuple[int, int]) -> list[Place]:
    """The pixels on the edge of every box, none of them outside a picture of that width, height."""
    last = torch.tensor([*size, *size]) - 1
    edges = boxes.nan_to_num().round() - torch.tensor([0, 0, 1, 1])
    edges = torch.minimum(edges.clamp(min=0), last)
    edges[:, 2:] = torch.maximum(edges[:, :2], edges[:, 2:])
    return [(left, top, right, bottom) for left, top, right, bottom in edges.tolist()]


def veil(picture: Tensor, masks: Tensor, colours: Sequence[tuple[int, int, int]]) -> Tensor:
    """Tint what masks (n, h, w) cover: uint8 (3, h, w) -> the same."""
    tinted = picture.float()
    for mask, shade in zip(masks, colours, strict=True):
        covered = mask if mask.dtype == torch.bool else mask > 0.5
        wanted = torch.tensor(shade, dtype=torch.float32).unsqueeze(1)
        tinted[:, covered] = tinted[:, covered].lerp(wanted, VEIL)
    return tinted.round().byte()


def write_names(
    draw: ImageDraw.ImageDraw,
    names: Sequence[str],
    places: Sequence[Place],
    colours: Sequence[tuple[int, int, int]],
    size: tuple[int, int],
) -> None:
    """Write every name at its box, where it hides none written before, if there is such a place."""
    font = ImageFont.load_default(min(max(TEXT, min(size) / 36), LARGEST))
    height = sum(font.getmetrics()) if isinstance(font, ImageFont.FreeTypeFont) else TEXT
    taken = np.empty((0, 4))
    for name, box, shade in zip(names, places, colours, strict=True):
        wide = font.getlength(name) + 4
        if min(size) < SMALL and wide > box[2] - box[0] + 1:
            continue
        spots = candidates(box, wide, height, size)
        spot = next((spot for spot in spots if not touches(spot, taken)), spots[0])
        taken = np.append(taken, [spot], axis=0)
        draw.rectangle(spot, fill=shade)
        draw.text((spot[0] + 2, spot[1]), name, fill=ink(shade), font=font)


def candidates(box: Place, wide: float, tall: float, size: tuple[int, int]) -> list[Place]:
    """Where a name may stand: above its box, under it, in it; inside the picture if it fits."""
    left, top, right, bottom = box
    corners = [(left, top - tall), (left, bottom + 1), (left, top), (right - wide, bottom - tall)]
    fitting = [(x, y) for x, y in corners if 0 <= y <= size[1] - tall] or [(left, top)]
    starts = [(max(0.0, min(x, size[0] - wide)), max(0.0, y)) for x, y in fitting]
    return [(x, y, x + wide - 1, y + tall - 1) for x, y in starts]


def touches(spot: Place, taken: np.ndarray) -> bool:
    """Whether a place (4,) overlaps any of others (n, 4)."""
    left, top, right, bottom = spot
    across = (taken[:, 0] <= right) & (left <= taken[:, 2])
    return bool((across & (taken[:, 1] <= bottom) & (top <= taken[:, 3])).any())
