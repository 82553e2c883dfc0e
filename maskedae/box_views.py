"""Bring pictures with boxes to size: fitted into a canvas, or jittered as training sees them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from maskedae.boxed import Truth

BILINEAR = v2.InterpolationMode.BILINEAR
# What is left of a thing must be a pixel high and wide.
SANITIZE = v2.SanitizeBoundingBoxes(labels_getter=lambda parts: parts["labels"])
Parts = dict[str, Any]  # picture, boxes, labels and, where there are any, masks
Size = tuple[int, int]  # height, width; or top, left


@dataclass(frozen=True)
class Fit:
    """Shrink or enlarge until a canvas (height, width) is full one way; aspects are kept."""

    canvas: tuple[int, int]

    def __call__(self, picture: Tensor, truth: Truth) -> tuple[Tensor, Truth]:
        """uint8 (C, h, w) and what is on it -> the same, at most as large as the canvas."""
        size = fitting(picture, self.canvas, 1.0)
        return unwrapped(resized(picture, truth, size, (0, 0), size))


@dataclass(frozen=True)
class Jitter:
    """Large-scale jitter (arXiv:2012.07177): another size, a crop at most of the canvas, a flip."""

    canvas: tuple[int, int]
    scale: tuple[float, float]  # of the size that fits into the canvas
    flip: float

    def __call__(self, picture: Tensor, truth: Truth) -> tuple[Tensor, Truth]:
        """uint8 (C, h, w) and what is on it -> the same, at most as large as the canvas."""
        low, high = self.scale
        size, down, right, side = torch.rand(4).tolist()
        height, width = fitting(picture, self.canvas, low + size * (high - low))
        tall, wide = min(height, self.canvas[0]), min(width, self.canvas[1])
        corner = int(down * (height - tall + 1)), int(right * (width - wide + 1))
        parts = resized(picture, truth, (height, width), corner, (tall, wide))
        if side < self.flip:
            flipped = {name: F.horizontal_flip(parts[name]) for name in parts if name != "labels"}
            parts = {**parts, **flipped}
        return unwrapped(SANITIZE(tightened(parts)))


def fitting(picture: Tensor, canvas: Size, factor: float) -> Size:
    """The size that fits into a canvas, times a factor, aspect kept."""
    height, width = picture.shape[-2:]
    times = min(canvas[0] / height, canvas[1] / width) * factor
    return max(1, round(height * times)), max(1, round(width * times))


def resized(picture: Tensor, truth: Truth, size: Size, corner: Size, crop: Size) -> Parts:
    """Bring a picture and what is on it to a size, and cut a crop out of that at a corner."""
    whole = tuple(picture.shape[-2:])
    boxes = tv_tensors.BoundingBoxes(truth.boxes, format="XYXY", canvas_size=whole)
    parts: Parts = {"picture": tv_tensors.Image(picture), "boxes": boxes}
    for name, part in parts.items():
        part = F.resize(part, list(size), interpolation=BILINEAR, antialias=True)
        parts[name] = F.crop(part, *corner, *crop)
    parts["labels"] = truth.labels
    if truth.masks is not None:
        parts["masks"] = tv_tensors.Mask(sampled(truth.masks, size, corner, crop))
    return parts


def sampled(masks: Tensor, size: Size, corner: Size, crop: Size) -> Tensor:
    """The crop of masks brought to a size by nearest pixels, none made but those of the crop.

    Which is nearest is as in PyTorch's nearest-exact: (n, H, W) -> (n, *crop).
    """
    rows, columns = (
        ((torch.arange(start, start + count) + 0.5) * torch.tensor(before / after)).long()
        for before, after, start, count in zip(masks.shape[1:], size, corner, crop, strict=True)
    )
    wide = masks.index_select(2, columns.clamp(max=masks.shape[2] - 1))
    return wide.index_select(1, rows.clamp(max=masks.shape[1] - 1))  # whole rows are fast to copy


def unwrapped(parts: Parts) -> tuple[Tensor, Truth]:
    """A picture and what is on it, as plain tensors."""
    plain = {name: part.as_subclass(Tensor).contiguous() for name, part in parts.items()}
    return plain.pop("picture"), Truth(**plain)


def tightened(parts: Parts) -> Parts:
    """Draw boxes anew around what a crop has left of masks; nothing left makes an empty box."""
    if "masks" not in parts or not len(parts["masks"]):
        return parts
    masks = parts["masks"].as_subclass(Tensor)
    some = masks.flatten(1).any(1)
    boxes = parts["boxes"].new_zeros(len(masks), 4)
    boxes[some] = masks_to_boxes(masks[some]).to(boxes.dtype) + boxes.new_tensor([0, 0, 1, 1])
    return {**parts, "boxes": tv_tensors.wrap(boxes, like=parts["boxes"])}
