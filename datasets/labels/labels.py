"""Pictures with boxes as label files tell them, while they are read; what is wrong is counted."""

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from maskedae.data import BadSample
from maskedae.datasets.images import BROKEN, EXTENSIONS, opened, sniff
from maskedae.scanning import Rows, Wanted, scan

NAMED = 3  # files that are named as examples of a fault
ORIENTATION, LYING = 274, (5, 6, 7, 8)  # the tag of EXIF, and its values that swap the sides
UNTOLD = "pictures that no label tells of"
WHOLE = 1.001  # a whole picture in shares, rounded
NO_TRAINING = "there is no split for training: that for validation or test is all there is"
NOWHERE = (float("nan"),) * 4  # a box that is no four numbers
Corners = tuple[float, float, float, float]  # left, top, right, bottom


class Reading(NamedTuple):
    """How labels are read."""

    masks: bool = False
    names: str | None = None  # file of class names, where labels are numbers


class Faults:
    """What is wrong with labels, by kind, and files that are examples."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.files: dict[str, dict[str, None]] = {}

    def add(self, kind: str, file: str, count: int = 1) -> None:
        """Count what is wrong in a file."""
        self.counts[kind] += count
        files = self.files.setdefault(kind, {})
        if len(files) < NAMED:
            files[file] = None

    def join(self, others: "Iterable[Faults]") -> "Faults":
        """Take in those of others, and return all."""
        for other in others:
            for kind, count in other.counts.items():
                self.counts[kind] += count
                files = [*self.files.get(kind, {}), *other.files[kind]]
                self.files[kind] = dict.fromkeys(files[:NAMED])
        return self

    def __str__(self) -> str:
        return "; ".join(
            f"{count:,} {kind} ({self.examples(kind)})"
            for kind, count in sorted(self.counts.items())
        )

    def examples(self, kind: str) -> str:
        """Names of files with such a fault."""
        names = [printable(os.path.basename(file)) for file in self.files[kind]]
        return ", ".join(names + ["..."] * (self.counts[kind] > len(names)))


def printable(name: str) -> str:
    r"""A name on one line, whatever it holds.

    >>> printable("two\nlines")
    'two\\nlines'
    """
    return repr(name)[1:-1]


class Labels:
    """The pictures of one split of one root, and the boxes on them.

    Boxes are in pixels of the picture as it is looked at, upright.
    """

    def __init__(self, root: str, names: Iterable[str] = ()) -> None:
        self.rows = Rows(root)  # paths of the pictures, relative to their folder
        self.sizes = array("q")  # height, width of each; 0, 0 where it cannot be read
        self.ids = array("q")  # what a file calls each picture, or empty
        self.numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.categories: list[int] = []  # what a file calls each class, or empty
        self.pictures = array("q")  # of each box
        self.corners = array("d")
        self.labels = array("q")  # numbers of classes, -1 where there is no such class
        self.crowds = array("b")
        self.areas = array("d")  # of what is in the box, or NaN
        self.segments = bytearray()  # masks, as JSON that COCO knows
        self.segment_ends = array("q")
        self.faults = Faults()

    def __len__(self) -> int:
        return len(self.rows.ends)

    def add_picture(self, path: str, size: tuple[int, int] | None = None) -> int:
        """Take a picture in, its height and width looked up if they are not told; its number."""
        self.rows.add(os.fsencode(path), None)
        self.sizes.extend(size or upright_size(os.path.join(self.rows.root, path)) or (0, 0))
        return len(self) - 1

    def size(self, picture: int) -> tuple[int, int]:
        """Height and width of a picture."""
        return self.sizes[2 * picture], self.sizes[2 * picture + 1]

    def number(self, name: str) -> int:
        """The number of a class, which a name that is new is given."""
        return self.numbers.setdefault(name, len(self.numbers))

    def add_box(
        self,
        picture: int,
        corners: Corners,
        label: int,
        *,
        crowd: bool = False,
        area: float = float("nan"),
        segment: bytes = b"",
    ) -> None:
        """Take a box in, whatever is wrong with it."""
        self.pictures.append(picture)
        self.corners.extend(corners)
        self.labels.append(label)
        self.crowds.append(crowd)
        self.areas.append(area)
        self.segments += segment
        self.segment_ends.append(len(self.segments))

    def refuse_shares(self, path: str) -> None:
        """Raise ValueError where the boxes of a file are told as shares of their pictures."""
        corners = np.frombuffer(self.corners) if self.corners else np.zeros(1)
        known = corners[np.isfinite(corners)]
        if known.any() and known.max() <= WHOLE:
            raise ValueError(
                f"{path}: no corner of a box is beyond {known.max():g}, as if boxes were shares of "
                f"their pictures; pixels would fit"
            )

    def sort_classes(self) -> None:
        """Number classes by name, where files bring no order of their own."""
        names = sorted(self.numbers, key=in_order)
        order = {self.numbers[name]: number for number, name in enumerate(names)} | {-1: -1}
        self.labels = array("q", (order[label] for label in self.labels))
        self.numbers = {name: number for number, name in enumerate(names)}


def paired(train: Labels | None, held_out: Labels | None) -> tuple[Labels, Labels | None] | None:
    """What to train on and what to hold out; what is for holding out stands in, and says so."""
    if train is None and held_out is not None:
        held_out.rows.notes.append(NO_TRAINING)
        return held_out, None
    return None if train is None else (train, held_out)


def in_order(name: str) -> tuple[int, str]:
    """What names are sorted by: 2 comes before 10, and words come last.

    >>> sorted(["10", "b", "2", "a"], key=in_order)
    ['2', '10', 'a', 'b']
    """
    return (int(name), "") if name.isdecimal() and len(name) < 19 else (10**19, name)


def number_of(value: object) -> float:
    """A number as files hold it, or NaN.

    >>> number_of("3.5"), number_of(None), number_of("x")
    (3.5, nan, nan)
    """
    with suppress(TypeError, ValueError, OverflowError):
        return float(value)  # type: ignore[arg-type]
    return float("nan")


def told_size(height: object, width: object) -> tuple[int, int] | None:
    """A size as files hold it; None where it is none, which leaves it to be looked up."""
    tall, wide = number_of(height), number_of(width)
    return (int(tall), int(wide)) if 1 <= tall < 2**31 and 1 <= wide < 2**31 else None


def upright_size(path: str) -> tuple[int, int] | None:
    """Height and width of a picture as it is looked at, its header read; None if it cannot be."""
    with suppress(BadSample), opened(path) as (_, image):
        width, height = image.size
        turned = False
        with suppress(*BROKEN):  # as where it is decoded
            # Pillow has turned the size of a TIFF before.
            turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in LYING
        return (width, height) if turned else (height, width)
    return None


def pictures_in(folder: str) -> list[str]:
    """Paths, below a folder, of its pictures at any depth, in order."""
    wanted = Wanted(EXTENSIONS, sniff)
    return [os.fsdecode(path) for path in scan(folder, wanted)]


def polygon_segment(points: Sequence[float]) -> bytes:
    """A polygon x, y, x, y, ... as a mask."""
    return ("[[" + ",".join(f"{value:.6g}" for value in points) + "]]").encode()
