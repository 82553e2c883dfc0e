"""Films that are folders of numbered pictures."""

import os
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from maskedae.datasets.films.film import FRAME_RATE, Pixels, Refused, hold, resized

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")


class Stills:
    """Pictures in the order of the numbers in their names, at a rate that is given."""

    def __init__(self, path: str, rate: float = FRAME_RATE) -> None:
        names = sorted(
            (name for name in os.listdir(path) if name.lower().endswith(EXTENSIONS)), key=natural
        )
        self.paths = [os.path.join(path, name) for name in names if not name.startswith(".")]
        if not self.paths:
            raise Refused("a folder without pictures")
        self.rate, self.lost = rate, 0
        self.times = np.arange(len(self.paths)) / rate
        self.size = self._size()

    def frames(self, indices: Sequence[int], size: tuple[int, int] | None = None) -> Pixels:
        height, width = size or self.size
        pixels = np.empty((len(indices), height, width, 3), np.uint8)
        good = np.zeros(len(indices), bool)
        for row, index in enumerate(indices):
            picture = picture_of(self.paths[index], (height, width))
            if picture is not None:
                pixels[row], good[row] = resized(picture[None], (height, width))[0], True
        self.lost += hold(pixels, good)
        return pixels

    def decodable(self) -> int:
        """Decode everything, and count what comes out."""
        return sum(picture_of(path) is not None for path in self.paths)

    def close(self) -> None:
        pass

    def _size(self) -> tuple[int, int]:
        for path in self.paths:
            picture = picture_of(path)
            if picture is not None:
                height, width = picture.shape[:2]
                return height, width
        raise Refused("no frame can be decoded")


def picture_of(path: str, size: tuple[int, int] | None = None) -> Pixels | None:
    """Read a picture upright, at once smaller where its format can: (H, W, 3), None if broken."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if size is not None:
                image.draft("RGB", (max(size), max(size)))
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def natural(name: str) -> list[tuple[int, str]]:
    """Order names by the numbers in them.

    >>> sorted(["10.png", "9.png", "frame2.png", "frame10.png"], key=natural)
    ['9.png', '10.png', 'frame2.png', 'frame10.png']
    """
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
