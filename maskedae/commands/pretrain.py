"""maskedae pretrain RECIPE [--data.root DIR] [--out DIR] [--resume] [--a.b=c]."""

from maskedae.commands.common import add_run_options, run_recipe
from maskedae.recipe import find_recipe, model_of, parse, recipe_parser

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
    if not arguments or arguments[0].startswith("-"):
        print(USAGE)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    name, *rest = arguments
    path = find_recipe(name)
    show = "--print_config" in rest
    rest = [argument for argument in rest if argument != "--print_config"]
    parser = recipe_parser(model_of(path, rest), "maskedae pretrain RECIPE")
    add_run_options(parser, path.stem)
    return run_recipe(parser, parse(parser, path, rest), "pretrain", show)
