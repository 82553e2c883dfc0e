"""VideoMAE models as folders that transformers opens."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskedae.autoencoder import MaskedAutoencoder
from maskedae.checkpoints import WEIGHTS
from maskedae.exporting import Model, Written, difference, plain_head, sample, save_plain
from maskedae.hub import write_json
from maskedae.masking import Mask
from maskedae.models.layouts.clips import preprocessor, without_keys
from maskedae.models.layouts.mae_transformers_out import labels
from maskedae.models.layouts.videomae_names import BARE, NAMED

LAST_EPS = 1e-5  # of the norms before their heads, whatever config.json says


def export(model: Model, folder: Path, _: str | None) -> Written:
    """Write a folder for from_pretrained. Raises ValueError where no class of theirs fits."""
    kind, config = describe(model)
    layout = BARE if kind == "VideoMAEModel" else NAMED
    tensors = without_keys(layout.to_theirs(plain_head(model, dict(model.state_dict()))))
    save_plain(folder / WEIGHTS, tensors)
    write_json(folder / "config.json", {"architectures": [kind], "dtype": "float32", **config})
    write_json(folder / "preprocessor_config.json", preprocessor(model.recipe))
    eps = model.recipe["model"]["last_norm_eps"]
    aside = "" if eps == LAST_EPS else f"  # its last norm adds {LAST_EPS}, here it is {eps}"
    use = (
        f'transformers.{kind}.from_pretrained("{{out}}"){aside}\n'
        "# takes (batch, frames, channels, height, width)"
    )
    tolerance = 1e-5 if eps == LAST_EPS else 1e-3
    return Written(use, "transformers", partial(compare, model, kind), tolerance)


def describe(model: Model) -> tuple[str, dict[str, Any]]:
    """Their class and their config."""
    settings = model.recipe["model"]
    config = encoder(settings) | {"use_mean_pooling": bool(model.encoder.num_classes)}
    if isinstance(model, MaskedAutoencoder):
        return "VideoMAEForPreTraining", config | decoder(settings)
    if not model.encoder.num_classes:
        return "VideoMAEModel", config
    if not model.encoder.head.replaces_norm:
        raise ValueError(
            "transformers' VideoMAE classifies by the mean of the tokens with a norm behind it; a "
            "linear probe has none; --encoder_only would fit"
        )
    return "VideoMAEForVideoClassification", config | labels(model)


def encoder(settings: dict[str, Any]) -> dict[str, Any]:
    """What their config says of the encoder."""
    (tubelet, tall, wide), (frames, *size) = settings["patch"], settings["size"]
    if tall != wide:
        raise ValueError(f"transformers' VideoMAE takes square patches, not {tall} x {wide}")
    return {
        "model_type": "videomae",
        "hidden_size": settings["width"],
        "num_hidden_layers": settings["depth"],
        "num_attention_heads": settings["heads"],
        "intermediate_size": 4 * settings["width"],
        "layer_norm_eps": settings["norm_eps"],
        "image_size": size[0] if len(set(size)) == 1 else list(size),
        "patch_size": tall,
        "num_channels": settings["channels"],
        "num_frames": frames,
        "tubelet_size": tubelet,
        "hidden_act": "gelu",
        "qv_bias": True,
    }


def decoder(settings: dict[str, Any]) -> dict[str, Any]:
    """What their config says of the decoder."""
    if settings["channels"] != 3 and not settings["normalize_target"]:
        raise ValueError("transformers' VideoMAE predicts bare values of three channels only")
    return {
        "decoder_hidden_size": settings["decoder_width"],
        "decoder_num_hidden_layers": settings["decoder_depth"],
        "decoder_num_attention_heads": settings["decoder_heads"],
        "decoder_intermediate_size": 4 * settings["decoder_width"],
        "norm_pix_loss": settings["normalize_target"],
    }


@torch.no_grad()
def compare(model: Model, kind: str, folder: Path) -> float:
    """How far transformers' numbers are from ours."""
    import transformers

    other = getattr(transformers, kind).from_pretrained(folder).eval()
    signal = sample(model)
    clip = signal.transpose(1, 2)
    if kind == "VideoMAEModel":
        tokens = other(clip).last_hidden_state
        return difference(model.encoder.forward_features(signal), tokens)
    if isinstance(model, MaskedAutoencoder):
        mask = in_order(model.draw_mask(len(signal), generator=torch.Generator().manual_seed(0)))
        theirs = other(clip, bool_masked_pos=booleans(mask))
        return difference(model(signal, mask=mask).prediction, theirs.logits)
    return difference(model(signal), other(clip).logits)


def in_order(mask: Mask) -> Mask:
    """The same mask with patches in the order of the grid."""
    return Mask(*(index.sort(dim=1).values for index in mask))


def booleans(mask: Mask) -> Tensor:
    """What is hidden, as transformers has it: (B, N)."""
    shape = (len(mask.hidden), sum(index.shape[1] for index in mask))
    none = torch.zeros(shape, dtype=torch.bool, device=mask.hidden.device)
    return none.scatter(1, mask.hidden, True)
