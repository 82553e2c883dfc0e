"""The official Hiera repository: what its folders on the hub tell, and models as its files."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskedae.exporting import Model, Written, difference, sample
from maskedae.layouts import Foreign, Layout
from maskedae.models.layouts.hiera_out import (
    aside,
    is_whole,
    noise_of,
    one_table,
    state_of,
    with_norm,
)
from maskedae.models.layouts.mae_facts import Told

# Settings that neither weights nor the repository's config.json need to tell, if they are ours.
KEPT = ("size", "stride", "heads", "norm_eps")
KEPT_OF_DECODERS = ("decoder_heads", "normalize_target")


def tell(foreign: Foreign) -> Told:
    """What config.json says, if it is that of the repository's models on the hub."""
    config = foreign.config
    if "input_size" not in config or "stages" not in config:
        return Told()
    stages, axes = len(config["stages"]), len(config["input_size"])
    steps = [1, 2, 2][-axes:]
    fixed = {
        "q_stride": steps,
        "mask_unit_size": [step ** (stages - 1) for step in steps],
        "mask_unit_attn": [stage < stages - 2 for stage in range(stages)],
        "dim_mul": 2,
        "head_mul": 2,
        "norm_layer": "LayerNorm",
    }
    refuse_others(config, fixed)
    names = {"heads": "num_heads", "stride": "patch_stride", "size": "input_size"}
    settings = {ours: config[theirs] for ours, theirs in names.items() if theirs in config}
    return Told({k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})


def refuse_others(config: dict[str, Any], fixed: dict[str, Any]) -> None:
    """Raise ValueError where a config asks for what these models do not have."""
    for name, fits in fixed.items():
        found = config.get(name, fits)
        found = list(found) if isinstance(found, tuple) else found
        if found != fits:
            raise ValueError(f"config.json asks for {name} of {found}; {fits} alone fits")


def export(layout: Layout, model: Model, folder: Path, name: str | None) -> Written:
    """Write a file under the names of the official repository."""
    path, state = folder / (name or "model.pth"), one_table(model, state_of(model))
    if model.encoder.tuned:
        state = with_norm(model, state)  # by which an encoder that pools as classifiers do is known
    named = {name: value.contiguous() for name, value in layout.to_theirs(state).items()}
    torch.save({"model_state": named, "licence": model.recipe.get("licence", "")}, path)
    use = f'torch.load("{{out}}/{path.name}", weights_only=True)["model_state"]{aside(model)}'
    return Written(use, "maskedae", partial(compare, model, path.name))


@torch.no_grad()
def compare(model: Model, name: str, folder: Path) -> float:
    """How far the numbers of the file are from those of the model that it was written from."""
    from maskedae.weights import load_with_report  # which needs the layouts

    kept = KEPT + KEPT_OF_DECODERS if is_whole(model) else KEPT
    settings = {key: model.recipe["model"][key] for key in kept}
    other, signal = load_with_report(folder / name, **settings).model, sample(model)
    if is_whole(model):
        mask = model.draw_mask(len(signal), noise_of(model, len(signal)))
        return difference(model(signal, mask).prediction, other(signal, mask).prediction)
    if model.encoder.num_classes:
        return difference(model(signal), other(signal))
    tokens = model.encoder.forward_features(signal)
    return difference(tokens, other.encoder.forward_features(signal))
