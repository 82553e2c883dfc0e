"""transformers' Hiera: what its folders tell, and models as such folders."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskedae.checkpoints import WEIGHTS
from maskedae.exporting import Model, Written, difference, sample, save_plain
from maskedae.hub import write_json
from maskedae.layouts import Foreign, Layout, State
from maskedae.masking import RandomMasker, take
from maskedae.models.layouts.hiera_names import BARE, NAMED
from maskedae.models.layouts.hiera_official import refuse_others
from maskedae.models.layouts.hiera_out import (
    aside,
    in_units,
    is_whole,
    noise_of,
    normalised,
    one_table,
    pools,
    state_of,
    unit_size,
    with_norm,
)
from maskedae.models.layouts.mae_facts import Told, has_decoder
from maskedae.models.layouts.mae_pictures import preprocessor
from maskedae.models.layouts.mae_transformers import answers, pictures
from maskedae.models.layouts.mae_transformers_out import labels

# What their config.json means where it is silent.
DEFAULTS: dict[str, Any] = {
    "image_size": [224, 224],
    "patch_size": [7, 7],
    "patch_stride": [4, 4],
    "patch_padding": [3, 3],
    "depths": [2, 3, 16, 3],
    "num_heads": [1, 2, 4, 8],
    "num_query_pool": 3,
    "masked_unit_size": [8, 8],
    "masked_unit_attention": [True, True, False, False],
}


def tell(foreign: Foreign, state: State) -> Told:
    """What config.json and preprocessor_config.json say."""
    sections: dict[str, Any] = {"data": pictures(foreign.preprocessor)}
    if not foreign.config:
        return Told(sections=sections)
    config = DEFAULTS | foreign.config
    stages, first = len(config["depths"]), config["num_heads"][0]
    # Encoders alone may pool as either does.
    least = stages - (1 if "encoder.head.linear.weight" in state else 2)
    most = stages - (2 if has_decoder(state) else 1)
    fixed = {
        "num_heads": [first * 2**stage for stage in range(stages)],
        "num_query_pool": min(max(config["num_query_pool"], least), most),
        "patch_padding": [side // 2 for side in config["patch_size"]],
        "embed_dim_multiplier": 2,
        "query_stride": [2, 2],
        "masked_unit_size": [2 ** (stages - 1)] * 2,
        "masked_unit_attention": [stage < stages - 2 for stage in range(stages)],
        "hidden_act": "gelu",
    }
    refuse_others(config, fixed)
    settings: dict[str, Any] = {
        "size": tuple(config["image_size"]),
        "stride": tuple(config["patch_stride"]),
        "heads": first,
        "norm_eps": config.get("layer_norm_eps", 1e-6),
        "normalize_target": config.get("normalize_pixel_loss", True),
    }
    if heads := config.get("decoder_num_heads"):
        settings["decoder_heads"] = heads
    if has_decoder(state):
        ratio = {"ratio": config.get("mask_ratio", 0.6)}
        sections["masker"] = {"class_path": "maskedae.masking.RandomMasker", "init_args": ratio}
    sections["tuned"] = config["num_query_pool"] == stages - 1
    return Told(settings, sections, *answers(config))


def export(model: Model, folder: Path, _: str | None) -> Written:
    """Write a folder for from_pretrained. Raises ValueError where no class of theirs fits."""
    name, layout, config = describe(model)
    state = one_table(model, state_of(model))
    state = state if is_whole(model) else with_norm(model, state)
    save_plain(folder / WEIGHTS, layout.to_theirs(state))
    write_json(folder / "config.json", {"architectures": [name], "dtype": "float32", **config})
    write_json(folder / "preprocessor_config.json", preprocessor(model.recipe))
    size = model.recipe["model"]["size"]
    use = (
        f'transformers.{name}.from_pretrained("{{out}}"){aside(model)}\n'
        'transformers.AutoImageProcessor.from_pretrained("{out}")'
        + ("" if len(set(size)) == 1 else "  # which stretches pictures; evaluation here cuts them")
    )
    return Written(use, "transformers", partial(compare, model, name))


def describe(model: Model) -> tuple[str, Layout, dict[str, Any]]:
    """Their class, their names, their config."""
    settings = model.recipe["model"]
    config: dict[str, Any] = {
        "model_type": "hiera",
        "image_size": list(settings["size"]),
        "patch_size": list(settings["kernel"]),
        "patch_stride": list(settings["stride"]),
        "patch_padding": [side // 2 for side in settings["kernel"]],
        "num_channels": settings["channels"],
        "embed_dim": settings["width"],
        "depths": list(settings["stages"]),
        "num_heads": [settings["heads"] * 2**stage for stage in range(len(settings["stages"]))],
        "num_query_pool": pools(model),
        "query_stride": [2, 2],
        "masked_unit_size": unit_size(model),
        "masked_unit_attention": in_units(model),
        "layer_norm_eps": settings["norm_eps"],
        "hidden_act": "gelu",
    }
    if is_whole(model):
        return "HieraForPreTraining", NAMED, config | decoder(model, settings)
    if not model.encoder.num_classes:
        return "HieraModel", BARE, config
    return "HieraForImageClassification", NAMED, config | labels(model)


def decoder(model: Model, settings: dict[str, Any]) -> dict[str, Any]:
    """What their config says of the decoder and of the masks."""
    if len(set(settings["stride"])) > 1:
        raise ValueError(
            f"transformers' Hiera predicts squares, not tokens every {tuple(settings['stride'])} "
            f"pixels; the encoder only would fit: --encoder_only"
        )
    if len(settings["stages"]) > 2 and not settings["multi_scale"]:
        raise ValueError(
            "transformers' Hiera decodes tokens of several stages, not of the last alone; the "
            "encoder only would fit: --encoder_only"
        )
    return {
        "decoder_hidden_size": settings["decoder_width"],
        "decoder_depth": settings["decoder_depth"],
        "decoder_num_heads": settings["decoder_heads"],
        "normalize_pixel_loss": settings["normalize_target"],
        "mask_ratio": getattr(model.masker, "ratio", 0.6),
    }


@torch.no_grad()
def compare(model: Model, name: str, folder: Path) -> float:
    """How far transformers' numbers are from ours."""
    import transformers

    other: Any = getattr(transformers, name).from_pretrained(folder).eval()
    signal = sample(model)
    if model.encoder.num_classes:
        return difference(model(signal), other(signal).logits)
    if not is_whole(model):
        maps = other(signal, output_hidden_states=True).reshaped_hidden_states
        tokens = normalised(maps[-1], model.recipe["model"]["norm_eps"])
        return difference(model.encoder.forward_features(signal), tokens)
    noise = noise_of(model, len(signal))
    mask = RandomMasker(other.config.mask_ratio)(len(signal), model.encoder.grid, noise=noise)
    ours, theirs = model(signal, mask=mask), other(signal, noise=noise)
    hidden = take(theirs.logits, model.encoder.patches(mask).hidden)
    return max(difference(ours.prediction, hidden), difference(ours.loss, theirs.loss))
