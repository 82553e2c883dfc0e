"""Models as folders that transformers opens: ViTMAE, ViT, and BEiT where the head pools means."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskedae.autoencoder import MaskedAutoencoder
from maskedae.checkpoints import WEIGHTS
from maskedae.exporting import Model, Written, difference, plain_head, sample, save_plain
from maskedae.hub import write_json
from maskedae.layouts import Layout
from maskedae.masking import RandomMasker, take
from maskedae.models.layouts.mae_pictures import preprocessor
from maskedae.models.layouts.mae_transformers import BARE, BEIT, VIT

PROBLEMS = {
    "class": "single_label_classification",
    "classes": "multi_label_classification",
    "value": "regression",
}


def export(model: Model, folder: Path, _: str | None) -> Written:
    """Write a folder for from_pretrained. Raises ValueError where no class of theirs fits."""
    name, layout, config = describe(model)
    tensors = layout.to_theirs(plain_head(model, dict(model.state_dict())))
    if layout is BEIT:
        # Its keys have no bias, which would add the same to all scores of a query, thus nothing.
        tensors = {k: v for k, v in tensors.items() if not k.endswith("key.bias")}
    save_plain(folder / WEIGHTS, tensors)
    write_json(folder / "config.json", {"architectures": [name], "dtype": "float32", **config})
    write_json(folder / "preprocessor_config.json", preprocessor(model.recipe))
    extra = ", add_pooling_layer=False" if name == "ViTModel" else ""
    use = (
        f'transformers.{name}.from_pretrained("{{out}}"{extra})\n'
        'transformers.AutoImageProcessor.from_pretrained("{out}")'
        + ("" if square(model) else "  # which stretches pictures; evaluation here cuts them")
    )
    return Written(use, "transformers", partial(compare, model, name))


def describe(model: Model) -> tuple[str, Layout, dict[str, Any]]:
    """Their class, their names, their config."""
    settings = model.recipe["model"]
    patch, size = settings["patch"], settings["size"]
    config: dict[str, Any] = {
        "hidden_size": settings["width"],
        "num_hidden_layers": settings["depth"],
        "num_attention_heads": settings["heads"],
        "intermediate_size": 4 * settings["width"],
        "layer_norm_eps": settings["norm_eps"],
        "image_size": size[0] if len(set(size)) == 1 else size,
        "patch_size": patch[0] if len(set(patch)) == 1 else patch,
        "num_channels": settings["channels"],
        "hidden_act": "gelu",
    }
    if isinstance(model, MaskedAutoencoder):
        if not square(model):
            raise ValueError(
                f"transformers' ViTMAE takes squares, not images of {size} in patches of {patch}; "
                f"the encoder only would fit: --encoder_only"
            )
        return "ViTMAEForPreTraining", VIT, config | decoder(model, settings)
    config |= {"qkv_bias": True, "encoder_stride": patch[0]}
    if not model.encoder.num_classes:
        return "ViTModel", BARE, {"model_type": "vit", **config}
    config |= labels(model)
    if model.encoder.head.pool == "class":
        return "ViTForImageClassification", VIT, {"model_type": "vit", **config}
    return "BeitForImageClassification", BEIT, config | means(model)


def square(model: Model) -> bool:
    """Whether images and patches are as high as wide."""
    return all(len(set(model.recipe["model"][name])) == 1 for name in ("size", "patch"))


def decoder(model: MaskedAutoencoder, settings: dict[str, Any]) -> dict[str, Any]:
    """What their config says of the decoder and of the masks."""
    return {
        "model_type": "vit_mae",
        "qkv_bias": True,
        "decoder_hidden_size": settings["decoder_width"],
        "decoder_num_hidden_layers": settings["decoder_depth"],
        "decoder_num_attention_heads": settings["decoder_heads"],
        "decoder_intermediate_size": 4 * settings["decoder_width"],
        "norm_pix_loss": settings["normalize_target"],
        "mask_ratio": getattr(model.masker, "ratio", 0.75),
    }


def labels(model: Model) -> dict[str, Any]:
    """What their config says of the answers."""
    head = model.recipe["head"]
    names = head["classes"] or ["value"]
    return {
        "problem_type": PROBLEMS[head["kind"]],
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }


def means(model: Model) -> dict[str, Any]:
    """What makes a ViT of BEiT that pools means, if one can be made."""
    if not model.encoder.head.replaces_norm or not square(model):
        raise ValueError(
            "transformers' ViT pools by the class token, and its BEiT pools means of square images "
            "and patches only, with a norm behind; a classifier trained with "
            "--finetune.pool=class would fit, or another target, such as timm"
        )
    return {
        "model_type": "beit",
        "use_mean_pooling": True,
        "use_absolute_position_embeddings": True,
        "use_relative_position_bias": False,
        "use_shared_relative_position_bias": False,
        "use_mask_token": False,
        "layer_scale_init_value": 0.0,
        "drop_path_rate": 0.0,
    }


@torch.no_grad()
def compare(model: Model, name: str, folder: Path) -> float:
    """How far transformers' numbers are from ours."""
    import transformers

    options = {"add_pooling_layer": False} if name == "ViTModel" else {}
    other = getattr(transformers, name).from_pretrained(folder, **options).eval()
    signal = sample(model)
    if name == "ViTModel":
        tokens = other(signal).last_hidden_state
        return difference(model.encoder.forward_features(signal), tokens)
    if isinstance(model, MaskedAutoencoder):
        return compare_imagined(model, other, signal)
    return difference(model(signal), other(signal).logits)


def compare_imagined(model: MaskedAutoencoder, other: Any, signal: torch.Tensor) -> float:
    """How far predictions are apart, and losses where the targets are the same."""
    noise = torch.rand(len(signal), model.noise_size, generator=torch.Generator().manual_seed(0))
    mask = RandomMasker(other.config.mask_ratio)(len(signal), model.encoder.grid, noise=noise)
    ours, theirs = model(signal, mask=mask), other(signal, noise=noise)
    apart = difference(ours.prediction, take(theirs.logits, mask.hidden))
    floor = model.recipe["model"]["variance_floor"]
    return apart if floor else max(apart, difference(ours.loss, theirs.loss))
