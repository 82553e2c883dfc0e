"""Recipes by name, made as commands make them."""

import yaml

from maskedae.commands.starting import starting_point
from maskedae.recipe import find_recipe, make, parse, read_recipe, recipe_parser, task_of


def made(name, *more):
    path = find_recipe(name)
    task = task_of(yaml.safe_load(path.read_text()))
    if task != "pretrain":
        arguments = ["--init", "none", *more]
        model = starting_point(path, arguments, task)[0]
    else:
        arguments, model = [*more], read_recipe(path, task)["model"]["name"]
    parser = recipe_parser(model, "test", task)
    return make(parser, parse(parser, path, arguments))
