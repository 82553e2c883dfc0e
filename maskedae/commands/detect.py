"""maskedae detect RECIPE --init CHECKPOINT [--data.root DIR] [--out DIR] [--resume] [--a.b=c]."""

from maskedae.commands.common import add_run_options, run_recipe, split_recipe
from maskedae.commands.starting import inherit_preparation, starting_point
from maskedae.recipe import parse, recipe_parser

USAGE = """usage: maskedae detect RECIPE --init CHECKPOINT [--data.root DIR] [--out DIR] [options]

RECIPE is a name (maskedae recipes lists them) or a YAML file.

  --init CHECKPOINT  a run folder, a checkpoint, a published file; none trains from scratch
  --data.root DIR    a folder of pictures with boxes, or a file that names both: COCO's JSON, labels
                     of YOLO or VOC, a table (.csv); or several
  --out DIR          the run folder; runs/RECIPE if not given
  --resume           go on where the run in --out stands, or begin it
  --overwrite        delete the run in --out and begin anew
  --model.size SIZE  height and width of the largest pictures that the detector sees, such as
                     [512,512]; larger ones are shrunk
  --print_config     print the whole recipe as it would run, and stop
  --a.b=c            change any setting: maskedae detect RECIPE --init CHECKPOINT --help"""


def main(arguments: list[str]) -> int:
    """Train a detector, or go on with it; return the exit status."""
    asked = split_recipe(arguments, USAGE)
    if isinstance(asked, int):
        return asked
    path, rest, show = asked
    model, values, seen = starting_point(path, rest, "detect")
    parser = recipe_parser(model, "maskedae detect RECIPE", "detect")
    parser.set_defaults({f"model.{key}": value for key, value in values.items()})
    add_run_options(parser, path.stem)
    settings = parse(parser, path, rest)
    inherit_preparation(settings, seen)
    return run_recipe(parser, settings, "detect", show)
