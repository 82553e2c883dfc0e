"""What the layouts of all models of clips share: how clips are prepared, and files of weights."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskedae.colours import Colours
from maskedae.exporting import Model, Written, difference, plain_head, sample
from maskedae.layouts import Layout


def data(class_path: str, mean: Any, std: Any) -> dict[str, Any]:
    """The section `data` of a recipe."""
    told = {name: value for name, value in (("mean", mean), ("std", std)) if value is not None}
    return {"class_path": class_path, "init_args": told}


def preprocessor(recipe: dict[str, Any]) -> dict[str, Any]:
    """What transformers' VideoMAEImageProcessor needs to prepare the frames of a clip."""
    given, model = recipe.get("data", {}).get("init_args", {}), recipe["model"]
    _, tall, wide = model["size"]
    mean, std = Colours(given.get("mean"), given.get("std")).of(model["channels"])
    square = tall == wide
    return {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        # A rectangle cannot be covered by one side alone: there, frames are stretched.
        "size": {"shortest_edge": tall} if square else {"height": tall, "width": wide},
        "resample": 2,  # bilinear
        "do_center_crop": square,
        "crop_size": {"height": tall, "width": wide},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }


def without_keys(state: dict[str, Any]) -> dict[str, Any]:
    """The tensors but for the biases of keys, which add the same to all scores of a query."""
    return {name: value for name, value in state.items() if not name.endswith(".k_bias")}


def export_official(model: Model, layout: Layout, folder: Path, name: str | None) -> Written:
    """Write a file under the names of an official repository."""
    path = folder / (name or "model.pth")
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    named = without_keys(layout.to_theirs(plain_head(model, state)))
    torch.save({"model": named, "licence": model.recipe.get("licence", "")}, path)
    use = f'torch.load("{{out}}/{path.name}", weights_only=True)["model"]'
    return Written(use, "maskedae", partial(compare_back, model, path.name))


@torch.no_grad()
def compare_back(model: Model, name: str, folder: Path) -> float:
    """How far the numbers of the file are from those of the model that it was written from."""
    from maskedae.weights import load_with_report  # which needs the layouts

    settings = {key: value for key, value in model.recipe["model"].items() if key != "name"}
    other, signal = load_with_report(folder / name, **settings).model.eval(), sample(model)
    if model.encoder.num_classes:
        return difference(model(signal), other(signal))
    features = model.encoder.forward_features(signal)
    return difference(features, other.encoder.forward_features(signal))
