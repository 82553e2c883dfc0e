"""Pictures of what a detector finds: on the picture alone, and beside what is there."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from maskedae.boxed import Found, Truth
from maskedae.data import Data
from maskedae.detection.detector import Detector
from maskedae.drawn_boxes import draw_boxes
from maskedae.evaluation import spread
from maskedae.pictures import Cell, contact_sheet

SURE = 0.5  # less probable boxes are not drawn, if nothing else is said
ROWS = 4  # pictures on a sheet
SIDE = 480  # pixels of the longer side of a drawn picture, at least


def drawn(pixels: Tensor, things: Truth | Found, classes: Sequence[str]) -> Tensor:
    """Draw boxes on a picture, a small one enlarged: uint8 (C, h, w) -> (3, ...)."""
    factor = -(-SIDE // max(pixels.shape[-2:]))
    scores, masks = (things.scores, None) if isinstance(things, Found) else (None, things.masks)
    if isinstance(things, Found) and things.masks is not None and len(things.masks):
        height, width = pixels.shape[-2:]
        masks = torch.stack(list(things.pasted((height, width))))
    masks = None if masks is None else larger(masks, factor)
    pixels = larger(pixels[: 1 if len(pixels) == 1 else 3], factor)
    return draw_boxes(pixels, things.boxes * factor, things.labels, classes, scores, masks)


def larger(values: Tensor, factor: int) -> Tensor:
    """Every pixel a square: (n, h, w) -> (n, factor h, factor w)."""
    return values.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


@torch.no_grad()
def draw_beside_truth(
    model: Detector, data: Data, source: Any, readable: Sequence[int], title: str, path: Path
) -> None:
    """Write a sheet of pictures of a source, what is there beside what is found."""
    training, rows = model.training, []
    numbers = {name: number for number, name in enumerate(model.classes)}
    model.eval()
    device = next(model.parameters()).device
    for place in spread(len(readable), ROWS):
        index = readable[place]
        boxed = source.whole(index).to(device)
        (found,) = model(data.signal(boxed))
        (pixels,), (truth,) = boxed.pictures, boxed.truths
        labels = [numbers[source.classes[label]] for label in truth.labels.tolist()]
        truth = truth._replace(labels=torch.tensor(labels, dtype=torch.int64))
        pair = (Path(source.name(index)).name, truth), ("found", found.over(SURE))
        rows.append(
            [
                Cell(caption, drawn(pixels, things, model.classes).movedim(0, -1))
                for caption, things in pair
            ]
        )
    model.train(training)
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(rows, title).save(path, format="PNG")


def written(source: Any, folder: Path) -> list[Path]:
    """Where the drawn picture of every file goes: no two to the same place."""
    places, tried = list[Path](), Counter[str]()
    taken = set[Path]()
    for index in range(len(source)):
        stem = Path(source.name(index)).stem
        place = folder / f"{stem}.png"
        while place in taken:
            tried[stem] += 1
            place = folder / f"{stem}-{tried[stem] + 1}.png"
        taken.add(place)
        places.append(place)
    return places


def save_drawn(pixels: Tensor, found: Found, classes: Sequence[str], path: Path) -> None:
    """Write a picture, uint8 (C, h, w), with what is found on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = drawn(pixels, found, classes).movedim(0, -1).contiguous()
    Image.fromarray(picture.numpy()).save(path, format="PNG")
