"""Pictures of any sizes with boxes around the things on them, and what treats them as a batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Truth(NamedTuple):
    """What there is to find on a picture."""

    boxes: Tensor  # (n, 4) float: left, top, right, bottom, in pixels of the picture as it is given
    labels: Tensor  # (n,) int64, class numbers
    masks: Tensor | None = None  # (n, h, w) bool, the pixels of every thing


class Found(NamedTuple):
    """What a detector finds on a picture, the surest first."""

    boxes: Tensor  # (n, 4) as of a Truth
    labels: Tensor  # (n,)
    scores: Tensor  # (n,) probabilities
    masks: Tensor | None = None  # (n, M, M) probabilities of the parts of a frame, see `paste`
    frames: Tensor | None = None  # (n, 4) what the masks are of

    def over(self, least: float) -> "Found":
        """What is found with at least that probability."""
        kept = self.scores >= least
        return Found(*(None if part is None else part[kept] for part in self))  # type: ignore[arg-type]

    def pasted(self, size: tuple[int, int]) -> Iterator[Tensor]:
        """The masks on a picture of that height and width, one at a time: (h, w) bool each."""
        if self.masks is not None and self.frames is not None:
            for mask, frame in zip(self.masks, self.frames, strict=True):
                yield paste(mask, frame, size) > 0.5


def paste(mask: Tensor, frame: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch a mask (M, M) over a frame (4,) of a picture, bilinearly: (h, w) probabilities.

    >>> paste(torch.ones(2, 2), torch.tensor([1.0, 0.0, 3.0, 2.0]), (2, 4)).round().int()
    tensor([[0, 1, 1, 0],
            [0, 1, 1, 0]], dtype=torch.int32)
    """
    left, top, right, bottom = frame.unbind()
    rows, columns = (
        _reach(len(mask), begin, end, side)
        for begin, end, side in ((top, bottom, size[0]), (left, right, size[1]))
    )
    return rows @ mask.float() @ columns.T


def _reach(parts: int, begin: Tensor, end: Tensor, pixels: int) -> Tensor:
    """How much every pixel of a line has of the parts between two places: (pixels, parts)."""
    centres = torch.arange(pixels, device=begin.device) + 0.5
    places = (centres - begin) / (end - begin) * parts - 0.5
    return (1 - (places[:, None] - torch.arange(parts, device=begin.device)).abs()).clamp(min=0)


@dataclass(frozen=True)
class Boxed:
    """Pictures with their truths, in few tensors: however many boxes, a batch travels as one.

    Sizes and counts stay on the CPU, wherever the rest goes.
    """

    pixels: Tensor  # uint8 values of all pictures, one after the other
    shapes: Tensor  # (B, 3) channels, height and width of every picture
    sizes: Tensor  # (B, 2) height and width that it has in its file, upright
    counts: Tensor  # (B,) boxes of every picture
    boxes: Tensor  # (all, 4)
    labels: Tensor  # (all,)
    masks: Tensor | None = None  # bool values of the masks of all boxes, one after the other

    @classmethod
    def pack(
        cls,
        pictures: Sequence[Tensor],
        truths: Sequence[Truth],
        sizes: Sequence[tuple[int, int]],
    ) -> "Boxed":
        """Put pictures (C, h, w) with their truths together; either all have masks, or none."""
        masks = [truth.masks for truth in truths]
        return cls(
            torch.cat([picture.flatten() for picture in pictures]),
            torch.tensor([picture.shape for picture in pictures]),
            torch.tensor(sizes),
            torch.tensor([len(truth.boxes) for truth in truths]),
            torch.cat([truth.boxes for truth in truths]),
            torch.cat([truth.labels for truth in truths]),
            None if None in masks else torch.cat([m.flatten() for m in masks if m is not None]),
        )

    @classmethod
    def stack(cls, parts: Sequence["Boxed"]) -> "Boxed":
        """Put several together."""
        masks = [part.masks for part in parts]
        names = ("pixels", "shapes", "sizes", "counts", "boxes", "labels")
        whole = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        together = None if None in masks else torch.cat([m for m in masks if m is not None])
        return cls(**whole, masks=together)

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def pictures(self) -> list[Tensor]:
        """Every picture: (C, h, w)."""
        shapes = self.shapes.tolist()
        parts = torch.split(self.pixels, self.shapes.prod(1).tolist())
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    @property
    def truths(self) -> list[Truth]:
        """What there is to find on every picture."""
        counts = self.counts.tolist()
        boxes, labels = (torch.split(part, counts) for part in (self.boxes, self.labels))
        return [Truth(*row) for row in zip(boxes, labels, self._masks(counts), strict=True)]

    def _masks(self, counts: list[int]) -> Sequence[Tensor | None]:
        if self.masks is None:
            return [None] * len(counts)
        shapes = [(n, h, w) for n, (_, h, w) in zip(counts, self.shapes.tolist(), strict=True)]
        parts = torch.split(self.masks, [n * h * w for n, h, w in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    @property
    def device(self) -> torch.device:
        """Where the pictures lie."""
        return self.pixels.device

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Boxed":
        """The same on a device."""
        return self._each(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Boxed":
        """The same where a GPU fetches it fast; a loader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Boxed":
        pixels, boxes, labels = map(change, (self.pixels, self.boxes, self.labels))
        masks = None if self.masks is None else change(self.masks)
        return Boxed(pixels, self.shapes, self.sizes, self.counts, boxes, labels, masks)
