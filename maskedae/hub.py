"""Folders that others can use: weights, settings, preprocessing and a card; here and on the hub."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from torch import nn

from maskedae.card import make_card
from maskedae.checkpoints import WEIGHTS, write_weights
from maskedae.data import PLACES

if TYPE_CHECKING:
    from typing_extensions import Self

PRIVATE = (*PLACES, "weights")  # settings of data that mean nothing on another machine


class Hub(ModelHubMixin, library_name="maskedae"):
    """save_pretrained, from_pretrained and push_to_hub for a model with an encoder.

    The encoder remembers the recipe, so that a model is rebuilt whatever became of its parts.
    """

    def __new__(cls, *_: Any, **__: Any) -> "Self":
        # The mixin would keep what constructors are given, as far as it is plain.
        return object.__new__(cls)

    @property
    def recipe(self) -> dict[str, Any]:
        """What rebuilds this model, as plain values. Raises ValueError where nobody knows."""
        stored = getattr(self, "encoder").recipe  # noqa: B009, a mixin has none of its own
        if stored is None:
            raise ValueError(
                "this model does not know how it was built; those that create_model and load "
                "return do, and so do classifiers on their encoders"
            )
        own, gone = self.sections(), {"head", "detector", "masker", "tuned"}
        if any((part in stored) != (part in own) for part in ("head", "detector")):
            gone.add("results")  # of what was trained before this head
        return {**{name: part for name, part in stored.items() if name not in gone}, **own}

    def sections(self) -> dict[str, Any]:
        """Sections of the recipe that are this model's own."""
        return {}

    def _save_pretrained(self, save_directory: Path) -> None:
        recipe = public(self.recipe)
        state = cast(nn.Module, self).state_dict()
        if "head" not in recipe and any(name.startswith("encoder.head.") for name in state):
            raise ValueError("the encoder has a head: maskedae.classifier.Classifier knows its use")
        write_weights(save_directory / WEIGHTS, state, recipe)
        config = {"library_name": "maskedae", "class": type(self).__name__, "recipe": recipe}
        write_json(save_directory / "config.json", config)
        if node := preprocessor(recipe):
            write_json(save_directory / "preprocessor_config.json", node)

    def generate_model_card(self, *_: Any, **__: Any) -> ModelCard:
        """A card made of what the recipe tells."""
        parameters = sum(p.numel() for p in cast(nn.Module, self).parameters())
        return make_card(type(self).__name__, public(self.recipe), parameters)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **model_kwargs: Any,
    ) -> "Self":
        from maskedae.weights import load_with_report  # which needs the models, which need this

        folder = model_id
        if not Path(model_id).is_dir():
            folder = snapshot_download(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        model = load_with_report(folder, **model_kwargs).model
        if not isinstance(model, cls):
            raise ValueError(_other_class(model_id, type(model).__name__, cls.__name__))
        return model


def _other_class(source: str, found: str, wanted: str) -> str:
    return (
        f"{source} holds a {found}, not a {wanted}: {found}.from_pretrained and maskedae.load fit"
    )


def public(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without the places of data and weights on one machine."""
    data = dict(recipe.get("data", {}))
    if "init_args" in data:
        data["init_args"] = {k: v for k, v in data["init_args"].items() if k not in PRIVATE}
    recipe = {name: part for name, part in recipe.items() if name not in ("init", "teacher")}
    return {**recipe, "data": data} if data else recipe


def preprocessor(recipe: dict[str, Any]) -> dict[str, Any]:
    """What stands in preprocessor_config.json, where the kind of model has one."""
    from maskedae.zoo import layout_file, model_file  # which need the models, which need this

    names = layout_file(model_file(recipe["model"]["name"]))
    return names.preprocessor(recipe) if names else {}


def write_json(path: Path, node: dict[str, Any]) -> None:
    """Write plain values as others read them."""
    path.write_text(json.dumps(node, indent=2) + "\n")
