"""Small sets of pictures with boxes, in every form."""

import json
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 40, 30
BOXES = {
    "a": [(2, 3, 12, 13, "cat"), (20, 10, 30, 28, "dog")],
    "b": [(0, 0, 40, 30, "dog")],
    "c": [],
}


def picture(path: Path, size=(WIDTH, HEIGHT), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 200)).save(path, **options)
    return path


def coco(pictures, annotations, categories=("cat", "dog")) -> dict:
    """COCO's JSON of pictures (name, width, height) and annotations (picture, box, category)."""
    return {
        "images": [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, (name, width, height) in enumerate(pictures, 1)
        ],
        "annotations": [
            {"id": number, "image_id": image, "bbox": box, "category_id": category, "iscrowd": 0}
            | {"area": box[2] * box[3]}
            for number, (image, box, category) in enumerate(annotations)
        ],
        "categories": [{"id": 10 * n, "name": name} for n, name in enumerate(categories, 1)],
    }


def write_coco(root: Path, split="train") -> None:
    names = [picture(root / split / f"{name}.png").name for name in BOXES]
    rows = [
        (number, [left, top, right - left, bottom - top], 10 if label == "cat" else 20)
        for number, boxes in enumerate(BOXES.values(), 1)
        for left, top, right, bottom, label in boxes
    ]
    content = coco([(name, WIDTH, HEIGHT) for name in names], rows)
    (root / f"{split}.json").write_text(json.dumps(content))


def yolo_line(left, top, right, bottom, label) -> str:
    x, y, wide, tall = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    number = ("cat", "dog").index(label)
    return f"{number} {x / WIDTH} {y / HEIGHT} {wide / WIDTH} {tall / HEIGHT}\n"


def write_yolo(root: Path, split="train") -> None:
    (root / "labels" / split).mkdir(parents=True)
    (root / "data.yaml").write_text(f"{split}: images/{split}\nnames: [cat, dog]\n")
    for name, boxes in BOXES.items():
        picture(root / "images" / split / f"{name}.png")
        lines = [yolo_line(*box) for box in boxes]
        if lines:
            (root / "labels" / split / f"{name}.txt").write_text("".join(lines))


def voc_xml(name, boxes, size=(WIDTH, HEIGHT)) -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for left, top, right, bottom, label in boxes
    )
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{sides}{objects}</annotation>"


def write_voc(root: Path, split="train") -> None:
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, boxes in BOXES.items():
        picture(root / "JPEGImages" / f"{name}.png")
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(f"{name}.png", boxes))
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(BOXES))


def write_table(root: Path, split="train") -> None:
    lines = ["path,x1,y1,x2,y2,label"]
    for name, boxes in BOXES.items():
        picture(root / "images" / f"{name}.png")
        lines += [f"{name}.png,{','.join(map(str, box))}" for box in boxes] or [f"{name}.png,,,,,"]
    (root / f"{split}.csv").write_text("\n".join(lines))


WRITERS = [write_coco, write_yolo, write_voc, write_table]
