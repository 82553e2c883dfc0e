"""A trained detector at work: its scores, and what it finds on files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from maskedae.boxed import Boxed, Found
from maskedae.checkpoints import write_whole
from maskedae.data import Data
from maskedae.detection.detector import Detector
from maskedae.detection.finding import FEW, Finding, find, look_at, precisions, scores
from maskedae.detection.pictures import draw_beside_truth
from maskedae.detection.scoring import Precision, box_counts
from maskedae.loading import batch_for, read_in_order
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
    pixels: Tensor  # uint8 (C, h, w), as it was looked at
    size: tuple[int, int]  # height and width of the file's picture
    found: Found | str  # in pixels of the file's picture; or why it cannot be read


def check_classes(model: Detector, counts: dict[str, int]) -> None:
    """Raise ValueError for boxes of classes that a detector does not know."""
    unknown = [name for name, count in counts.items() if count and name not in model.classes]
    if unknown:
        raise ValueError(
            f"the detector does not know {len(unknown)} of {len(counts)} classes, "
            f"{', '.join(unknown[:6])}; it knows {', '.join(model.classes[:6])}"
            + ", ..." * (len(model.classes) > 6)
        )


def evaluate(
    model: Detector, data: Data, source: Any, accelerator: Accelerator, workers: int = 0
) -> Evaluation:
    """Score a detector on all pictures of a source."""
    counts = box_counts(source.answers())
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
    """Write scores.json, predictions.json as COCO has results, and found.png."""
    folder.mkdir(parents=True, exist_ok=True)
    by_class = {
        name: {"boxes": done.counts[name]}
        | {f"{kind}AP": finite(one.by_class[name]) for kind, one in done.precisions.items()}
        for name in done.counts
    }
    facts = {
        "pictures": len(done.finding.pictures),
        "skipped": len(done.finding.skipped),
        "scores": scores(done.precisions),
        "by_class": by_class,
    }
    write_whole(folder / "predictions.json", json.dumps(done.finding.results))
    draw_beside_truth(
        model, data, source, done.finding.pictures, told(done.precisions), folder / "found.png"
    )
    write_whole(folder / "scores.json", json.dumps(facts, indent=1))


def told(found: dict[str, Precision]) -> str:
    """All numbers that there are, on one line."""
    return ", ".join(f"{name} {value:.3g}" for name, value in scores(found).items())


@torch.no_grad()
def predict(model: Detector, data: Data, source: Any, workers: int = 0) -> Iterator[Seen]:
    """What is found on every picture, or why it cannot be read."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).eval()
    for batch in read_in_order(source, list(range(len(source))), batch_for(source, FEW), workers):
        if isinstance(batch.samples, Boxed):
            boxed = batch.samples.to(device)
            rows = zip(batch.draws, boxed.pictures, boxed.sizes.tolist(), strict=True)
            whole = zip(rows, look_at(model, data, boxed), strict=True)
            for ((_, index), pixels, (height, width)), found in whole:
                yield Seen(source.name(index), pixels.cpu(), (height, width), found)
        for name, reason in batch.skipped:
            yield Seen(name, torch.empty(0), (0, 0), reason)
