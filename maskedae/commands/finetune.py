"""maskedae finetune RECIPE --init CHECKPOINT [--data.root DIR] [--out DIR] [--resume] [--a.b=c]."""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from maskedae.commands.common import add_run_options, config_of, run_recipe, split_recipe, train
from maskedae.recipe import given, make, parse, read_recipe, recipe_parser
from maskedae.zoo import model_config

USAGE = """usage: maskedae finetune RECIPE --init CHECKPOINT [--data.root DIR] [--out DIR] [options]

RECIPE is a name (maskedae recipes lists them) or a YAML file.

  --init CHECKPOINT  a run folder, a checkpoint, a published file; none trains from scratch
  --data.root DIR    a folder for each class, or a list with labels (.csv, .txt), or several
  --out DIR          the run folder; runs/RECIPE if not given
  --resume           go on where the run in --out stands, or begin it
  --overwrite        delete the run in --out and begin anew
  --folds NUMBER     train once for each of so many folds of the data, --data.fold=1 and on, each in
                     a folder in --out, and tell their scores, mean and spread
  --print_config     print the whole recipe as it would run, and stop
  --a.b=c            change any setting: maskedae finetune RECIPE --init CHECKPOINT --help"""
# By an encoder with one axis more: what is the same, and what gets an axis in front.
INHERITED = ("width", "depth", "stages", "heads", "channels", "positions", "norm_eps")
STEM = ("patch", "kernel", "stride")


def starting_point(path: Path, arguments: list[str]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name and settings of the model to fine-tune, and how the data it has seen were described.

    They are those of the checkpoint; a recipe that is for another model is refused, unless it is
    for one with an axis more.
    """
    node = read_recipe(path, "finetune")
    init = given(arguments, "--init") or node.get("init")
    section = node.get("model") or {}
    name = given(arguments, "--model.name") or section.get("name")
    if not isinstance(init, str):
        raise ValueError("say what to start from: --init CHECKPOINT, or --init none for scratch")
    if init == "none":
        if not isinstance(name, str):
            raise ValueError(f"{path} names no model: --model.name NAME; see maskedae models")
        return name, {}, {}

    from maskedae.viewing import data_node
    from maskedae.weights import load_with_report

    try:
        loaded = load_with_report(init, with_decoder=False)
    except FileNotFoundError:
        if {"name", "size", "norm_eps"} <= section.keys():  # of a run, which may go on without
            return section["name"], {}, {}
        raise
    if isinstance(name, str) and is_for_inflating(loaded.config, model_config(name)):
        return name, inflated(loaded.config, model_config(name)), data_node(loaded)
    if name not in (None, loaded.name):
        raise ValueError(
            f"{path} is for {name}, and {init} holds {loaded.name}: take the recipe of that model, "
            f"or --model.name={loaded.name}"
        )
    return loaded.name, vars(loaded.config), data_node(loaded)


def is_for_inflating(still: Any, moving: Any) -> bool:
    """Whether a model has an axis more than another, such as time, and is cut alike."""
    cut = [[name for name in STEM if getattr(one, name, None)] for one in (still, moving)]
    return len(moving.size) == len(still.size) + 1 and cut[0] == cut[1]


def inflated(still: Any, moving: Any) -> dict[str, Any]:
    """Settings of a model that starts from one that lacks its first axis."""
    old, new = vars(still), vars(moving)
    same = {name: old[name] for name in INHERITED if name in old and name in new}
    stem = {name: (new[name][0], *old[name]) for name in ("size", *STEM) if name in new}
    return {**new, **same, **stem}


def inherit_preparation(settings: Namespace, seen: dict[str, Any]) -> None:
    """Prepare signals as the encoder is used to, where nothing else is said."""
    known = settings.data.init_args
    for name in resolve_name(settings.data.class_path).inherited:
        value = seen.get("init_args", {}).get(name)
        if value is not None and name in known and known[name] is None:
            settings[f"data.init_args.{name}"] = value


def main(arguments: list[str]) -> int:
    """Fine-tune, or go on with it; return the exit status."""
    asked = split_recipe(arguments, USAGE)
    if isinstance(asked, int):
        return asked
    path, rest, show = asked
    model, values, seen = starting_point(path, rest)
    parser: ArgumentParser = recipe_parser(model, "maskedae finetune RECIPE", "finetune")
    parser.set_defaults({f"model.{key}": value for key, value in values.items()})
    add_run_options(parser, path.stem)
    parser.add_argument("--folds", type=int, help="train once for each of so many folds")

    def settled(arguments: list[str]) -> Namespace:
        settings = parse(parser, path, arguments)
        inherit_preparation(settings, seen)
        return settings

    settings = settled(rest)
    if settings.folds is None or show:
        return run_recipe(parser, settings, "finetune", show)
    check_folds(settings)
    return each_fold(parser, settings, lambda more: settled([*rest, *more]))


def each_fold(
    parser: ArgumentParser, settings: Namespace, settled: Callable[[list[str]], Namespace]
) -> int:
    """Train once for each fold, all of whose data can be opened; return the exit status."""
    from maskedae.finetuning.folds import begin_anew, check_data, folder_of, run_folds

    out, count = settings.out, settings.folds
    folders = {fold: str(folder_of(out, fold)) for fold in range(1, count + 1)}
    each = {n: settled([f"--data.fold={n}", "--out", folder]) for n, folder in folders.items()}
    check_data(make(parser, one) for one in each.values())
    if settings.overwrite and not settings.resume:
        begin_anew({one.out: config_of(parser, one, "finetune") for one in each.values()})
    if not run_folds(count, out, lambda fold: train(parser, each[fold], "finetune")):
        instead = " in place of --overwrite" if settings.overwrite else ""
        print(f"stopped and saved; to go on, give the same command with --resume{instead}")
    return 0


def check_folds(settings: Namespace) -> None:
    """Raise ValueError if data do not come in folds, or not in so many."""
    if "fold" not in settings.data.init_args:
        raise ValueError(f"{settings.data.class_path} knows no folds: leave --folds out")
    if settings.folds < 1:
        raise ValueError(f"--folds is {settings.folds}; 1 or more would fit")
    if settings.data.init_args.fold is not None:
        raise ValueError("--folds sets data.fold, so leave that one out")
