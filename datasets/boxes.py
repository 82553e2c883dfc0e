"""Pictures with boxes around the things on them, of every form of labels in labels/."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskedae.box_views import Fit, Jitter
from maskedae.boxed import Boxed, Truth
from maskedae.data import BadSample, Panel, Source, Split
from maskedae.datasets.images import EXTENSIONS as ALONE
from maskedae.datasets.images import MODES, Images, decode, opened
from maskedae.datasets.images import inspect as inspect
from maskedae.datasets.images import sniff as sniff
from maskedae.datasets.labels.joining import NO_AREA, NO_NUMBERS, OUTSIDE, join
from maskedae.datasets.labels.labels import Labels, Reading
from maskedae.datasets.labels.opening import Tables, open_tables
from maskedae.datasets.labels.packed import Table
from maskedae.datasets.labels.writing import as_coco
from maskedae.listing import list_named
from maskedae.scanning import Wanted

EXTENSIONS = frozenset[str]()  # where pictures are wanted without boxes, too, they are theirs
FAR = 0.2  # share of boxes beyond their picture that is no accident
View = Callable[[Tensor, Truth], tuple[Tensor, Truth]]


@dataclass(frozen=True)
class Boxes:
    """Pictures whose labels are COCO JSON, text files of YOLO, XML of VOC or a table.

    What kind they are is found by looking. Boxes are in pixels of the picture as it is looked at,
    upright. What a root holds is looked up once per instance.
    """

    root: str | list[str] | None = None
    """A folder, a COCO .json, a data.yaml of YOLO or a .csv of boxes; or several."""
    val_root: str | list[str] | None = None
    """The same, for what is held out. By default what a root brings along, such as val.json."""
    label_names: str | None = None
    """A file of the class names of YOLO, one on a line; by default what lies in a root."""
    masks: bool = False
    """Read masks, too; boxes without one are left out of training."""
    held_out_share: float = 0.05
    """Held out where nothing else is."""
    mean: list[float] | None = None
    """Of every channel, black being 0 and white 1; by default that of ImageNet."""
    std: list[float] | None = None
    """Of every channel, as the mean."""
    scale: tuple[float, float] = (0.1, 2.0)
    """Sizes of pictures in training, the one that fits into the model's being 1."""
    flip: float = 0.5
    """Share of pictures mirrored in training."""
    max_bad_share: float = 0.05
    """More unreadable pictures than this end a run."""

    repeats = 1
    figure = "boxes.png"
    inherited = ("mean", "std")
    noise_size = 0
    ragged = False
    ends_at = 1
    lacking = False

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"data.scale is {self.scale}; two sizes such as 0.1 2.0 would fit")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"data.flip is {self.flip}; a share in [0, 1] would fit")

    def source(self, split: Split, shape: tuple[int, ...], augment: bool) -> Source | None:
        table = self.tables.train if split == "train" else self.tables.held_out
        if table is None:
            return None
        view = self.view(shape, augment)
        return BoxSource(table, shape, view, self.masks, learned=split == "train")

    def files(self, paths: Sequence[str], shape: tuple[int, ...]) -> Source:
        listing = list_named(paths, Wanted(ALONE, sniff))
        labels = Labels("")
        for index in range(len(listing)):
            labels.add_picture(listing.path(index), (0, 0))
        return BoxSource(join([labels], (), False), shape, self.view(shape, False), False)

    @cached_property
    def tables(self) -> Tables:
        """What there is to train on and to hold out."""
        reading = Reading(self.masks, self.label_names)
        return open_tables(self.root, self.val_root, reading, self.held_out_share)

    def view(self, shape: tuple[int, ...], augment: bool) -> View:
        """Make the function that brings a picture and its boxes to size."""
        if len(shape) != 3 or shape[0] not in MODES:
            raise ValueError(f"pictures are (1, 3 or 4 channels, height, width), not {shape}")
        canvas = shape[1], shape[2]
        return Jitter(canvas, self.scale, self.flip) if augment else Fit(canvas)

    @property
    def pictures(self) -> Images:
        """How pictures are treated that have no boxes."""
        return Images(mean=self.mean, std=self.std)

    def synthetic(self, count: int, shape: tuple[int, ...]) -> Boxed:
        pixels = torch.randint(256, (count, *shape), dtype=torch.uint8)
        size = torch.tensor([*shape[:0:-1], *shape[:0:-1]])  # width, height, width, height
        corners = torch.rand(count, 8, 2, 2).sort(dim=2).values.flatten(2) * (size - 2)
        corners[..., 2:] += 2  # pixels at least
        labels = torch.zeros(8, dtype=torch.int64)
        masks = torch.ones(8, *shape[1:], dtype=torch.bool) if self.masks else None
        truths = [Truth(boxes, labels, masks) for boxes in corners]
        return Boxed.pack(list(pixels), truths, [(shape[1], shape[2])] * count)

    def signal(self, batch: Boxed, noise: Tensor | None = None) -> list[Tensor]:
        """Pictures as a model sees them, each of its own size: float (C, h, w) each."""
        return [self.pictures.signal(picture.unsqueeze(0))[0] for picture in batch.pictures]

    def shade(self, values: Tensor) -> Tensor:
        return self.pictures.shade(values)

    def drawn(self, path: Path) -> list[Path]:
        return self.pictures.drawn(path)

    def draw(self, rows: list[list[Panel]], note: str, path: Path) -> list[Path]:
        return self.pictures.draw(rows, note, path)

    def readable(self, name: str) -> str:
        return self.pictures.readable(name)


class BoxSource:
    """The pictures of one split."""

    def __init__(
        self, table: Table, shape: tuple[int, ...], view: View, masks: bool, learned: bool = False
    ) -> None:
        self.table, self.channels, self.view, self.masks = table, shape[0], view, masks
        self.learned = learned  # scores look at the masks of files, not at those of a view
        self.shape = (1, *shape)
        self.labels: Tensor | None = None
        self.spans: Tensor | None = None
        self.weights: Tensor | None = None
        self.classes, self.shares = table.classes, table.listing.shares
        self.unlabelled = table.listing.unlabelled
        self.fingerprint = table.fingerprint

    def __len__(self) -> int:
        return len(self.table)

    @property
    def remarks(self) -> str:
        """What was left out, and how many pictures have no boxes."""
        faults, empty = str(self.table.faults), int((self.table.offsets.diff() == 0).sum())
        left = [f"left out: {faults}"] if faults else []
        lost = sum(self.table.faults.counts[kind] for kind in (NO_NUMBERS, NO_AREA, OUTSIDE))
        if lost > len(self.table.boxes):
            left[0] += "; those are most: do other numbers stand there than should?"
        none = [f"{empty:,} pictures without boxes"] * bool(empty and self.classes)
        bare = int((self.table.segment_offsets.diff() == 0).sum()) if self.masks else 0
        some = [f"{bare:,} boxes without a mask, which count for scores of boxes"] * bool(bare)
        far = self.table.reaching()
        cut = [f"{far:,} boxes reach beyond their picture and are cut"] * bool(far)
        if far > FAR * len(self.table.boxes):
            cut[0] += ": do corners stand where width and height belong?"
        return "; ".join([*self.table.listing.notes, *left, *none, *some, *cut])

    def name(self, index: int) -> str:
        return self.table.listing.path(index)

    def read(self, index: int) -> Boxed:
        """Decode a picture and bring it to size with its boxes, and its masks to learn from."""
        return self._boxed(index, self.masks and self.learned)

    def whole(self, index: int) -> Boxed:
        """The same with masks where there are any; an empty one of a box without."""
        return self._boxed(index, self.masks)

    def _boxed(self, index: int, masks: bool) -> Boxed:
        pixels = self.picture(index)
        size = (pixels.shape[1], pixels.shape[2])
        if fault := self.table.size_fault(index, size):
            raise BadSample(fault)
        picture, truth = self.view(pixels, self._truth(index, size, masks))
        return Boxed.pack([picture], [truth], [size])

    def picture(self, index: int) -> Tensor:
        """A picture as its file has it, upright: uint8 (C, H, W). Raises BadSample."""
        with opened(self.name(index)) as (file, image):
            return decode(file, image, self.channels)

    def _truth(self, index: int, size: tuple[int, int], masked: bool) -> Truth:
        rows = [row for row in self.table.rows(index) if not self.table.crowds[row]]
        height, width = size
        edges = torch.tensor([width, height, width, height])
        boxes = torch.minimum(self.table.boxes[rows].clamp(min=0), edges).float()
        masks = None
        if masked:
            each = [self.table.mask(row, size) for row in rows]
            masks = torch.stack(each) if each else torch.zeros(0, *size, dtype=torch.bool)
        return Truth(boxes, self.table.labels[rows], masks)

    def box_counts(self) -> dict[str, int]:
        """Boxes of every class, crowds apart."""
        return dict(zip(self.classes, self.table.per_class().tolist(), strict=True))

    def image_id(self, index: int) -> int:
        """What COCO calls a picture."""
        return int(self.table.ids[index])

    def answers(self) -> dict[str, Any]:
        """What there is to find, crowds too, as COCO has it, in pixels of pictures upright."""
        return as_coco(self.table)
