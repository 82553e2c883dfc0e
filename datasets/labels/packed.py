"""Pictures and boxes of a split in tensors, so that hundreds of thousands cost little.

Loader processes share tensors, as they share the paths of a Listing.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import faster_coco_eval.core.mask as coco_masks
import numpy as np
import torch
from torch import Tensor

from maskedae.data import BadSample
from maskedae.datasets.labels.labels import Faults
from maskedae.listing import Listing

ROUNDING = 2.0  # pixels


@dataclass(frozen=True)
class Table:
    """Pictures of a split and the boxes on them, the boxes of a picture being neighbours."""

    listing: Listing
    classes: tuple[str, ...]
    categories: tuple[int, ...]  # what COCO calls each class
    sizes: Tensor  # (len, 2) int64, height and width, or 0 of what cannot be read
    ids: Tensor  # (len,) int64, what COCO calls each picture
    offsets: Tensor  # (len + 1,) int64, where the boxes of each picture start
    boxes: Tensor  # (boxes, 4) float64, left, top, right, bottom; they may reach outside
    labels: Tensor  # (boxes,) int64
    crowds: Tensor  # (boxes,) bool, what stands for many things and nobody learns from
    areas: Tensor  # (boxes,) float64
    segments: Tensor  # (bytes,) uint8, masks as JSON, without separators
    segment_offsets: Tensor  # (boxes + 1,) int64
    faults: Faults

    def __len__(self) -> int:
        return len(self.listing)

    @property
    def fingerprint(self) -> str:
        """A digest of the paths below their roots, in order, and of all that is learned of them."""
        digest = hashlib.blake2b(self.listing.fingerprint.encode(), digest_size=16)
        digest.update(json.dumps(self.classes).encode())
        for name in ("offsets", "boxes", "labels", "crowds", "segments", "segment_offsets"):
            digest.update(getattr(self, name).numpy().data)
        return digest.hexdigest()

    def rows(self, index: int) -> range:
        """Numbers of the boxes of a picture."""
        start, stop = self.offsets[index : index + 2].tolist()
        return range(start, stop)

    def per_class(self) -> Tensor:
        """Boxes of every class, crowds apart: (classes,)."""
        return self.labels[~self.crowds].bincount(minlength=len(self.classes))

    def reaching(self) -> int:
        """How many boxes reach beyond their picture by more than rounding does."""
        sizes = self.sizes.flip(1).double()
        edges = torch.where(sizes > 0, sizes, torch.inf).repeat_interleave(
            self.offsets.diff(), dim=0
        )
        beyond = torch.maximum(-self.boxes[:, :2], self.boxes[:, 2:] - edges)
        return int((beyond > ROUNDING).any(1).sum())

    def segment(self, row: int) -> Any:
        """The mask of a box as COCO has it; None without."""
        start, stop = self.segment_offsets[row : row + 2].tolist()
        return json.loads(self.segments[start:stop].numpy().tobytes()) if stop > start else None

    def size_fault(self, index: int, size: tuple[int, int]) -> str:
        """Say that a picture is not of the height and width that its label tells, if it is not."""
        told = tuple(self.sizes[index].tolist())
        if told in (size, (0, 0)):
            return ""
        lying = "; it lies on its side, by EXIF: store it upright" * (told == size[::-1])
        return f"{size[1]} x {size[0]} pixels, but {told[1]} x {told[0]} by its labels{lying}"

    def mask(self, row: int, size: tuple[int, int]) -> Tensor:
        """The mask of a box on a picture of that height and width, or an empty one: (h, w) bool."""
        if (segment := self.segment(row)) is None:
            return torch.zeros(size, dtype=torch.bool)
        try:
            code = coco_masks.segmToRle(segment, size[1], size[0])
            return torch.from_numpy(coco_masks.decode(code)).bool()
        except (ValueError, RuntimeError) as error:
            raise BadSample(f"a mask that cannot be decoded: {error}") from error

    def pick(self, chosen: np.ndarray) -> "Table":
        """The pictures where a boolean array (len,) says so; faults stay with the whole."""
        kept = np.repeat(chosen, self.offsets.diff().numpy())
        pictures, boxes = torch.from_numpy(chosen), torch.from_numpy(kept)
        sizes = self.segment_offsets.diff()
        return replace(
            self,
            listing=self.listing.pick(chosen),
            sizes=self.sizes[pictures],
            ids=self.ids[pictures],
            offsets=starts(self.offsets.diff()[pictures]),
            boxes=self.boxes[boxes],
            labels=self.labels[boxes],
            crowds=self.crowds[boxes],
            areas=self.areas[boxes],
            segments=self.segments[torch.repeat_interleave(boxes, sizes)],
            segment_offsets=starts(sizes[boxes]),
        )


def starts(lengths: Tensor) -> Tensor:
    """Where parts of some lengths start, and where the last one ends: (n,) -> (n + 1,)."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
