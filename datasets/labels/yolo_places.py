"""Where the pictures of a YOLO are, and what its classes are called."""

import os
from typing import Any, NamedTuple

import yaml

from maskedae.lists import HELD_OUT

NAME_FILES = ("classes.txt", "obj.names", "names.txt", "labels/classes.txt", "_darknet.labels")
CONFIGS = ("data.yaml", "data.yml", "dataset.yaml")
LAYOUTS = [("images/{}", "labels/{}"), ("{}/images", "{}/labels")]
MOST = 2**16  # classes


class Places(NamedTuple):
    """Folders and lists of pictures, and class names where there are any."""

    train: list[str]
    held_out: list[str]
    classes: list[str] | None


def find_places(root: str, names: str | None) -> Places | None:
    """Where the parts of a root are; None if it is no YOLO."""
    if os.path.isfile(root):
        if not root.lower().endswith((".yaml", ".yml")):
            return None
        if (content := load(root)) is None:
            raise ValueError(f"{root} names no pictures under 'train' or 'val'")
        return configured(root, content, names)
    for name in CONFIGS:
        if os.path.isfile(path := os.path.join(root, name)) and (content := load(path)):
            return configured(path, content, names)
    found = {split: folder_of(root, split) for split in ("train", *HELD_OUT)}
    train, *held = [[folder] if folder else [] for folder in found.values()]
    held_out = next(filter(None, held), [])
    if not train and not held_out:
        flat = [os.path.join(root, name) for name in ("images", "labels")]
        if os.path.isdir(flat[0]) and holds_text(flat[1]):
            train = [flat[0]]
        elif listed_names(root, None) and holds_text(root):
            train = [root]
    return Places(train, held_out, listed_names(root, names)) if train or held_out else None


def load(path: str) -> dict[str, Any] | None:
    """What a YAML file holds; None if it names no pictures."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    named = isinstance(content, dict) and (content.get("train") or content.get("val"))
    return content if named else None


def configured(path: str, content: dict[str, Any], names: str | None) -> Places:
    """The places that a data.yaml names."""
    if content.get("kpt_shape"):
        raise ValueError(f"{path}: kpt_shape tells of poses; labels of boxes or polygons would fit")
    train, *held = [places(path, content, split) for split in ("train", "val", "test")]
    told = told_names(path, content.get("names"))
    listed = listed_names(os.path.dirname(path), names) if names or not told else None
    if told and listed and told != listed:
        raise ValueError(
            f"{path} names other classes than {names}, {told[:5]}, not {listed[:5]}: leave "
            f"--data.label_names out, or have both name the same"
        )
    return Places(train, next(filter(None, held), []), told or listed)


def told_names(path: str, given: Any) -> list[str] | None:
    """Class names as they stand in a data.yaml: a list, or names by number."""
    if isinstance(given, list):
        return [str(name) for name in given]
    if not isinstance(given, dict) or not given:
        return None
    if not all(isinstance(key, int) and 0 <= key < MOST for key in given):
        raise ValueError(f"{path}: names go by numbers from 0, not {list(given)[:5]}")
    return [str(given.get(number, number)) for number in range(max(given) + 1)]


def places(path: str, content: dict[str, Any], split: str) -> list[str]:
    """Where the pictures of a split are: folders and lists. Raises ValueError for what is not."""
    here = os.path.dirname(path)
    given = content.get(split) or []
    top = str(content.get("path") or "")
    tops = [os.path.join(here, top), here, os.path.join(here, os.pardir, top)]
    found = []
    for place in given if isinstance(given, list) else [given]:
        # Roboflow writes ../train/images where it means train/images.
        forms = dict.fromkeys([str(place), str(place).removeprefix("../")])
        options = [os.path.normpath(os.path.join(top, form)) for form in forms for top in tops]
        there = next(filter(os.path.exists, options), None)
        if there is not None:
            found.append(there)
        elif split != "test":  # which few have, and nobody has asked for
            looked = ", ".join(dict.fromkeys(options))
            raise ValueError(f"{path}: {split} is {place}, but there is no {looked}")
    return found


def folder_of(root: str, split: str) -> str | None:
    """The folder of a split's pictures, where there are texts of labels to it."""
    for layout in LAYOUTS:
        pictures, texts = (os.path.join(root, name.format(split)) for name in layout)
        if os.path.isdir(pictures) and holds_text(texts):
            return pictures
    return None


def holds_text(folder: str) -> bool:
    """Whether .txt files lie in a folder or below, other than class names."""
    return any(is_text(name) for _, _, names in os.walk(folder) for name in names)


def is_text(name: str) -> bool:
    """Whether a file may hold labels, by its name."""
    return name.endswith(".txt") and name not in NAME_FILES


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
