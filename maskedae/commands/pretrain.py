"""maskedae pretrain RECIPE [--data.root DIR] [--out DIR] [--resume] [--a.b=c]."""

import os
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from maskedae.commands.common import add_run_options, run_recipe, split_recipe, train
from maskedae.recipe import given, model_of, parse, recipe_parser

USAGE = """usage: maskedae pretrain RECIPE [--data.root DIR] [--out DIR] [options]

RECIPE is a name (maskedae recipes lists them) or a YAML file.

  --data.root DIR      a folder of pictures, a list of paths (.txt, .csv), or several of them
  --out DIR            the run folder; runs/RECIPE if not given
  --resume             go on where the run in --out stands, or begin it
  --overwrite          delete the run in --out and begin anew
  --init RUN ...       checkpoints to start from: of the same model, or of parts of it
  --teacher CHECKPOINT whose features are to be learned, for recipes of a second stage
  --iterations NUMBER  train so many times, each in a folder in --out; the first learns from the
                       teacher, each one after it from the one before
  --print_config       print the whole recipe as it would run, and stop
  --a.b=c              change any setting of the recipe: maskedae pretrain RECIPE --help"""


def main(arguments: list[str]) -> int:
    """Train, or go on training; return the exit status."""
    asked = split_recipe(arguments, USAGE)
    if isinstance(asked, int):
        return asked
    path, rest, show = asked
    parser = recipe_parser(model_of(path, rest), "maskedae pretrain RECIPE")
    add_run_options(parser, path.stem)
    parser.add_argument("--iterations", type=int, help="train so many times, each from the last")
    settings = parse(parser, path, rest)
    if settings.iterations is None or show:
        return run_recipe(parser, settings, "pretrain", show)
    return each_iteration(parser, path, rest, settings)


def folder_of(out: Path, number: int) -> Path:
    """Where the run of an iteration lies."""
    return out / f"iteration-{number}"


def each_iteration(parser: ArgumentParser, path: Path, rest: list[str], settings: Namespace) -> int:
    """Train one student after the other, each from the last; return the exit status."""
    from maskedae.runs import Run

    out, count = settings.out, settings.iterations
    if count < 1:
        raise ValueError(f"--iterations is {count}; 1 or more would fit")
    if given(rest, "--teacher") is None and settings.teacher is None:
        raise ValueError("--iterations needs what the first student learns from: --teacher RUN")
    if Run(out).exists:
        raise ValueError(f"{out} holds a run of its own; iterations need another --out")
    teacher, main_process = settings.teacher, os.environ.get("RANK", "0") == "0"
    for number in range(1, count + 1):
        folder = folder_of(out, number)
        if main_process:
            print(f"\niteration {number} of {count}, in {folder}, from {teacher}", flush=True)
        one = parse(parser, path, [*rest, "--teacher", str(teacher), "--out", str(folder)])
        if not train(parser, one, "pretrain"):
            if main_process:
                print("stopped and saved; to go on, give the same command with --resume")
            return 0
        teacher = folder
    return 0
