"""A detector learns eight pictures of cells by heart."""

from pathlib import Path

import torch

from maskedae.boxed import Boxed
from maskedae.datasets.boxes import Boxes
from maskedae.detection.detector import Detector
from maskedae.detection.finding import look_at, results
from maskedae.detection.scoring import average_precision
from maskedae.settings import Heads
from maskedae.zoo import create_model

STEPS, PEAK = 300, 3e-3


def test_eight_pictures_are_learned_by_heart(shared: Path) -> None:
    torch.manual_seed(0)
    data = Boxes(root=str(shared / "detection" / "bccd"))
    source = data.source("train", (3, 192, 192), augment=False)
    cells = Boxed.stack([source.read(index) for index in range(8)])
    encoder = create_model(
        "hiera_tiny_224", size=(192, 192), width=32, heads=1, stages=(1, 2, 3, 1)
    ).encoder
    heads = Heads(
        channels=32, rpn_convs=1, box_convs=0, box_width=128, anchor=4, proposals=200, samples=128
    )
    detector = Detector(encoder, source.classes, heads)
    optimizer = torch.optim.AdamW(detector.parameters(), PEAK, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, STEPS, pct_start=0.2)
    pictures, truths = data.signal(cells), cells.truths
    for _ in range(STEPS):
        chosen = torch.randperm(8)[:4].tolist()
        losses = detector([pictures[i] for i in chosen], [truths[i] for i in chosen])
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    detector.eval()
    with torch.no_grad():
        found = look_at(detector, data, cells)
    truth, ids = source.answers(), [source.image_id(index) for index in range(8)]
    truth["images"] = [one for one in truth["images"] if one["id"] in ids]
    truth["annotations"] = [one for one in truth["annotations"] if one["image_id"] in ids]
    numbers = {one["name"]: one["id"] for one in truth["categories"]}
    rows = [
        row
        for one, size, name in zip(found, cells.sizes.tolist(), ids, strict=True)
        for row in results(one, size, name, source.classes, numbers)
    ]
    assert average_precision(truth, rows).whole["AP50"] > 0.9
