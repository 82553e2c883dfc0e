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

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml

from maskedae.datasets.labels.labels import (
    NOWHERE,
    Corners,
    Labels,
    number_of,
    pictures_in,
    polygon_segment,
)
from maskedae.lists import HELD_OUT

NAME_FILES = ("classes.txt", "obj.names", "names.txt", "labels/classes.txt", "_darknet.labels")
CONFIGS = ("data.yaml", "data.yml", "dataset.yaml")


def open_yolo(root: str, masks: bool, names: str | None) -> tuple[Labels, Labels | None] | None:
    """What to train on and what to hold out of a root; None if it is no YOLO."""
    if os.path.isfile(root):
        if not root.lower().endswith((".yaml", ".yml")):
            return None
        content = load(root)
        if not isinstance(content, dict) or not (content.get("train") or content.get("val")):
            raise ValueError(f"{root} names no pictures under 'train' or 'val'")
        return configured(root, content, masks, names)
    for name in CONFIGS:
        if os.path.isfile(path := os.path.join(root, name)):
            content = load(path)
            if isinstance(content, dict) and (content.get("train") or content.get("val")):
                return configured(path, content, masks, names)
    folders = [folders_of(root, split) for split in ("train", *HELD_OUT)]
    train, *held = [[folder] if folder else [] for folder in folders]
    held_out = next((folder for folder in held if folder), [])
    if not train and not held_out:
        flat = [os.path.join(root, name) for name in ("images", "labels")]
        if all(map(os.path.isdir, flat)) and holds_text(flat[1]):
            train = [flat[0]]
        elif listed_names(root, None) and holds_text(root):
            train = [root]
    classes = listed_names(root, names)
    found = [read(part, classes, masks) for part in (train, held_out) if part]
    return (found[0], found[1] if len(found) > 1 else None) if found else None


def load(path: str) -> Any:
    """What a YAML file holds."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not YAML: {error}") from error


def configured(
    path: str, content: dict[str, Any], masks: bool, names: str | None
) -> tuple[Labels, Labels | None]:
    """Read what a data.yaml names."""
    here = os.path.dirname(path) or os.curdir
    given = content.get("names")
    classes: list[str] | None = None
    if names is None and isinstance(given, dict):
        highest = max((int(number_of(key)) for key in given), default=-1)
        by_number = {int(number_of(key)): str(name) for key, name in given.items()}
        classes = [by_number.get(number, str(number)) for number in range(highest + 1)]
    elif names is None and isinstance(given, list):
        classes = [str(name) for name in given]
    classes = classes or listed_names(here, names)
    train, *held = [places(path, content, key) for key in ("train", "val", "test")]
    held_out = next((folders for folders in held if folders), [])
    found = [read(part, classes, masks) for part in (train, held_out) if part]
    return found[0], found[1] if len(found) > 1 else None


def places(path: str, content: dict[str, Any], split: str) -> list[str]:
    """Where the pictures of a split are: folders and lists. Raises ValueError for what is not."""
    here = os.path.dirname(path) or os.curdir
    given = content.get(split) or []
    top = str(content.get("path") or "")
    tops = [os.path.join(here, top), here, os.path.join(here, os.pardir, top)]
    found = []
    for place in [given] if isinstance(given, str) else given:
        # Roboflow writes ../train/images where it means train/images.
        forms = dict.fromkeys([str(place), str(place).removeprefix("../")])
        options = [os.path.join(top, form) for form in forms for top in tops]
        there = next((option for option in options if os.path.exists(option)), None)
        if there is None and split == "test":
            continue  # few have it, and nobody asked for it
        if there is None:
            looked = ", ".join(dict.fromkeys(map(os.path.normpath, options)))
            raise ValueError(f"{path}: {split} is {place}, but there is no {looked}")
        found.append(os.path.normpath(there))
    return found


def folders_of(root: str, split: str) -> str | None:
    """The folder of a split's pictures, where there is one of their labels too."""
    for pictures, texts in [
        (f"images/{split}", f"labels/{split}"),
        (f"{split}/images", f"{split}/labels"),
    ]:
        both = [os.path.join(root, name) for name in (pictures, texts)]
        if all(map(os.path.isdir, both)):
            return both[0]
    return None


def holds_text(folder: str) -> bool:
    """Whether a folder holds .txt files, or one of its folders does."""
    return any(
        name.endswith(".txt") and name not in NAME_FILES
        for depth, (_, _, names) in enumerate(os.walk(folder))
        if depth < 10
        for name in names
    )


def listed_names(folder: str, names: str | None) -> list[str] | None:
    """Class names, one on a line, from a file given or one that lies in a folder."""
    files = [names] if names else [os.path.join(folder, name) for name in NAME_FILES]
    for file in files:
        if names or os.path.isfile(file):
            with open(file, encoding="utf-8-sig", errors="replace") as lines:
                found = [line.strip() for line in lines]
            while found and not found[-1]:
                found.pop()  # a blank line amid others is a class, whose number must stay
            return found
    return None


def read(parts: list[str], classes: list[str] | None, masks: bool) -> Labels:
    """Take in the pictures of folders and lists."""
    root = parts[0] if len(parts) == 1 and os.path.isdir(parts[0]) else os.curdir
    top = root if len(parts) == 1 and os.path.isdir(parts[0]) else ""
    labels = Labels(root if top else os.path.abspath(root))
    numbers = [labels.number(name) for name in distinct(classes)] if classes else None
    seen = set[str]()
    for part in parts:
        for path in pictures_of(part):
            name = os.path.relpath(path, top) if top else os.path.abspath(path)
            picture = labels.add_picture(name)
            text = text_of(path)
            seen.add(text)
            take(labels, picture, text, numbers, masks)
    if not len(labels):
        raise ValueError(f"{', '.join(parts)}: no pictures")
    for part in filter(os.path.isdir, parts):
        lonely(labels, part, seen)
    if numbers is None:
        labels.sort_classes()
    return labels


def distinct(classes: list[str]) -> list[str]:
    """Class names of which none stands twice or is empty: those that do go by their number.

    >>> distinct(["cat", "", "cat"])
    ['cat', '1', '2']
    """
    known = set[str]()
    found = []
    for number, name in enumerate(classes):
        found.append(name if name and name not in known else str(number))
        known.add(name)
    return found


def pictures_of(part: str) -> Iterator[str]:
    """Paths of the pictures of a folder, or of a list."""
    if os.path.isdir(part):
        yield from (os.path.join(part, name) for name in pictures_in(part))
        return
    with open(part, encoding="utf-8-sig", errors="surrogateescape") as lines:
        for line in lines:
            if line.strip():
                yield os.path.join(os.path.dirname(part), line.strip())


def text_of(path: str) -> str:
    """The label file of a picture: beside it, or in labels/ where the picture is in images/."""
    beside = os.path.splitext(path)[0] + ".txt"
    above, found, below = beside.rpartition(f"{os.sep}images{os.sep}")
    apart = f"{above}{os.sep}labels{os.sep}{below}"
    return apart if found and (os.path.exists(apart) or not os.path.exists(beside)) else beside


def lonely(labels: Labels, folder: str, seen: set[str]) -> None:
    """Count label files of a folder to which there is no picture."""
    inside = os.path.join(folder, "")
    top = os.path.dirname(text_of(os.path.join(inside, "a.jpg")))
    for here, _, names in os.walk(top):
        for name in sorted(names):
            path = os.path.join(here, name)
            if name.endswith(".txt") and name not in NAME_FILES and path not in seen:
                labels.faults.add("label files without a picture", path)


def take(labels: Labels, picture: int, path: str, numbers: list[int] | None, masks: bool) -> None:
    """Take in the boxes of one file."""
    height, width = labels.size(picture)
    lines: list[str] = []
    with suppress(FileNotFoundError), open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = [line for line in file if line.strip()]
    if not height:
        return  # a picture that cannot be read is named when it is
    for line in lines:
        values = [number_of(value) for value in line.split()]
        number = int(values[0]) if values[0].is_integer() and values[0] >= 0 else None
        label = -1
        if number is not None and numbers is None:
            label = labels.number(str(number))
        elif number is not None and numbers is not None and number < len(numbers):
            label = numbers[number]
        points = [value * (width, height)[at % 2] for at, value in enumerate(values[1:])]
        polygon = len(points) >= 6 and len(points) % 2 == 0
        segment = polygon_segment(points) if polygon and masks else b""
        labels.add_box(picture, corners(points), label, segment=segment)


def corners(points: list[float]) -> Corners:
    """Corners of the box around a polygon, or of one that stands as centre, width and height.

    >>> corners([5, 5, 2, 4]), corners([1, 2, 3, 4, 5, 0])
    ((4.0, 3.0, 6.0, 7.0), (1, 0, 5, 4))
    """
    if not all(map(math.isfinite, points)):
        return NOWHERE
    if len(points) == 4:
        x, y, width, height = points
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(points) >= 6 and len(points) % 2 == 0:
        return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
    return NOWHERE
