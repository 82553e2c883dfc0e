"""What commands that train have in common."""

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from maskedae.recipe import make, plain

TASKS = {"pretrain": "maskedae.pretraining", "finetune": "maskedae.finetuning.finetune"}


def add_run_options(parser: ArgumentParser, name: str) -> None:
    """Options of a command that fills a run folder."""
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="run folder")
    parser.add_argument("--resume", action="store_true", help="go on where the run stands")
    parser.add_argument("--overwrite", action="store_true", help="delete the run, begin anew")


def from_anywhere(node: Any) -> Any:
    """Settings with the paths in them made absolute, so that a stored recipe runs anywhere."""
    if isinstance(node, dict):
        return {name: from_anywhere(value) for name, value in node.items()}
    if isinstance(node, list):
        return [from_anywhere(value) for value in node]
    return str(Path(node).absolute()) if isinstance(node, str) and Path(node).exists() else node


def run_recipe(parser: ArgumentParser, settings: Namespace, task: str, show: bool) -> int:
    """Train as a recipe says, or only show it; return the exit status."""
    config = plain(parser, settings, task)
    if show:
        print(yaml.safe_dump(config, sort_keys=False), end="")
        return 0
    if settings.resume and settings.overwrite:
        raise ValueError("--resume goes on with a run, --overwrite deletes it: give one of them")

    from maskedae.launching import Launch  # only now: help and errors should come at once

    config |= {name: from_anywhere(config[name]) for name in ("data", "init") if name in config}
    launch = Launch(settings.out, config, settings.resume, settings.overwrite)
    if not getattr(import_module(TASKS[task]), task)(make(parser, settings), launch):
        out = str(settings.out)
        again = ["maskedae", task, str(settings.out / "config.yaml"), "--out", out, "--resume"]
        print(f"stopped and saved; to go on: {shlex.join(again)}")
    return 0
