"""All models by name: every file of `models/` brings a table MODELS and a function build."""

from dataclasses import fields, replace
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from importlib.resources import files
from types import ModuleType
from typing import Any

from maskedae.autoencoder import MaskedAutoencoder
from maskedae.hints import nearest
from maskedae.masking import Masker


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


def create_model(name: str, masker: Masker | None = None, **overrides: Any) -> MaskedAutoencoder:
    """Build a model with fresh weights.

    >>> model = create_model("mae_vit_tiny_patch16", size=(64, 48), patch=8, depth=1)
    >>> model.encoder.grid
    (8, 6)
    """
    return model_file(name).build(model_config(name, **overrides), masker)
