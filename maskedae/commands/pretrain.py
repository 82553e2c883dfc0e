"""maskedae pretrain RECIPE [--data.root DIR] [--out DIR] [--resume] [--a.b=c]."""

from maskedae.commands.common import add_run_options, run_recipe, split_recipe
from maskedae.recipe import model_of, parse, recipe_parser

USAGE = """usage: maskedae pretrain RECIPE [--data.root DIR] [--out DIR] [options]

RECIPE is a name (maskedae recipes lists them) or a YAML file.

  --data.root DIR   a folder of pictures, a list of paths (.txt, .csv), or several of them
  --out DIR         the run folder; runs/RECIPE if not given
  --resume          go on where the run in --out stands, or begin it
  --overwrite       delete the run in --out and begin anew
  --print_config    print the whole recipe as it would run, and stop
  --a.b=c           change any setting of the recipe: maskedae pretrain RECIPE --help lists them"""


def main(arguments: list[str]) -> int:
    """Train, or go on training; return the exit status."""
    asked = split_recipe(arguments, USAGE)
    if isinstance(asked, int):
        return asked
    path, rest, show = asked
    parser = recipe_parser(model_of(path, rest), "maskedae pretrain RECIPE")
    add_run_options(parser, path.stem)
    return run_recipe(parser, parse(parser, path, rest), "pretrain", show)
