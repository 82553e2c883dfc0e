"""maskedae pretrain RECIPE [--data.root DIR] [--out DIR] [--resume] [--a.b=c]."""

import shlex
from pathlib import Path
from typing import Any

import yaml

from maskedae.recipe import find_recipe, make, model_of, parse, plain, recipe_parser

USAGE = """usage: maskedae pretrain RECIPE [--data.root DIR] [--out DIR] [options]

RECIPE is a name (maskedae recipes lists them) or a YAML file.

  --data.root DIR   a folder of pictures, a list of paths (.txt, .csv), or several of them
  --out DIR         the run folder; runs/RECIPE if not given
  --resume          go on where the run in --out stands, or begin it
  --overwrite       delete the run in --out and begin anew
  --print_config    print the whole recipe as it would run, and stop
  --a.b=c           change any setting of the recipe: maskedae pretrain RECIPE --help lists them"""


def from_anywhere(node: Any) -> Any:
    """Settings with the paths in them made absolute, so that a stored recipe runs anywhere."""
    if isinstance(node, dict):
        return {name: from_anywhere(value) for name, value in node.items()}
    if isinstance(node, list):
        return [from_anywhere(value) for value in node]
    return str(Path(node).absolute()) if isinstance(node, str) and Path(node).exists() else node


def main(arguments: list[str]) -> int:
    """Train, or go on training; return the exit status."""
    if not arguments or arguments[0].startswith("-"):
        print(USAGE)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    name, *rest = arguments
    path = find_recipe(name)
    show = "--print_config" in rest
    rest = [argument for argument in rest if argument != "--print_config"]
    parser = recipe_parser(model_of(path, rest), "maskedae pretrain RECIPE")
    parser.add_argument("--out", type=Path, default=Path("runs") / path.stem, help="run folder")
    parser.add_argument("--resume", action="store_true", help="go on where the run stands")
    parser.add_argument("--overwrite", action="store_true", help="delete the run, begin anew")
    settings = parse(parser, path, rest)
    config = plain(parser, settings)
    if show:
        print(yaml.safe_dump(config, sort_keys=False), end="")
        return 0
    if settings.resume and settings.overwrite:
        raise ValueError("--resume goes on with a run, --overwrite deletes it: give one of them")

    from maskedae.pretraining import pretrain  # only now: help and errors should come at once

    out, config["data"] = settings.out, from_anywhere(config["data"])
    finished = pretrain(make(parser, settings), config, out, settings.resume, settings.overwrite)
    if not finished:
        again = ["maskedae", "pretrain", str(out / "config.yaml"), "--out", str(out), "--resume"]
        print(f"stopped and saved; to go on: {shlex.join(again)}")
    return 0
