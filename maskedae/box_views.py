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

BILINEAR, NEAREST = v2.InterpolationMode.BILINEAR, v2.InterpolationMode.NEAREST_EXACT
# What is left of a thing must be a pixel high and wide.
SANITIZE = v2.SanitizeBoundingBoxes(labels_getter=lambda parts: parts["labels"])
Parts = dict[str, Any]  # picture, boxes, labels and, where there are any, masks


@dataclass(frozen=True)
class Fit:
    """Shrink or enlarge until a canvas (height, width) is full one way; aspects are kept."""

    canvas: tuple[int, int]

    def __call__(self, picture: Tensor, truth: Truth) -> tuple[Tensor, Truth]:
        """uint8 (C, h, w) and what is on it -> the same, at most as large as the canvas."""
        return unwrapped(scaled(wrapped(picture, truth), self.canvas, 1.0))


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
        parts = scaled(wrapped(picture, truth), self.canvas, low + size * (high - low))
        height, width = parts["picture"].shape[-2:]
        tall, wide = min(height, self.canvas[0]), min(width, self.canvas[1])
        corner = int(down * (height - tall + 1)), int(right * (width - wide + 1))
        parts = {name: change(F.crop, part, *corner, tall, wide) for name, part in parts.items()}
        if side < self.flip:
            parts = {name: change(F.horizontal_flip, part) for name, part in parts.items()}
        return unwrapped(SANITIZE(tightened(parts)))


def wrapped(picture: Tensor, truth: Truth) -> Parts:
    """What torchvision changes together."""
    size = tuple(picture.shape[-2:])
    boxes = tv_tensors.BoundingBoxes(truth.boxes, format="XYXY", canvas_size=size)
    parts = {"picture": tv_tensors.Image(picture), "boxes": boxes, "labels": truth.labels}
    return parts if truth.masks is None else {**parts, "masks": tv_tensors.Mask(truth.masks)}


def unwrapped(parts: Parts) -> tuple[Tensor, Truth]:
    """A picture and what is on it, as plain tensors."""
    plain = {name: part.as_subclass(Tensor).contiguous() for name, part in parts.items()}
    return plain.pop("picture"), Truth(**plain)


def change(function: Any, part: Tensor, *arguments: Any, **options: Any) -> Tensor:
    """Change all but labels, which stay what they are wherever a thing goes."""
    known = isinstance(part, tv_tensors.TVTensor)
    return function(part, *arguments, **options) if known else part


def scaled(parts: Parts, canvas: tuple[int, int], factor: float) -> Parts:
    """Bring a picture to a share of the size that fits into a canvas."""
    height, width = parts["picture"].shape[-2:]
    times = min(canvas[0] / height, canvas[1] / width) * factor
    size = [max(1, round(height * times)), max(1, round(width * times))]
    # Nearest pixels as PyTorch first had them lie half a pixel off; these do not.
    modes = {"masks": {"interpolation": NEAREST}}
    usual = {"interpolation": BILINEAR, "antialias": True}
    return {
        name: change(F.resize, part, size, **modes.get(name, usual)) for name, part in parts.items()
    }


def tightened(parts: Parts) -> Parts:
    """Draw boxes anew around what a crop has left of masks; nothing left makes an empty box."""
    if "masks" not in parts or not len(parts["masks"]):
        return parts
    masks = parts["masks"].as_subclass(Tensor)
    some = masks.flatten(1).any(1)
    boxes = parts["boxes"].new_zeros(len(masks), 4)
    boxes[some] = masks_to_boxes(masks[some]).to(boxes.dtype) + boxes.new_tensor([0, 0, 1, 1])
    return {**parts, "boxes": tv_tensors.wrap(boxes, like=parts["boxes"])}
