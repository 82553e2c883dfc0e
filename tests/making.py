"""Recipes by name, made as commands make them."""

from maskedae.commands.starting import starting_point
from maskedae.recipe import find_recipe, make, parse, read_recipe, recipe_parser


def made(name, *more):
    path = find_recipe(name)
    task = "finetune" if "finetune" in name else "pretrain"
    if task == "finetune":
        arguments = ["--init", "none", *more]
        model = starting_point(path, arguments)[0]
    else:
        arguments, model = [*more], read_recipe(path, task)["model"]["name"]
    parser = recipe_parser(model, "test", task)
    return make(parser, parse(parser, path, arguments))
