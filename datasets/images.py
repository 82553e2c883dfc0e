"""Pictures in folders and lists, of every format that Pillow reads."""

import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil
from pathlib import Path
from typing import BinaryIO
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from maskedae.answers import Kind
from maskedae.augmentation import finishing
from maskedae.colours import Colours, pixel_sums
from maskedae.data import BadSample, Panel, Source, Split
from maskedae.listing import Listing, Splits, list_named, open_splits
from maskedae.pictures import Cell, contact_sheet
from maskedae.scanning import Wanted

# Not all that Pillow knows: some formats start another program, EPS for one.
FORMATS = {
    "JPEG": [".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"],
    "PNG": [".png", ".apng"],
    "WEBP": [".webp"],
    "GIF": [".gif"],
    "BMP": [".bmp"],
    "TIFF": [".tif", ".tiff"],
    "AVIF": [".avif"],
    "JPEG2000": [".jp2", ".j2k", ".jpx"],
    "PPM": [".ppm", ".pgm", ".pbm", ".pnm"],
    "TGA": [".tga"],
    "QOI": [".qoi"],
}
EXTENSIONS = frozenset(extension for group in FORMATS.values() for extension in group)
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
BICUBIC = v2.InterpolationMode.BICUBIC
EXTREME = 10  # times as wide as high, or as high as wide: worth a warning
# What decoders raise over broken files; wider nets would hide mistakes of ours.
BROKEN = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class Images:
    """Pictures from folders, where sub-folders are classes, or from lists.

    With one channel they are gray, with three RGB, with four RGBA; where three are asked for,
    transparency is dropped. What a folder holds is looked up once per instance.
    """

    root: str | list[str] | None = None
    """A folder, a .txt list (path, tab, label) or a .csv list (columns path, label); or several."""
    val_root: str | list[str] | None = None
    """The same, for what is held out. By default val/ or the like next to train/ in a root."""
    weights: list[float] | None = None
    """How often each root is drawn from, relative to the others; by default by its samples."""
    held_out_share: float = 0.05
    """Held out where there are labels but nothing else is held out."""
    mean: list[float] | None = None
    """Of every channel, black being 0 and white 1; by default that of ImageNet."""
    std: list[float] | None = None
    """Of every channel, as the mean."""
    scale: tuple[float, float] = (0.2, 1.0)
    """Area of the crops of training, as a share of the picture."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the crops of training."""
    flip: float = 0.5
    """Share of pictures mirrored in training."""
    rand_augment: str | None = None
    """timm's notation of a RandAugment for training, such as rand-m9-mstd0.5-inc1; none is none."""
    erasing: float = 0.0
    """Share of pictures of which a box is replaced by noise in training."""
    separator: str = "\t"
    """What stands between path and label in lists that are not our own."""
    labels: Kind = "class"
    """What a label in a list is: a class, classes separated by | or ;, or a number."""
    eval_crop: float = 0.875
    """Without augmentation: share of the shorter side that the central crop keeps."""
    max_bad_share: float = 0.05
    """More unreadable pictures than this end a run."""

    repeats = 1
    figure = "grid.png"
    inherited = ("mean", "std")
    noise_size = 0
    ragged = False
    ends_at = 1
    lacking = False

    def source(self, split: Split, shape: tuple[int, ...], augment: bool) -> Source | None:
        listing = self.splits.train if split == "train" else self.splits.held_out
        return None if listing is None else ImageSource(listing, shape, self.view(shape, augment))

    def files(self, paths: Sequence[str], shape: tuple[int, ...]) -> Source:
        listing = list_named(paths, self.wanted)
        return ImageSource(listing, shape, self.view(shape, augment=False))

    @property
    def colours(self) -> Colours:
        """Statistics of the channels."""
        return Colours(self.mean, self.std)

    @property
    def wanted(self) -> Wanted:
        """Which files are samples, and what their labels are."""
        return Wanted(EXTENSIONS, sniff, self.labels, self.separator)

    @cached_property
    def splits(self) -> Splits:
        """What there is to train on and to hold out."""
        return open_splits(
            self.root,
            self.wanted,
            val_root=self.val_root,
            weights=self.weights,
            held_out_share=self.held_out_share,
        )

    def view(self, shape: tuple[int, ...], augment: bool) -> Callable[[Tensor], Tensor]:
        """Make the function that brings a picture to size."""
        if len(shape) != 3 or shape[0] not in MODES:
            hint = ": this model takes clips, so a recipe of films would fit"
            raise ValueError(
                f"pictures are (1, 3 or 4 channels, height, width), not {shape}"
                + (hint if len(shape) == 4 else "")
            )
        size = shape[1:]
        if not augment:
            return partial(centre, size=size, share=self.eval_crop)
        statistics = self.colours.statistics(torch.empty(shape))
        return v2.Compose(
            [
                v2.RandomResizedCrop(size, self.scale, self.ratio, BICUBIC, antialias=True),
                v2.RandomHorizontalFlip(self.flip),
                *finishing(self.rand_augment, self.erasing, statistics),
            ]
        )

    def synthetic(self, count: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(256, (count, *shape), dtype=torch.uint8)

    def signal(self, batch: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.colours.normalise(batch)

    def shade(self, values: Tensor) -> Tensor:
        return self.signal(values.unsqueeze(0) * 255)[0]

    def drawn(self, path: Path) -> list[Path]:
        return [path]

    def draw(self, rows: list[list[Panel]], note: str, path: Path) -> list[Path]:
        def cell(panel: Panel) -> Cell:
            return Cell(panel.caption, self.colours.pixels(panel.signal)[:3].movedim(0, -1))

        cells = [[cell(panel) for panel in row] for row in rows]
        path.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(cells, note).save(path, format="PNG")
        return self.drawn(path)

    def readable(self, name: str) -> str:
        """Say in words what a class is that goes by its number in WordNet, as in ImageNet.

        >>> Images().readable("n02123045"), Images().readable("cat")
        ('tabby, tabby cat', 'cat')
        """
        if not re.fullmatch(r"n\d{8}", name):
            return name
        from timm.data import ImageNetInfo  # type: ignore[attr-defined]

        with suppress(KeyError, AssertionError):
            return ImageNetInfo("imagenet-22k").label_name_to_description(name)
        return name


class ImageSource:
    """The pictures of one split."""

    def __init__(
        self, listing: Listing, shape: tuple[int, ...], view: Callable[[Tensor], Tensor]
    ) -> None:
        self.listing, self.channels, self.view = listing, shape[0], view
        self.shape = (1, *shape)
        self.spans: Tensor | None = None
        self.weights: Tensor | None = None
        self.labels, self.classes, self.shares = listing.labels, listing.classes, listing.shares
        self.unlabelled, self.remarks = listing.unlabelled, listing.remarks
        self.fingerprint = listing.fingerprint

    def __len__(self) -> int:
        return len(self.listing)

    def name(self, index: int) -> str:
        return self.listing.path(index)

    def read(self, index: int) -> Tensor:
        with opened(self.name(index)) as (file, image):
            pixels = decode(file, image, self.channels)
        return self.view(pixels).contiguous().unsqueeze(0)


def sniff(head: bytes) -> bool:
    """Recognise a picture by its first bytes."""
    return head.startswith(SIGNATURES) or head[8:12] == b"WEBP" or head[4:12] == b"ftypavif"


@contextmanager
def opened(path: str) -> Iterator[tuple[BinaryIO, Image.Image]]:
    """Open a picture, nothing but its header read; what fails inside makes a BadSample."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BadSample("not a file")  # opening a pipe would wait for ever
        if not status.st_size:
            raise BadSample("empty file")
        with open(path, "rb") as file, Image.open(file, formats=list(FORMATS)) as image:
            yield file, image
    except Image.DecompressionBombError as error:
        raise BadSample(f"too many pixels: {error}") from error
    except UnidentifiedImageError as error:
        raise BadSample(what_else(path)) from error
    except BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadSample(reason) from error


def what_else(path: str) -> str:
    """Say what a file is that is no picture."""
    with open(path, "rb") as file:
        head = file.read(40)
    if sniff(head):
        return "broken header"
    text = " ".join(head.decode(errors="replace").split())
    return f"text, not a picture: {text!r}" if text.isprintable() else "not a picture"


def decode(file: BinaryIO, image: Image.Image, channels: int) -> Tensor:
    """Decode a picture, upright and 8 bits deep: (C, H, W)."""
    # Pillow for all but JPEG: torchvision's PNG decoder dies of SIGSEGV over a flipped bit.
    if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB") and channels != 4:
        mode = ImageReadMode.RGB if channels == 3 else ImageReadMode.GRAY
        file.seek(0)
        data = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)
        # Where it fails Pillow tries: it says in words what is wrong. The operator is what
        # decode_image calls, after it has warned at each call that it will move elsewhere.
        with suppress(RuntimeError):
            return torch.ops.image.decode_jpeg(data, mode.value, True)
    image.load()
    with suppress(*BROKEN):  # a corrupt EXIF block spoils no pixels
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F" or image.mode.startswith("I"):
        image = shallow(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")  # first, or Pillow warns over palettes
    return F.pil_to_tensor(image.convert(MODES[channels]))


def shallow(image: Image.Image) -> Image.Image:
    """Bring one deep channel to 8 bits by scale, where Pillow would clip."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    top = 1 if image.mode == "F" else 65535
    if not (low >= 0 and high <= top):  # also where a value is NaN
        raise BadSample(f"values from {low:g} to {high:g}: scale them to 0..{top}")
    return Image.fromarray(np.rint(values * np.float32(255 / top)).astype(np.uint8))


def centre(image: Tensor, size: tuple[int, int], share: float) -> Tensor:
    """Shrink or enlarge to cover `size` / `share`, cut out the middle: (C, H, W) -> (C, *size)."""
    if not 0 < share <= 1:
        raise ValueError(f"a crop keeps a share in (0, 1], not {share}")
    tall, wide = (int(side / share) for side in size)
    height, width = image.shape[-2:]
    # A strip of 1 x 100000 would grow to gigabytes: what lies far outside the crop goes first.
    most = (ceil(2 * width * tall / wide), ceil(2 * height * wide / tall))
    height, width = min(height, most[0]), min(width, most[1])
    image = F.center_crop(image, [height, width])
    if height * wide <= width * tall:
        covering = [tall, int(tall * width / height)]
    else:
        covering = [int(wide * height / width), wide]
    return F.center_crop(F.resize(image, covering, BICUBIC, antialias=True), list(size))


def inspect(path: str, sums: bool = False) -> dict[str, object]:
    """Decode a picture in full and report what it is; raises BadSample."""
    with catch_warnings(record=True) as caught, opened(path) as (file, image):
        simplefilter("always")
        report: dict[str, object] = {"kind": "image", "format": image.format, "mode": image.mode}
        pixels = decode(file, image, channels=3)
    height, width = pixels.shape[-2:]
    notes = [str(item.message) for item in caught]
    if max(height, width) > EXTREME * min(height, width):
        notes.append(f"extreme aspect: one side is more than {EXTREME} times the other")
    report |= {"size": [width, height], "warnings": notes}
    return report | ({"sums": pixel_sums(pixels)} if sums else {})
