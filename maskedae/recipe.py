"""Recipes: YAML files that say what to train, on what, and how; and their typed command line."""

import inspect
import pkgutil
import re
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace  # type: ignore[attr-defined]

from maskedae.data import Data
from maskedae.hints import nearest
from maskedae.masking import Masker
from maskedae.zoo import model_config

RECIPES = Path(__file__).parent / "recipes"
COUNTS = ["epochs", "batch_size", "accumulate", "log_every_steps", "save_every_steps"]
COUNTS += ["look_every_epochs", "max_nonfinite"]


@dataclass(frozen=True)
class Train:
    """How to train."""

    epochs: int = 800
    """Passes over the data."""
    batch_size: int = 4096
    """Samples in a step, over all processes and accumulated micro-batches together."""
    accumulate: int = 1
    """Micro-batches that a process adds up in a step: less memory, same numbers."""
    base_lr: float = 1.5e-4
    """Peak learning rate for a batch of 256; it grows in proportion to the batch."""
    min_lr: float = 0.0
    """Learning rate at the end of the cosine."""
    warmup_epochs: float = 40
    """Epochs over which the learning rate rises from zero."""
    weight_decay: float = 0.05
    """Decay of all but biases and parameters of one axis."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Averaging of AdamW."""
    clip: float | None = None
    """Largest norm of the gradient; none does not clip."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Arithmetic of the model; auto takes bf16 on a GPU that has it, else fp32."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to train; auto takes the GPU if there is one."""
    compile: bool = False
    """Compile the model into one graph; the first step takes minutes."""
    checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    workers: int | None = None
    """Processes that read data, per training process; none takes one for each core."""
    seed: int = 0
    """Of weights, order, augmentation and masks."""
    log_every_steps: int = 20
    """How often metrics are written."""
    save_every_steps: int = 500
    """How often the last checkpoint is renewed; it also is after the last step."""
    keep_every_epochs: int = 0
    """Keep a checkpoint of every so many epochs for good; 0 keeps the last and the best."""
    look_every_epochs: int = 10
    """How often pictures are drawn and, where there are labels, the encoder is scored by kNN."""
    max_nonfinite: int = 10
    """Steps in a row without a finite gradient that end the run."""
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])
    """Where curves go beside metrics.jsonl: any tracker that accelerate knows."""

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} is {getattr(self, name)}; 1 or more would fit")

    @property
    def peak_lr(self) -> float:
        """Learning rate after the warm-up."""
        return self.base_lr * self.batch_size / 256


class Recipe(NamedTuple):
    """What a recipe describes, made."""

    model_name: str
    model: Any  # the config of a model, a dataclass of its file in models/
    masker: Masker
    data: Data
    train: Train


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


def recipe_parser(model_name: str, prog: str) -> ArgumentParser:
    """A parser of every setting of a recipe for that model, with its numbers as defaults."""
    config = model_config(model_name)
    parser = ArgumentParser(prog=prog, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file to merge in")
    parser.add_argument("--model.name", type=str, default=model_name, help="see maskedae models")
    parser.add_class_arguments(type(config), "model", instantiate=False)
    parser.set_defaults({f"model.{name}": value for name, value in vars(config).items()})
    parser.add_argument("--masker", type=Masker, help="what hides patches")
    parser.add_argument("--data", type=Data, help="where samples come from")
    parser.add_argument("--train", type=Train, default=Train())
    return parser


def model_of(recipe: Path, arguments: list[str]) -> str:
    """The model that a recipe names, unless the command line names another."""
    try:
        node = yaml.safe_load(recipe.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{recipe} is not YAML: {error}") from error
    if not isinstance(node, dict) or not isinstance(node.get("model"), dict):
        raise ValueError(f"{recipe} is not a recipe: it has no section `model` with a `name`")
    if lacking := [section for section in ("masker", "data") if section not in node]:
        raise ValueError(f"{recipe} lacks the section {' and '.join(lacking)}")
    name = node["model"].get("name")
    for here, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if here.split("=")[0] == "--model.name":
            name = here.partition("=")[2] or after
    if not isinstance(name, str):
        raise ValueError(f"{recipe} names no model; see maskedae models")
    return name


def explain(error: Exception, parser: ArgumentParser) -> str:
    """What is wrong with a command line or a recipe, with the nearest setting that exists."""
    text = str(error).strip()
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
        return parser.parse_args(whole)
    except Exception as error:
        raise ValueError(explain(error, parser)) from error


def plain(parser: ArgumentParser, settings: Namespace) -> dict[str, Any]:
    """Settings as plain values, ready for YAML or JSON."""
    node = yaml.safe_load(parser.dump(settings, skip_unset=False))
    return {name: node[name] for name in ("model", "masker", "data", "train")}


def make(parser: ArgumentParser, settings: Namespace) -> Recipe:
    """Make what settings describe."""
    made = parser.instantiate(settings)
    values = dict(vars(made.model))
    name = values.pop("name")
    return Recipe(name, model_config(name, **values), made.masker, made.data, made.train)


def make_data(node: dict[str, Any]) -> Data:
    """Make the data that plain values describe."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=Data)
    return parser.instantiate(parser.parse_object({"data": node})).data
