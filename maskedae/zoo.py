"""All models by name: every file of `models/` brings a table MODELS and a function build.

A file of the same name in `models/layouts/` says how others name its weights.
"""

from dataclasses import fields, replace
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from maskedae.hints import nearest
from maskedae.learner import Learner
from maskedae.masking import Masker


@cache
def layout_file(file: ModuleType) -> ModuleType | None:
    """The file of `models/layouts/` that belongs to a file of `models/`, if there is one."""
    name = f"maskedae.models.layouts.{file.__name__.rpartition('.')[2]}"
    return import_module(name) if find_spec(name) else None


@cache
def model_files() -> tuple[ModuleType, ...]:
    """Import every file of `models/`."""
    names = sorted(entry.name for entry in files("maskedae.models").iterdir())
    stems = [name.removesuffix(".py") for name in names if name.endswith(".py")]
    return tuple(import_module(f"maskedae.models.{stem}") for stem in stems)


def list_models(pattern: str = "*") -> list[str]:
    """Names of models that match a pattern such as "mae_*"."""
    return [name for file in model_files() for name in file.MODELS if fnmatch(name, pattern)]


def model_file(name: str) -> ModuleType:
    """The file that brings a model. Raises ValueError with the nearest name."""
    for file in model_files():
        if name in file.MODELS:
            return file
    raise ValueError(f"no model is called {name}; {nearest(name, list_models())}")


def model_config(name: str, **overrides: Any) -> Any:
    """The numbers of a model, some of them replaced. Raises ValueError with the nearest name."""
    config = model_file(name).MODELS[name]
    known = [field.name for field in fields(config)]
    for key in overrides:
        if key not in known:
            raise ValueError(f"{name} has no setting {key}; {nearest(key, known)}")
    return replace(config, **overrides)


def create_model(name: str, masker: Masker | None = None, **overrides: Any) -> Learner:
    """Build a model with fresh weights.

    >>> model = create_model("mae_vit_tiny_patch16", size=(64, 48), patch=8, depth=1)
    >>> model.encoder.grid
    (8, 6)
    """
    file, config = model_file(name), model_config(name, **overrides)
    model: Learner = file.build(config, masker)
    model.encoder.recipe = {"model": describe(name, config), "data": {"class_path": file.DATA}}
    return model


def describe(name: str, config: Any) -> dict[str, Any]:
    """The section `model` of a recipe, as plain values."""
    return {"name": name} | {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in vars(config).items()
    }
