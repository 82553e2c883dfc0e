"""From the frames of a film to clips of one size: every frame of a clip is cut alike."""

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

BILINEAR = v2.InterpolationMode.BILINEAR


class MultiScaleCrop:
    """Cut out a share of the shorter side, at one of 13 fixed places (arXiv:1608.00859).

    Height and width take shares that are at most one step apart in the list.
    """

    def __init__(self, size: tuple[int, ...], shares: Sequence[float]) -> None:
        self.size, self.shares = list(size), list(shares)

    def __call__(self, clip: Tensor) -> Tensor:
        """uint8 (T, C, H, W) -> (T, C, *size)."""
        height, width = clip.shape[-2:]
        sides = [int(min(height, width) * share) for share in self.shares]
        count = len(sides)
        pairs = [(i, j) for i in range(count) for j in range(count) if abs(i - j) <= 1]
        i, j = pairs[int(torch.randint(len(pairs), ()))]
        tall, wide = sides[i], sides[j]
        down, right = thirteen()[int(torch.randint(13, ()))]
        top, left = (height - tall) * down // 4, (width - wide) * right // 4
        return F.resized_crop(clip, top, left, tall, wide, self.size, BILINEAR, antialias=True)


def thirteen() -> list[tuple[int, int]]:
    """Places of fixed crops, in quarters of the room down and right.

    >>> len(thirteen()), thirteen()[:3]
    (13, [(0, 0), (0, 2), (0, 4)])
    """
    even = [(down, right) for down in (0, 2, 4) for right in (0, 2, 4)]
    return even + [(down, right) for down in (1, 3) for right in (1, 3)]


def views(clip: Tensor, size: tuple[int, ...], count: int, share: float = 1.0) -> list[Tensor]:
    """Cut views that are spread evenly along the longer side: (T, C, H, W) -> each (T, C, *size).

    The frames are first brought to cover `size` / `share`; of one view it is the middle.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a crop keeps a share in (0, 1], not {share}")
    tall, wide = (int(side / share) for side in size)
    height, width = clip.shape[-2:]
    # A strip of 1 x 10000 would grow to gigabytes: of what is longer than that, the middle.
    most = (ceil(4 * width * tall / wide), ceil(4 * height * wide / tall))
    clip = F.center_crop(clip, [min(height, most[0]), min(width, most[1])])
    height, width = clip.shape[-2:]
    scale = max(tall / height, wide / width)
    covering = [max(tall, int(height * scale)), max(wide, int(width * scale))]
    clip = F.resize(clip, covering, BILINEAR, antialias=True)
    upright = height * wide > width * tall
    found = []
    for number in range(count):
        place = 0.5 if count == 1 else number / (count - 1)
        top = round((covering[0] - size[0]) * (place if upright else 0.5))
        left = round((covering[1] - size[1]) * (0.5 if upright else place))
        found.append(clip[..., top : top + size[0], left : left + size[1]])
    return found
