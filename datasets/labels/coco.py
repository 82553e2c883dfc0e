"""Boxes as the JSON of COCO tells them, with masks and crowds.

A root is such a file, or a folder that holds one for each split:

    train.json, val.json                         pictures in train/, val/ or images/
    annotations/instances_train2017.json         pictures in train2017/
    train/_annotations.coco.json                 pictures beside it
    annotations.json, _annotations.coco.json     or one for all
"""

import json
import math
import os
from typing import Any

import faster_coco_eval.core.mask as coco_masks

from maskedae.datasets.labels.finding import picture_folder, split_files
from maskedae.datasets.labels.labels import (
    NOWHERE,
    Corners,
    Labels,
    Reading,
    number_of,
    paired,
    told_size,
)

SPLIT_FILES = [
    "{}.json",
    "{}/_annotations.coco.json",
    "{}/annotations.json",
    "{}/labels.json",
    "annotations/{}.json",
    "annotations/instances_{}.json",
    "annotations/instances_{}[0-9]*.json",
    "instances_{}.json",
    "instances_{}[0-9]*.json",
]
WHOLE = [
    "_annotations.coco.json",
    "annotations.json",
    "annotations/instances_default.json",
    "labels.json",
    "result.json",
]


def open_coco(root: str, reading: Reading) -> tuple[Labels, Labels | None] | None:
    """What to train on and what to hold out of a root; None if it is no COCO."""
    if os.path.isfile(root):
        if not root.lower().endswith(".json"):
            return None
        return paired(read_file(root, reading.masks), None)
    whole = [(os.path.join(root, name), None) for name in WHOLE]
    for train, held_out in [split_files(root, SPLIT_FILES), *whole]:
        # One after the other: what JSON makes of a large file takes gigabytes.
        parts = read_file(train, reading.masks), read_file(held_out, reading.masks)
        for file, part, other in zip((train, held_out), parts, parts[::-1], strict=True):
            if part is None and other is not None and file is not None and os.path.isfile(file):
                raise ValueError(f"{file} has no lists `images` and `annotations`, as COCO has")
        if found := paired(*parts):
            return found
    return None


def read_file(path: str | None, masks: bool) -> Labels | None:
    """Take in what a file tells, if there is one and it is COCO's."""
    if path is None or not os.path.isfile(path):
        return None
    content = load(path, masks)
    return read(path, content) if of_coco(content) else None


def load(path: str, masks: bool) -> Any:
    """Read a file, every annotation as a tuple: with polygons as lists, COCO's would fill 5 GB."""

    def thin(node: dict[str, Any]) -> Any:
        if "image_id" not in node:
            return node
        segment = dumped(node.get("segmentation")) if masks else b""
        entries = ("image_id", "category_id", "bbox", "iscrowd", "area")
        return (*(node.get(entry) for entry in entries), segment)

    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file, object_hook=thin)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error


def of_coco(content: Any) -> bool:
    """Whether JSON is what COCO tells its labels by."""
    lists = ("images", "annotations")
    return isinstance(content, dict) and all(isinstance(content.get(k), list) for k in lists)


def read(path: str, content: dict[str, Any]) -> Labels:
    """Take in all pictures, classes and boxes of a file."""
    images = [node for node in content["images"] if isinstance(node, dict)]
    images = [node for node in images if is_path(node.get("file_name"))]
    if not images:
        raise ValueError(f"{path} lists no pictures")
    labels = Labels(picture_folder(path, [node["file_name"] for node in images]))
    classes = read_classes(labels, content.get("categories") or [], path)
    pictures: dict[str, int] = {}
    for node in images:
        if (key := str(node.get("id"))) in pictures:
            file = os.path.join(labels.rows.root, node["file_name"])
            labels.faults.add("pictures with the number of another", file)
            continue
        size = told_size(node.get("height"), node.get("width"))
        pictures[key] = labels.add_picture(node["file_name"], size)
    if unnamed := len(content["images"]) - len(images):
        labels.faults.add("pictures without a name", path, unnamed)
    if all(isinstance(node.get("id"), int) and abs(node["id"]) < 2**63 for node in images):
        labels.ids.extend(map(int, pictures))
    for item in content["annotations"]:
        take(labels, item, pictures, classes, path)
    labels.refuse_shares(path)
    return labels


def is_path(name: Any) -> bool:
    """Whether a file can have such a name: half characters of JSON stand for none."""
    return isinstance(name, str) and name.encode("utf-8", "replace").decode() == name != ""


def read_classes(labels: Labels, nodes: list[Any], path: str) -> dict[str, int]:
    """Number the classes of a file in the order of their ids; numbers by id.

    Those of one name are one: Roboflow lists the name of a set, too, which may be that of a class.
    """
    nodes = [node for node in nodes if isinstance(node, dict) and "id" in node]
    whole = all(isinstance(node["id"], int) for node in nodes)
    nodes.sort(key=lambda node: node["id"] if whole else str(node["id"]))
    numbers = {str(n["id"]): labels.number(str(n.get("name", n["id"]))) for n in nodes}
    if merged := len(nodes) - len(labels.numbers):
        labels.faults.add("categories of the name or number of another", path, merged)
    if whole and len(numbers) == len(labels.numbers) == len(nodes):
        labels.categories = [node["id"] for node in nodes]
    return numbers


def take(
    labels: Labels, item: Any, pictures: dict[str, int], classes: dict[str, int], path: str
) -> None:
    """Take in one annotation, as `load` has left it."""
    if not isinstance(item, tuple):
        labels.faults.add("annotations without a picture", path)
        return
    image, category, box, crowd, area, segment = item
    if (picture := pictures.get(str(image))) is None:
        labels.faults.add("annotations of pictures that are not listed", path)
        return
    if segment.startswith(b"{") and not decodes(segment, labels.size(picture)):
        segment = b""
    labels.add_box(
        picture,
        corners(box),
        classes.get(str(category), -1),
        crowd=number_of(crowd) == 1,
        area=number_of(area),
        segment=segment,
    )


def corners(box: Any) -> Corners:
    """Corners of a box that stands as left, top, width, height."""
    if not isinstance(box, list) or len(box) != 4:
        return NOWHERE
    left, top, width, height = map(number_of, box)
    return left, top, left + width, top + height


def dumped(segment: Any) -> bytes:
    """A mask as JSON; nothing if it is none."""
    if isinstance(segment, list):
        whole = [part for part in segment if is_polygon(part)]
        return json.dumps(whole, separators=(",", ":")).encode() if whole else b""
    return json.dumps(segment).encode() if isinstance(segment, dict) else b""


def is_polygon(points: Any) -> bool:
    """Whether points x, y, x, y, ... span an area."""
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        return False
    return all(isinstance(p, (int, float)) and math.isfinite(p) and abs(p) < 2**20 for p in points)


def decodes(segment: bytes, size: tuple[int, int]) -> bool:
    """Whether a run-length code is one of a picture of that height and width."""
    node = json.loads(segment)
    try:
        mask = coco_masks.decode(coco_masks.segmToRle(node, size[1], size[0]))
    except (KeyError, ValueError, RuntimeError, TypeError):
        return False
    return bool(mask.shape == size)
