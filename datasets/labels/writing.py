"""Labels of any kind as COCO has them."""

import os
from typing import Any

from maskedae.datasets.labels.packed import Table


def as_coco(table: Table) -> dict[str, Any]:
    """All pictures that can be read, and what is on them, crowds too, for JSON."""
    images, annotations = [], []
    for index, (height, width) in enumerate(table.sizes.tolist()):
        if not height:
            continue
        number = int(table.ids[index])
        name = os.path.relpath(table.listing.path(index), top(table))
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        annotations += [annotation(table, row, number) for row in table.rows(index)]
    categories = [
        {"id": number, "name": name}
        for number, name in zip(table.categories, table.classes, strict=True)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def top(table: Table) -> str:
    """The folder that all pictures lie below."""
    return os.path.commonpath([os.path.abspath(root or os.curdir) for root in table.listing.roots])


def annotation(table: Table, row: int, image: int) -> dict[str, Any]:
    """A box as COCO has it."""
    left, top, right, bottom = table.boxes[row].tolist()
    box = [round(value, 6) for value in (left, top, right - left, bottom - top)]
    found = {
        "id": row + 1,  # not 0: pycocotools takes that for no match
        "image_id": image,
        "category_id": table.categories[int(table.labels[row])],
        "bbox": box,
        "area": float(table.areas[row]),
        "iscrowd": int(table.crowds[row]),
    }
    segment = table.segment(row)
    return found if segment is None else {**found, "segmentation": segment}
