"""Boxes as the XML of Pascal VOC tells them, one file for each picture.

A root is a folder that holds

    Annotations/, JPEGImages/, ImageSets/Main/train.txt, val.txt, trainval.txt, test.txt
    annotations/, images/                 also either with train/, val/ or the like inside
    train/, val/ or the like              of pictures with an .xml beside each
    pictures with an .xml beside each

Coordinates are taken as they are. A picture without XML is not labelled, and left out; objects that
are marked as difficult count like others.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from maskedae.datasets.labels.labels import (
    UNTOLD,
    Corners,
    Labels,
    Reading,
    number_of,
    paired,
    pictures_in,
    told_size,
)
from maskedae.lists import HELD_OUT

SIDES = ("xmin", "ymin", "xmax", "ymax")
FOLDERS = [("Annotations", "JPEGImages"), ("annotations", "images"), ("Annotations", "images")]
SETS = os.path.join("ImageSets", "Main")


class Part(NamedTuple):
    """Where the files of a split are."""

    texts: str  # folder of XML
    pictures: str  # folder of pictures
    stems: list[str] | None = None  # names of the files, without extension; None takes all


class NoEntities(TreeBuilder):
    """Refuses what may make a small file fill the memory, or open others."""

    def doctype(self, *_: object) -> None:
        raise ValueError("XML with a document type is not read")


def open_voc(root: str, reading: Reading) -> tuple[Labels, Labels | None] | None:
    """What to train on and what to hold out of a root; None if it is no VOC."""
    if not os.path.isdir(root):
        return None
    train, held_out = parts_of(root)
    return paired(train and read(train), held_out and read(held_out))


def parts_of(root: str) -> tuple[Part | None, Part | None]:
    """Where the files to train on are, and those to hold out."""
    for folders in FOLDERS:
        texts, pictures = (os.path.join(root, name) for name in folders)
        if not (os.path.isdir(texts) and os.path.isdir(pictures)):
            continue
        if sets := chosen(Part(texts, pictures), os.path.join(root, SETS)):
            return sets
        inner = {
            split: Part(os.path.join(texts, split), os.path.join(pictures, split))
            for split in ("train", *HELD_OUT)
        }
        if any(holds_xml(part.texts) for part in inner.values()):
            return pick({split: part for split, part in inner.items() if holds_xml(part.texts)})
        if holds_xml(texts):
            return Part(texts, pictures), None
    beside = {split: os.path.join(root, split) for split in ("train", *HELD_OUT)}
    beside = {split: folder for split, folder in beside.items() if holds_xml(folder)}
    if beside:
        return pick({split: Part(folder, folder) for split, folder in beside.items()})
    return (Part(root, root), None) if holds_xml(root) else (None, None)


def pick(parts: dict[str, Part]) -> tuple[Part | None, Part | None]:
    """The part to train on, and the first that there is to hold out."""
    return parts.get("train"), next((parts[name] for name in HELD_OUT if name in parts), None)


def chosen(part: Part, sets: str) -> tuple[Part | None, Part | None] | None:
    """The splits that lists of names make; None without lists."""
    stems = {
        name: listed(path)
        for name in ("train", "val", "trainval", "test")
        if os.path.isfile(path := os.path.join(sets, f"{name}.txt"))
    }
    for train, held_out in [("train", "val"), ("trainval", "test"), ("train", "test")]:
        if {train, held_out} <= set(stems):
            return part._replace(stems=stems[train]), part._replace(stems=stems[held_out])
    parts = {name: part._replace(stems=found) for name, found in stems.items()}
    whole = parts.get("train", parts.get("trainval"))
    return (whole, None if whole else pick(parts)[1]) if parts else None


def listed(path: str) -> list[str]:
    """Names that a list holds, without what stands behind them."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as lines:
        return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))


def holds_xml(folder: str) -> bool:
    """Whether a folder holds XML."""
    return os.path.isdir(folder) and any(map(is_xml, os.listdir(folder)))


def is_xml(name: str) -> bool:
    """Whether a file is XML, by its name."""
    return name.lower().endswith(".xml") and not name.startswith(".")


def read(part: Part) -> Labels:
    """Take in the pictures of a split that have a file."""
    labels = Labels(part.pictures)
    known = {os.path.splitext(name)[0]: name for name in reversed(pictures_in(part.pictures))}
    left = dict(known) if part.stems is None else {}
    for stem, path in files_of(part):
        if not os.path.isfile(path):
            labels.faults.add(UNTOLD, os.path.join(part.pictures, known.get(stem, stem)))
            continue
        try:
            tree = parse(path)
        except (ParseError, ValueError, LookupError):  # the last of encodings that nobody knows
            labels.faults.add("label files that are no XML", path)
            left.pop(stem, None)
            continue
        told = (tree.findtext("filename") or "").strip()
        name = known.get(stem) or known.get(os.path.splitext(told)[0])
        if name is None:
            labels.faults.add("label files without a picture", path)
            continue
        left.pop(os.path.splitext(name)[0], None)
        take(labels, name, tree)
    for name in left.values():
        labels.faults.add(UNTOLD, os.path.join(part.pictures, name))
    if not len(labels):
        raise ValueError(f"{part.texts}: no label file of a picture in {part.pictures}")
    labels.sort_classes()
    return labels


def files_of(part: Part) -> Iterator[tuple[str, str]]:
    """Names without extension, and paths, of the files of a split."""
    if part.stems is not None:
        yield from ((stem, os.path.join(part.texts, f"{stem}.xml")) for stem in part.stems)
        return
    for name in sorted(filter(is_xml, os.listdir(part.texts))):
        yield os.path.splitext(name)[0], os.path.join(part.texts, name)


def parse(path: str) -> Element:
    """Read a file. Raises ParseError or ValueError."""
    parser = XMLParser(target=NoEntities())
    with open(path, "rb") as file:
        while data := file.read(2**16):
            parser.feed(data)
    tree: Element = parser.close()
    if tree.tag != "annotation":
        raise ValueError(f"{path} holds no annotation")
    return tree


def take(labels: Labels, name: str, tree: Element) -> None:
    """Take in a picture and its boxes."""
    size = told_size(tree.findtext("size/height"), tree.findtext("size/width"))
    picture = labels.add_picture(name, size)
    for node in tree.iter("object"):
        label = (node.findtext("name") or "").strip()
        labels.add_box(picture, corners(node), labels.number(label) if label else -1)


def corners(node: Element) -> Corners:
    """Corners of the box of an object, NaN where there is none."""
    left, top, right, bottom = (number_of(node.findtext(f"bndbox/{side}")) for side in SIDES)
    return left, top, right, bottom
