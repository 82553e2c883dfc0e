"""Boxes as the text files of YOLO tell them, one beside each picture or in labels/ for images/.

A root is data.yaml, which names folders or lists of pictures, or a folder that holds it or else

    images/train, labels/train           and the same of val or the like
    train/images, train/labels           and the same of val or the like
    images, labels                       for all
    pictures and .txt files              with classes.txt, obj.names or data.yaml beside them

A line is a class number and, as shares of the picture, centre, width and height of a box, or the
corners of a polygon. A picture without a file has no boxes. Classes stand in data.yaml,
classes.txt or obj.names, or else go by their number.
"""

import os
from collections import Counter
from collections.abc import Iterator

from maskedae.datasets.labels.labels import (
    NOWHERE,
    Corners,
    Labels,
    Reading,
    number_of,
    paired,
    pictures_in,
    polygon_segment,
)
from maskedae.datasets.labels.yolo_places import find_places, is_text


def open_yolo(root: str, reading: Reading) -> tuple[Labels, Labels | None] | None:
    """What to train on and what to hold out of a root; None if it is no YOLO."""
    places = find_places(root, reading.names)
    if places is None:
        return None
    classes = None if places.classes is None else distinct(places.classes, reading.names or root)
    train, held_out = (
        read(part, classes, reading.masks) if part else None
        for part in (places.train, places.held_out)
    )
    return paired(train, held_out)


def read(parts: list[str], classes: list[str] | None, masks: bool) -> Labels:
    """Take in the pictures of folders and lists."""
    # Paths are relative to the folder if it is one: which are held out depends on them.
    top = parts[0] if len(parts) == 1 and os.path.isdir(parts[0]) else ""
    labels = Labels(top)
    numbers = None if classes is None else [labels.number(name) for name in classes]
    seen = set[str]()
    for path in dict.fromkeys(path for part in parts for path in pictures_of(part)):
        picture = labels.add_picture(os.path.relpath(path, top) if top else path)
        seen.add(text := text_of(path))
        take(labels, picture, text, numbers, masks)
    if not len(labels):
        raise ValueError(f"{', '.join(parts)}: no pictures")
    for part in filter(os.path.isdir, parts):
        count_lonely(labels, part, seen)
    if numbers is None:
        labels.sort_classes()
    return labels


def distinct(classes: list[str], path: str) -> list[str]:
    """Class names, the number where one is empty. Raises ValueError where two are the same.

    >>> distinct(["cat", ""], "classes.txt")
    ['cat', '1']
    """
    found = [name or str(number) for number, name in enumerate(classes)]
    if twice := [name for name, count in Counter(found).items() if count > 1]:
        numbers = [number for number, name in enumerate(found) if name == twice[0]]
        raise ValueError(f"{path}: classes {numbers} are all {twice[0]!r}; names of their own fit")
    return found


def pictures_of(part: str) -> Iterator[str]:
    """Paths of the pictures of a folder, or of a list."""
    if os.path.isdir(part):
        yield from (os.path.join(part, name) for name in pictures_in(part))
        return
    with open(part, encoding="utf-8-sig", errors="surrogateescape") as lines:
        for line in lines:
            if line.strip():
                yield os.path.normpath(os.path.join(os.path.dirname(part), line.strip()))


def text_of(path: str) -> str:
    """The label file of a picture: beside it, or in labels/ where the picture is in images/."""
    beside = os.path.splitext(path)[0] + ".txt"
    above, found, below = beside.rpartition(f"{os.sep}images{os.sep}")
    apart = f"{above}{os.sep}labels{os.sep}{below}"
    return apart if found and (os.path.exists(apart) or not os.path.exists(beside)) else beside


def count_lonely(labels: Labels, folder: str, seen: set[str]) -> None:
    """Count label files that there is no picture to."""
    top = os.path.dirname(text_of(os.path.join(folder, "a.jpg")))
    for here, _, names in os.walk(top):
        for path in (os.path.join(here, name) for name in sorted(names) if is_text(name)):
            if path not in seen:
                labels.faults.add("label files without a picture", path)


def take(labels: Labels, picture: int, path: str, numbers: list[int] | None, masks: bool) -> None:
    """Take in the boxes of one file."""
    sides = labels.size(picture)[::-1]
    if not sides[0] or not os.path.exists(path):
        return  # a picture that cannot be read is named when it is
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for line in filter(str.strip, file):
            first, *values = map(number_of, line.split())
            polygon = is_polygon(values)
            if not polygon and len(values) != 4:
                values = []  # neither: a box with something behind it, or a pose
            points = [value * sides[at % 2] for at, value in enumerate(values)]
            segment = polygon_segment(points) if polygon and masks else b""
            labels.add_box(
                picture, corners(points), class_of(labels, first, numbers), segment=segment
            )


def class_of(labels: Labels, value: float, numbers: list[int] | None) -> int:
    """The number of the class that a line names by its number; -1 if there is none."""
    if not value.is_integer() or not 0 <= value < 2**31:
        return -1
    if numbers is None:
        return labels.number(str(int(value)))
    return numbers[int(value)] if value < len(numbers) else -1


def is_polygon(shares: list[float]) -> bool:
    """Whether these are corners of a polygon, x, y, x, y, ..., not centre and size of a box.

    What lies far outside its picture is none, but the number of a track or of what can be seen.
    """
    whole = len(shares) >= 6 and len(shares) % 2 == 0
    return whole and all(-0.5 < share < 1.5 for share in shares)


def corners(points: list[float]) -> Corners:
    """Corners of the box around a polygon, or of one that stands as centre, width and height.

    >>> corners([5, 5, 2, 4]), corners([1, 2, 3, 4, 5, 0])
    ((4.0, 3.0, 6.0, 7.0), (1, 0, 5, 4))
    """
    if len(points) >= 6:
        return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
    if len(points) != 4:
        return NOWHERE
    x, y, width, height = points
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
