"""maskedae evaluate CHECKPOINT [--data.root DIR] [--out DIR]."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from maskedae.data import Data, Source
from maskedae.recipe import given

if TYPE_CHECKING:
    from accelerate import Accelerator

    from maskedae.classifier import Classifier
    from maskedae.detection.detector import Detector

WORST = 5  # classes of a classifier that are named on the screen
FILES = "folder for scores.json, predictions.csv and answers.png; of a detector predictions.json, "
FILES += "as COCO has them, and found.png"


def make_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(prog="maskedae evaluate", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("--data", type=Data, help="as in the checkpoint, but for what is given")
    parser.add_argument("--split", choices=["held_out", "train"], default="held_out")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")
    parser.add_argument("--out", type=Path, help=FILES)
    parser.add_argument("--workers", type=int, help="processes that read data")
    return parser


def main(arguments: list[str]) -> int:
    """Score a classifier or a detector on labelled samples; return the exit status."""
    parser = make_parser()
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2

    from accelerate import Accelerator

    from maskedae.attention import set_kernel
    from maskedae.detection.detector import Detector
    from maskedae.finetuning.classifying import classifier_of
    from maskedae.processes import make_state, readers
    from maskedae.viewing import parse_with_data

    began = time.monotonic()
    options, loaded = parse_with_data(parser, arguments)

    if options.out and (options.out / "scores.json").exists() and not options.overwrite:
        raise ValueError(f"{options.out} holds scores; --overwrite replaces them")
    model = loaded.model
    if not isinstance(model, Detector):
        model = classifier_of(loaded, options.checkpoint)
    data, source = open_source(parser, options, arguments, loaded.config.shape)
    state, accelerator = make_state(), Accelerator()
    if options.workers is None:
        options.workers = readers(state)
    model.to(accelerator.device)
    if accelerator.is_main_process:
        print(f"{len(source)} samples, from {source.name(0)} to {source.name(len(source) - 1)}")
        if source.remarks:
            print(source.remarks)
    if isinstance(model, Detector):
        set_kernel(model, "sdpa")  # the kernel of the training may need another machine
        score_boxes(model, data, source, options, accelerator)
    else:
        score(model, data, source, options, accelerator)
    if accelerator.is_main_process:
        print(f"{time.monotonic() - began:.0f} s")
    return 0


def open_source(
    parser: ArgumentParser, options: Namespace, arguments: list[str], shape: tuple[int, ...]
) -> tuple[Data, Source]:
    """What is to be scored. Raises ValueError where that would be what was trained on."""
    named = given(arguments, "--data.root") is not None
    if named and "held_out_share" in options.data.init_args:
        options["data.init_args.held_out_share"] = 0.0  # all that was named is to be scored
    if given(arguments, "--data.test") is None and "test" in options.data.init_args:
        options["data.init_args.test"] = True  # what is for validation has chosen the weights
    data = parser.instantiate(options).data
    source = data.source(options.split, shape, augment=False)
    if source is None and named:
        source = data.source("train", shape, augment=False)
    if source is None:
        raise ValueError("nothing is held out to score on: give --data.root or --split train")
    return data, source


def score(
    model: "Classifier",
    data: Data,
    source: Source,
    options: Namespace,
    accelerator: "Accelerator",
) -> None:
    """Score a classifier, and have the main process tell."""
    from maskedae.finetuning.classifying import evaluate, write_evaluation
    from maskedae.finetuning.objectives import guess

    found = evaluate(model, data, source, accelerator, options.workers)
    if not accelerator.is_main_process:
        return
    table = Table("samples", *found.scores, box=None)
    table.add_row(f"{len(found.labels)}", *(f"{value:.4g}" for value in found.scores.values()))
    Console().print(table)
    blind, blindly = guess(model.answers, found.labels, found.labels)
    print(f"{blind}, whatever the sample, would score {blindly:.4g} here")
    worst = sorted(found.by_class.items(), key=lambda pair: pair[1])[:WORST]
    if worst:
        print("worst     " + ", ".join(f"{name} {share:.1%}" for name, share in worst))
    for name, reason in found.answered.skipped:
        print(f"skipped {name}: {reason}")
    if options.out:
        write_evaluation(found, model.answers, source, options.out)
        print(f"wrote {options.out}: scores.json, predictions.csv, answers.png")


def score_boxes(
    model: "Detector",
    data: Data,
    source: Source,
    options: Namespace,
    accelerator: "Accelerator",
) -> None:
    """Score a detector, and have the main process tell."""
    from maskedae.detection.evaluating import evaluate, write_evaluation

    done = evaluate(model, data, source, accelerator, options.workers)
    if not accelerator.is_main_process:
        return
    console, sizes = Console(), done.precisions["boxes"].whole
    whole, each = Table("", *sizes, box=None), Table("class", "there", *done.precisions, box=None)
    for kind, one in done.precisions.items():
        whole.add_row(kind, *map(in_figures, one.whole.values()))
    for name, count in done.counts.items():
        scores = [in_figures(one.by_class[name]) for one in done.precisions.values()]
        each.add_row(data.readable(name), f"{count:,}", *scores)
    console.print(whole)
    console.print("\naverage precision by class")
    console.print(each)
    for name, reason in done.finding.skipped:
        print(f"skipped {name}: {reason}")
    if options.out:
        write_evaluation(done, model, data, source, options.out)
        print(f"wrote {options.out}: scores.json, predictions.json, found.png")


def in_figures(value: float) -> str:
    """A score, where there is one.

    >>> in_figures(0.12345), in_figures(float("nan"))
    ('0.123', '-')
    """
    return "-" if math.isnan(value) else f"{value:.3f}"
