"""Recipes: YAML files that say what to train, on what, and how; and their typed command line."""

import inspect
import pkgutil
import re
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace  # type: ignore[attr-defined]

from maskedae import bands as bands  # maskers of all files may be named without their place
from maskedae import pairs as pairs
from maskedae import tubes as tubes
from maskedae.data import Data
from maskedae.hints import nearest
from maskedae.masking import Masker
from maskedae.settings import Finetune, Heads, Train
from maskedae.zoo import model_config

STATISTICS = ("mean", "std")
RECIPES = Path(__file__).parent / "recipes"
INIT = "checkpoints to start from: of the whole, of a part, or `teacher`; or none"
SECTIONS = {
    "pretrain": ("model", "masker", "data", "train", "init", "teacher"),
    "finetune": ("init", "model", "finetune", "data", "train"),
    "detect": ("init", "model", "detect", "data", "train"),
}
NEEDED = {"pretrain": ("model", "masker", "data"), "finetune": ("data",), "detect": ("data",)}
TUNING = {"finetune": Finetune, "detect": Heads}  # tasks that start from an encoder, and how


class Recipe(NamedTuple):
    """What a recipe describes, made."""

    model_name: str
    model: Any  # the config of a model, a dataclass of its file in models/
    data: Data
    train: Train
    masker: Masker | None = None  # of pre-training
    finetune: Finetune | None = None
    init: str = "none"  # the checkpoint that fine-tuning or detection starts from
    begin: tuple[str, ...] = ()  # checkpoints that pre-training starts from
    teacher: str | None = None  # a checkpoint whose features are to be learned
    detect: Heads | None = None


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("**/*.yaml"))


def find_recipe(name: str) -> Path:
    """The file of a recipe, by path or by name. Raises ValueError with the nearest name."""
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise ValueError(f"there is no recipe file {name}")
        return Path(name)
    for path in RECIPES.glob("**/*.yaml"):
        if path.stem == name:
            return path
    raise ValueError(f"no recipe is called {name}; {nearest(name, recipe_names())}")


def recipe_parser(model_name: str, prog: str, task: str = "pretrain") -> ArgumentParser:
    """A parser of every setting of a recipe for that model, with its numbers as defaults."""
    config = model_config(model_name)
    parser = ArgumentParser(prog=prog, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file to merge in")
    parser.add_argument("--model.name", type=str, default=model_name, help="see maskedae models")
    parser.add_class_arguments(type(config), "model", instantiate=False)
    parser.set_defaults({f"model.{name}": value for name, value in vars(config).items()})
    if task == "pretrain":
        parser.add_argument("--masker", type=Masker, help="what hides patches")
        parser.add_argument("--init", type=str, nargs="+", default=[], help=INIT)
        parser.add_argument("--teacher", type=str | None, help="its features are to be learned")
    else:
        parser.add_argument("--init", type=str, help="a checkpoint to start from, or none")
        parser.add_argument(f"--{task}", type=TUNING[task], default=TUNING[task]())
    parser.add_argument("--data", type=Data, help="where samples come from")
    parser.add_argument("--train", type=Train, default=Train())
    return parser


def read_recipe(path: Path, task: str) -> dict[str, Any]:
    """The sections of a recipe. Raises ValueError where it is none, or one for another task."""
    try:
        node = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(node, dict) or not any(name in node for name in ("model", *TUNING)):
        raise ValueError(f"{path} is not a recipe: it has no section `model` with a `name`")
    if task_of(node) != task:
        raise ValueError(f"{path} is for another command: maskedae {task_of(node)} {path.stem} ...")
    if lacking := [section for section in NEEDED[task] if section not in node]:
        raise ValueError(f"{path} lacks the section {' and '.join(lacking)}")
    return node


def task_of(node: dict[str, Any]) -> str:
    """The command that the sections of a recipe are for.

    >>> task_of({"model": {}, "detect": {}, "data": {}}), task_of({"model": {}, "masker": {}})
    ('detect', 'pretrain')
    """
    return next((task for task in TUNING if task in node), "pretrain")


def given(arguments: list[str], option: str) -> str | None:
    """What a command line says of an option, before it can be parsed.

    >>> given(["--a=1", "--b", "2"], "--b"), given(["--a=1"], "--c")
    ('2', None)
    """
    value = None
    for here, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if here.split("=")[0] == option:
            value = here.partition("=")[2] or after
    return value


def model_of(recipe: Path, arguments: list[str]) -> str:
    """The model that a recipe of pre-training names, unless the command line names another."""
    section = read_recipe(recipe, "pretrain")["model"]
    name = given(arguments, "--model.name") or (isinstance(section, dict) and section.get("name"))
    if not isinstance(name, str):
        raise ValueError(f"{recipe} names no model; see maskedae models")
    return name


def explain(error: Exception, parser: ArgumentParser) -> str:
    """What is wrong with a command line or a recipe, with the nearest setting that exists."""
    text = str(error).strip()
    if "Expected a <class 'tuple'>" in text:
        text += "\nseveral numbers are written '[64, 64]'"
    inside = re.search(r"class_path '([\w.]+)'", text)
    word = re.search(r"--([\w.]+)|[Oo]ption '([\w.]+)'", text)
    if group := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", text):
        wanted = f"{group[1]}.{group[2]}"
    elif word:
        wanted = word[1] or word[2]
    else:
        return text
    known = [name for name, _ in parser.get_defaults().items() if "." in name]
    if inside and not group:
        with suppress(ImportError, AttributeError):
            known = list(inspect.signature(pkgutil.resolve_name(inside[1])).parameters)
    close = get_close_matches(wanted, known, n=1)
    return f"{text}\ndid you mean {close[0]}?" if close and close[0] != wanted else text


def parse(parser: ArgumentParser, recipe: Path, arguments: list[str]) -> Namespace:
    """Read a recipe with changes from the command line. Raises ValueError that says what fits."""
    whole = ["--config", str(recipe), *arguments]
    try:
        settings = parser.parse_args(whole)
    except Exception as error:
        raise ValueError(explain(error, parser)) from error
    share_statistics(settings)
    return settings


def share_statistics(settings: Namespace) -> None:
    """Tell a model whose targets undo the normalisation of the data how these are normalised."""
    for name in STATISTICS:
        given = settings.get(f"data.init_args.{name}")
        if given is not None and settings.get(f"model.{name}") in ((), []):
            settings[f"model.{name}"] = tuple(given)


def plain(parser: ArgumentParser, settings: Namespace, task: str = "pretrain") -> dict[str, Any]:
    """Settings as plain values, ready for YAML or JSON."""
    node = yaml.safe_load(parser.dump(settings, skip_unset=False))
    kept = {name: node[name] for name in SECTIONS[task]}
    return {name: part for name, part in kept.items() if part or name not in ("init", "teacher")}


def make(parser: ArgumentParser, settings: Namespace) -> Recipe:
    """Make what settings describe."""
    made = parser.instantiate(settings)
    values = dict(vars(made.model))
    name = values.pop("name")
    rest = {part: made[part] for part in ("masker", *TUNING, "teacher") if part in made}
    start = made["init"]
    rest |= {"begin": tuple(start)} if isinstance(start, list) else {"init": start}
    return Recipe(name, model_config(name, **values), made.data, made.train, **rest)


def make_data(node: dict[str, Any]) -> Data:
    """Make the data that plain values describe. Raises ValueError where there are none such."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=Data)
    try:
        return parser.instantiate(parser.parse_object({"data": node})).data
    except Exception as error:
        raise ValueError(str(error).strip()) from error
