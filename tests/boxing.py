"""Pictures of coloured boxes with labels of COCO, and a detector that is soon trained."""

import json

import numpy as np
from PIL import Image

CLASSES = ("red", "blue")
COLOURS = np.array([[220, 40, 40], [40, 60, 220]], dtype=np.uint8)
SIZE = (64, 64)  # of the canvas

DETECT = {
    "model": {
        "name": "mae_vit_tiny_patch16",
        "size": list(SIZE),
        "patch": [8, 8],
        "width": 32,
        "depth": 2,
        "heads": 2,
    },
    "data": {
        "class_path": "maskedae.datasets.boxes.Boxes",
        "init_args": {"scale": [0.5, 1.5]},
    },
    "detect": {
        "window": 4,
        "wide": [1],
        "channels": 16,
        "rpn_convs": 1,
        "box_convs": 0,
        "box_width": 32,
        "mask_convs": 1,
    },
    "train": {
        "epochs": 4,
        "batch_size": 4,
        "base_lr": 0.1,
        "warmup_epochs": 0.5,
        "drops": [0.75],
        "layer_decay": 0.8,
        "drop_path": 0.2,
        "workers": 0,
        "save_every_steps": 3,
        "log_every_steps": 3,
        "look_every_epochs": 2,
        "device": "cpu",
    },
}


def write_boxes(folder, counts=(12, 4), masks=False):
    """Pictures of 40 to 80 pixels with boxes in two colours; every fifth has none."""
    rng = np.random.default_rng(0)
    for split, count in zip(("train", "val"), counts, strict=True):
        images, rows = [], []
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            height, width = rng.integers(40, 80, 2).tolist()
            pixels = rng.integers(150, 200, (height, width, 3), dtype=np.uint8)
            name = f"{number:03d}.png"
            for _ in range(0 if number % 5 == 4 else 1 + number % 3):
                label = int(rng.integers(2))
                w, h = rng.integers(10, 30, 2).tolist()
                left, top = int(rng.integers(width - w)), int(rng.integers(height - h))
                pixels[top : top + h, left : left + w] = COLOURS[label]
                one = {"id": len(rows), "image_id": number, "category_id": label + 3, "iscrowd": 0}
                one |= {"bbox": [left, top, w, h], "area": w * h}
                if masks:
                    right, bottom = left + w, top + h
                    one["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
                rows.append(one)
            Image.fromarray(pixels).save(folder / split / name)
            images.append({"id": number, "file_name": name, "width": width, "height": height})
        categories = [{"id": n + 3, "name": name} for n, name in enumerate(CLASSES)]
        whole = {"images": images, "annotations": rows, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(whole))
    return folder
