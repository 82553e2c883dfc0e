"""What commands that train have in common."""

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from maskedae.data import PLACES
from maskedae.recipe import find_recipe, make, plain

WORDS = ("none", "teacher")  # in place of checkpoints to start from
TASKS = {
    "pretrain": "maskedae.pretraining",
    "finetune": "maskedae.finetuning.finetune",
    "detect": "maskedae.detection.detect",
}


def split_recipe(arguments: list[str], usage: str) -> tuple[Path, list[str], bool] | int:
    """The file of the recipe that comes first, what follows, and whether to show it only.

    Where no recipe comes first, the usage is told, and the exit status returned.
    """
    if not arguments or arguments[0].startswith("-"):
        print(usage)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    name, *rest = arguments
    kept = [argument for argument in rest if argument != "--print_config"]
    return find_recipe(name), kept, len(kept) < len(rest)


def add_run_options(parser: ArgumentParser, name: str) -> None:
    """Options of a command that fills a run folder."""
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="run folder")
    parser.add_argument("--resume", action="store_true", help="go on where the run stands")
    parser.add_argument("--overwrite", action="store_true", help="delete the run, begin anew")


def absolute(place: Any) -> Any:
    """A path, or several, made absolute."""
    if isinstance(place, list):
        return [absolute(one) for one in place]
    return str(Path(place).expanduser().absolute()) if isinstance(place, str) else place


def from_anywhere(config: dict[str, Any]) -> dict[str, Any]:
    """A recipe with the paths in it made absolute, so that it runs from any folder."""
    data = {**config["data"]}
    if "init_args" in data:
        given = data["init_args"].items()
        data["init_args"] = {k: absolute(v) if k in PLACES else v for k, v in given}
    places = {name: found(config[name]) for name in ("init", "teacher") if config.get(name)}
    return {**config, "data": data, **places}


def found(place: Any) -> Any:
    """A checkpoint, or several, made absolute; what is no file here is a word or on the hub."""
    if isinstance(place, list):
        return [found(one) for one in place]
    return absolute(place) if place not in WORDS and Path(place).exists() else place


def run_recipe(parser: ArgumentParser, settings: Namespace, task: str, show: bool) -> int:
    """Train as a recipe says, or only show it; return the exit status."""
    if show:
        print(yaml.safe_dump(plain(parser, settings, task), sort_keys=False), end="")
        return 0
    if not train(parser, settings, task):
        out = str(settings.out)
        again = ["maskedae", task, str(settings.out / "config.yaml"), "--out", out, "--resume"]
        print(f"stopped and saved; to go on: {shlex.join(again)}")
    return 0


def config_of(parser: ArgumentParser, settings: Namespace, task: str) -> dict[str, Any]:
    """What the folder of a run remembers of settings."""
    return from_anywhere(plain(parser, settings, task))


def train(parser: ArgumentParser, settings: Namespace, task: str) -> bool:
    """Train as settings say; return whether the training is finished, or was stopped."""
    if settings.resume and settings.overwrite:
        raise ValueError("--resume goes on with a run, --overwrite deletes it: give one of them")

    from maskedae.launching import Launch  # only now: help and errors should come at once

    config = config_of(parser, settings, task)
    launch = Launch(settings.out, config, settings.resume, settings.overwrite)
    return getattr(import_module(TASKS[task]), task)(make(parser, settings), launch)
