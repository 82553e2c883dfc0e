"""A trained detector at work: its scores, and what it finds on files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator, PartialState

from maskedae.boxed import Boxed, Found
from maskedae.checkpoints import write_whole
from maskedae.data import Data
from maskedae.detection.detector import Detector
from maskedae.detection.finding import (
    FEW,
    Finding,
    encoded,
    find,
    look_at,
    precisions,
    scores,
)
from maskedae.detection.pictures import draw_beside_truth
from maskedae.detection.scoring import Precision
from maskedae.loading import Skipped, batch_for, read_in_order
from maskedae.progress import Meter
from maskedae.runs import finite


class Evaluation(NamedTuple):
    """How a detector did on a split."""

    finding: Finding
    precisions: dict[str, Precision]  # of boxes, and of masks where there are any
    counts: dict[str, int]  # boxes of every class


class Seen(NamedTuple):
    """What a detector finds on a file."""

    file: str
    number: int  # of the file in its source
    size: tuple[int, int]  # height and width of its picture
    found: Found  # in pixels of its picture


def check_classes(model: Detector, counts: dict[str, int]) -> None:
    """Raise ValueError for boxes of classes that a detector does not know."""
    unknown = [name for name, count in counts.items() if count and name not in model.classes]
    if unknown:
        raise ValueError(
            f"the detector does not know {len(unknown)} of {len(counts)} classes, "
            f"{', '.join(unknown[:6])}; it knows {', '.join(model.classes[:6])}"
            + ", ..."
            * (len(model.classes) > 6)
        )


def evaluate(
    model: Detector, data: Data, source: Any, accelerator: Accelerator, workers: int = 0
) -> Evaluation:
    """Score a detector on all pictures of a source."""
    counts = source.box_counts()
    check_classes(model, counts)
    quiet = not accelerator.is_main_process
    mine = -(-(len(source) - accelerator.process_index) // accelerator.num_processes)
    with Meter("looking", mine, quiet=quiet) as meter:
        finding = find(model, data, source, accelerator, workers, meter)
    if not finding.pictures:
        name, reason = finding.skipped[0]
        raise ValueError(f"no picture can be read: {name}: {reason}")
    found = precisions(finding, source, model.heads.masks) if not quiet else {}
    return Evaluation(finding, found, counts)


def write_evaluation(
    done: Evaluation, model: Detector, data: Data, source: Any, folder: Path
) -> None:
    """Write scores.json, found.png and, as COCO has them, predictions.json and truth.json."""
    folder.mkdir(parents=True, exist_ok=True)
    by_class = {
        name: {"there": count}
        | {kind: finite(one.by_class[name]) for kind, one in done.precisions.items()}
        for name, count in done.counts.items()
    }
    facts = {
        "pictures": len(done.finding.pictures),
        "skipped": len(done.finding.skipped),
        "scores": scores(done.precisions),
        "by_class": by_class,
    }
    write_whole(folder / "predictions.json", json.dumps(done.finding.results))
    write_whole(folder / "truth.json", json.dumps(source.answers()))
    draw_beside_truth(
        model, data, source, done.finding.pictures, told(done.precisions), folder / "found.png"
    )
    write_whole(folder / "scores.json", json.dumps(facts, indent=1))


def told(found: dict[str, Precision]) -> str:
    """All numbers that there are, on one line."""
    return ", ".join(f"{name} {value:.3g}" for name, value in scores(found).items())


@torch.no_grad()
def predict(model: Detector, data: Data, source: Any, workers: int = 0) -> Iterator[Seen | Skipped]:
    """What is found on every picture, or why it cannot be read."""
    device = PartialState().device
    model.to(device).eval()
    for batch in read_in_order(source, list(range(len(source))), batch_for(source, FEW), workers):
        if isinstance(batch.samples, Boxed):
            boxed = batch.samples.to(device)
            sizes, found = boxed.sizes.tolist(), look_at(model, data, boxed)
            for (_, index), (height, width), one in zip(batch.draws, sizes, found, strict=True):
                yield Seen(source.name(index), index, (height, width), one)
        yield from batch.skipped


def in_words(found: Found, size: tuple[int, int], classes: Sequence[str]) -> list[dict[str, Any]]:
    """What is found on a picture of that height and width, the surest first, as plain values.

    >>> one = Found(torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([1]), torch.tensor([0.75]))
    >>> in_words(one, (9, 9), ["a", "b"])
    [{'class': 'b', 'score': 0.75, 'box': [1.0, 2.0, 3.0, 4.0]}]
    """
    columns = (found.labels.tolist(), found.scores.tolist(), found.boxes.tolist())
    rows = [
        {"class": classes[label], "score": score, "box": box}
        for label, score, box in zip(*columns, strict=True)
    ]
    for row, mask in zip(rows, found.pasted(size), strict=False):
        row["mask"] = encoded(mask)
    return rows
