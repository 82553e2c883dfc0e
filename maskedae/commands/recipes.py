"""maskedae recipes [NAME] [--copy FILE]."""

import argparse
from pathlib import Path

import yaml

from maskedae.recipe import find_recipe, recipe_names, task_of


def main(arguments: list[str]) -> int:
    """List recipes, print one, or copy one; return the exit status."""
    parser = argparse.ArgumentParser(prog="maskedae recipes", description=main.__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this recipe")
    parser.add_argument("--copy", type=Path, metavar="FILE", help="copy it to this file, to edit")
    options = parser.parse_args(arguments)
    if options.name is None:
        names = recipe_names()
        for name in names:
            first = find_recipe(name).read_text().splitlines()[0].lstrip("# ")
            print(f"{name:<{max(map(len, names))}}  {first}")
        return 0
    text = find_recipe(options.name).read_text()
    if options.copy is None:
        print(text, end="")
        return 0
    if options.copy.exists():
        raise ValueError(f"{options.copy} exists; copy to another name")
    options.copy.write_text(text)
    task = task_of(yaml.safe_load(text))
    print(f"copied to {options.copy}; run it with: maskedae {task} {options.copy}")
    return 0
