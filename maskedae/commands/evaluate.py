"""maskedae evaluate CHECKPOINT [--data.root DIR] [--out DIR]."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from maskedae.data import Data, Source
from maskedae.recipe import given

if TYPE_CHECKING:
    from maskedae.classifier import Classifier

WORST = 5  # classes that are named on the screen


def make_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(prog="maskedae evaluate", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("--data", type=Data, help="as in the checkpoint, but for what is given")
    parser.add_argument("--split", choices=["held_out", "train"], default="held_out")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")
    parser.add_argument(
        "--out", type=Path, help="folder for scores.json, predictions.csv and answers.png"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that read data")
    return parser


def main(arguments: list[str]) -> int:
    """Score a classifier on labelled samples; return the exit status."""
    parser = make_parser()
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2

    from maskedae.finetuning.classifying import classifier_of
    from maskedae.viewing import parse_with_data

    began = time.monotonic()
    options, loaded = parse_with_data(parser, arguments)

    if options.out and (options.out / "scores.json").exists() and not options.overwrite:
        raise ValueError(f"{options.out} holds scores; --overwrite replaces them")
    named = given(arguments, "--data.root") is not None
    if named and "held_out_share" in options.data.init_args:
        options["data.init_args.held_out_share"] = 0.0  # all that was named is to be scored
    if given(arguments, "--data.test") is None and "test" in options.data.init_args:
        options["data.init_args.test"] = True  # what is for validation has chosen the weights
    model, data = classifier_of(loaded, options.checkpoint), parser.instantiate(options).data
    source = data.source(options.split, loaded.config.shape, augment=False)
    if source is None and named:
        source = data.source("train", loaded.config.shape, augment=False)
    if source is None:
        raise ValueError("nothing is held out to score on: give --data.root or --split train")
    return score(model, data, source, options, began)


def score(model: "Classifier", data: Data, source: Source, options: Namespace, began: float) -> int:
    """Score, and have the main process tell; return the exit status."""
    import torch
    from accelerate import Accelerator

    from maskedae.finetuning.classifying import evaluate, write_evaluation
    from maskedae.finetuning.objectives import guess

    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    model.to(accelerator.device)
    if accelerator.is_main_process:
        print(f"{len(source)} samples, from {source.name(0)} to {source.name(len(source) - 1)}")
        if source.remarks:
            print(source.remarks)
    found = evaluate(model, data, source, accelerator, options.workers)
    if not accelerator.is_main_process:
        return 0
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
    print(f"{time.monotonic() - began:.0f} s")
    return 0
