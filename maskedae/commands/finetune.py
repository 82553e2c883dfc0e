"""maskedae finetune RECIPE --init CHECKPOINT [--data.root DIR] [--out DIR] [--resume] [--a.b=c]."""

from collections.abc import Callable

from jsonargparse import ArgumentParser, Namespace

from maskedae.commands.common import add_run_options, config_of, run_recipe, split_recipe, train
from maskedae.commands.starting import inherit_preparation, starting_point
from maskedae.recipe import make, parse, recipe_parser

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


def main(arguments: list[str]) -> int:
    """Fine-tune, or go on with it; return the exit status."""
    asked = split_recipe(arguments, USAGE)
    if isinstance(asked, int):
        return asked
    path, rest, show = asked
    model, values, seen = starting_point(path, rest, "finetune")
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
