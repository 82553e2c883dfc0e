"""An encoder that finds things: pictures of any sizes in, boxes out."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from maskedae.boxed import Found, Truth
from maskedae.detection.heads import proposals, regions
from maskedae.detection.pyramid import Scales, make_pyramid
from maskedae.encoder import Encoder
from maskedae.hub import Hub
from maskedae.settings import Heads

LOSSES = {  # torchvision's names of what is learned, and ours
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal",
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
}
Size = tuple[int, int]


class Detector(nn.Module, Hub):
    """Faster R-CNN or Mask R-CNN on a pyramid of an encoder's maps (arXiv:2203.16527).

    Every picture is padded to a multiple of `divisor` on its own, and never sees the padding of
    another: alone and in any batch it has the same boxes and the same loss.
    """

    DATA = "maskedae.datasets.boxes.Boxes"  # what looks at its pictures, if no recipe says

    def __init__(self, encoder: Encoder, classes: Sequence[str], heads: Heads) -> None:
        super().__init__()
        if not classes:
            raise ValueError("there are no classes to tell apart: one or more would fit")
        self.encoder, self.classes, self.heads = encoder, tuple(classes), heads
        encoder.head = encoder.make_head(0, "mean", False, 0.0)
        self.maps = encoder.make_maps(heads.window, heads.wide, heads.relative)
        self.pyramid = make_pyramid(self.maps, heads.channels)
        strides = self.pyramid.strides
        self.divisor = strides[-2]  # the coarsest scale that is not a sample of another
        if any(side % self.divisor for side in encoder.size):
            fits = [-(-side // self.divisor) * self.divisor for side in encoder.size]
            raise ValueError(
                f"a canvas of {encoder.size} is no multiple of {self.divisor} pixels, the coarsest "
                f"scale of the feature pyramid; {fits} would fit"
            )
        self.rpn = proposals(heads, strides)
        self.roi = regions(heads, len(self.classes), strides[:-1])

    def forward(
        self,
        pictures: Sequence[Tensor],
        truths: Sequence[Truth] | None = None,
        noise: Tensor | None = None,
        seeds: Sequence[int] = (),
        sizes: Sequence[Size] | None = None,
    ) -> Any:
        """Normalised pictures (C, h, w) -> what is Found on each; in training, losses by name.

        A loss is the mean of those of the pictures. `noise` (B, noise_size) says which paths are
        dropped, a seed for each picture which boxes are learned from. Boxes and frames are those of
        pictures of `sizes`, if given, else of these. Raises ValueError for pictures larger than the
        encoder's size.
        """
        scales = self.scales(pictures, noise)
        if not self.training:
            sizes = sizes or [_size(picture) for picture in pictures]
            return [self._find(*one) for one in zip(pictures, scales, sizes, strict=True)]
        if truths is None:
            raise ValueError("in training a detector takes what there is to find, too")
        losses = list[dict[str, Tensor]]()
        for number, one in enumerate(zip(pictures, scales, truths, strict=True)):
            if seeds:
                torch.manual_seed(seeds[number])
            losses.append(self._learn(*one))
        return {name: torch.stack([one[name] for one in losses]).mean() for name in losses[0]}

    def scales(self, pictures: Sequence[Tensor], noise: Tensor | None = None) -> list[Scales]:
        """The feature pyramid of every picture; those of one padded size are taken together."""
        areas = [self._padded(picture) for picture in pictures]
        order = sorted(range(len(pictures)), key=lambda number: areas[number])
        found: dict[int, Scales] = {}
        for area, group in groupby(order, key=lambda number: areas[number]):
            chosen = list(group)
            canvas = self._canvas([pictures[number] for number in chosen])
            units = zip(area, self.encoder.unit, strict=True)
            down, across = (side // unit for side, unit in units)
            drawn = None if noise is None else noise[chosen]
            maps = self.pyramid(self.maps(canvas, (down, across), drawn))
            for place, number in enumerate(chosen):
                found[number] = {name: one[place : place + 1] for name, one in maps.items()}
        return [found[number] for number in range(len(pictures))]

    def _padded(self, picture: Tensor) -> Size:
        if picture.ndim != 3 or not picture.numel():
            raise ValueError(f"a detector takes a list of pictures (C, h, w), not {picture.shape}")
        size = _size(picture)
        if any(side > most for side, most in zip(size, self.encoder.size, strict=True)):
            raise ValueError(
                f"a picture of {size} came to a detector built for {self.encoder.size} at most: "
                f"shrink it, or load takes size=..."
            )
        height, width = (-(-side // self.divisor) * self.divisor for side in size)
        return height, width

    def _canvas(self, pictures: Sequence[Tensor]) -> Tensor:
        """Pictures in the corner of a canvas of the encoder's size: (B, C, *size)."""
        first = pictures[0]
        canvas = first.new_zeros(len(pictures), len(first), *self.encoder.size)
        for place, picture in enumerate(pictures):
            height, width = _size(picture)
            canvas[place, :, :height, :width] = picture
        return canvas

    def _learn(self, picture: Tensor, scales: Scales, truth: Truth) -> dict[str, Tensor]:
        target = {"boxes": truth.boxes, "labels": truth.labels + 1}  # nothing is 0
        if truth.masks is not None:
            target["masks"] = truth.masks.byte()
        size = _size(picture)
        boxes, proposing = self.rpn(ImageList(picture, [size]), scales, [target])
        _, naming = self.roi(scales, boxes, [size], [target])
        return {LOSSES[name]: loss for name, loss in (proposing | naming).items()}

    def _find(self, picture: Tensor, scales: Scales, size: Size) -> Found:
        seen = _size(picture)
        boxes, _ = self.rpn(ImageList(picture, [seen]), scales)
        (found,), _ = self.roi(scales, boxes, [seen])
        (height, width), (tall, wide) = size, seen
        larger = found["boxes"].new_tensor([width / wide, height / tall] * 2)
        boxes = found["boxes"] * larger
        told = Found(boxes, found["labels"] - 1, found["scores"])
        if not self.heads.masks:
            return told
        # torchvision learns masks half a pixel off, for it counts pixels from their centres.
        return told._replace(masks=found["masks"][:, 0], frames=boxes + larger / 2)

    @property
    def description(self) -> dict[str, Any]:
        """What rebuilds all but the encoder: plain values, for a checkpoint."""
        return {"classes": list(self.classes), "heads": asdict(self.heads)}

    def sections(self) -> dict[str, Any]:
        """The classes and the heads."""
        return {"detector": self.description}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters belong to which layer, for timm's layer-wise decay."""
        found = self.encoder.group_matcher(coarse)
        if not coarse:
            mine = [rf"^maps\.{pattern}" for pattern in self.maps.layered]
            found["blocks"] = [(pattern, None) for pattern in (found["blocks"], *mine)]
        return found

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not to be decayed."""
        return {f"encoder.{name}" for name in self.encoder.no_weight_decay()}

    @property
    def undecayed(self) -> set[str]:
        """The same, where all layers learn alike."""
        return self.no_weight_decay()


def _size(picture: Tensor) -> Size:
    """Height and width of a picture (C, h, w)."""
    height, width = map(int, picture.shape[-2:])  # plain numbers, where a graph is recorded, too
    return height, width
