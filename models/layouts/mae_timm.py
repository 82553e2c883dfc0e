"""timm's vision transformers: what their folders tell, and models as such folders."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskedae.checkpoints import WEIGHTS
from maskedae.exporting import Model, Written, difference, plain_head, sample, save_plain
from maskedae.hub import write_json
from maskedae.layouts import Foreign
from maskedae.models.layouts.mae_facts import Told, pair
from maskedae.models.layouts.mae_official import OFFICIAL
from maskedae.models.layouts.mae_pictures import data, images

NAMES = {192: "vit_tiny_patch16_224", 384: "vit_small_patch16_224", 1024: "vit_large_patch16_224"}


def tell(foreign: Foreign) -> Told:
    """What config.json says, on the word of timm's own model of that name."""
    from timm import create_model, is_model
    from timm.models.vision_transformer import VisionTransformer

    config = foreign.config
    name, published = config["architecture"], config.get("pretrained_cfg", config)
    if not is_model(name):
        raise ValueError(f"timm knows no architecture {name}, which config.json names")
    known = inspect.signature(VisionTransformer).parameters
    settings = {k: v for k, v in config.get("model_args", {}).items() if k in known}
    pool = config.get("global_pool")
    settings = {"num_classes": config.get("num_classes") or 0, **settings}
    settings = {"global_pool": pool, **settings} if pool else settings
    with torch.device("meta"):
        model: Any = create_model(name, **settings)
    check(model, name)
    if "img_size" not in settings and published.get("input_size"):
        settings["img_size"] = published["input_size"][1:]
    size = settings.get("img_size", model.patch_embed.img_size)
    block: Any = model.blocks[0]
    heads, eps = block.attn.num_heads, block.norm1.eps
    pictures = data(published.get("mean"), published.get("std"), published.get("crop_pct"))
    return Told(
        settings={"size": pair(size), "heads": heads, "norm_eps": eps},
        sections={"data": pictures},
        classes=tuple(published.get("label_names") or ()),
        licence=published.get("license") or "",
    )


def check(model: Any, name: str) -> None:
    """Raise ValueError where timm's model works in another way, which no weight shows."""
    from timm.models.vision_transformer import VisionTransformer

    if type(model) is not VisionTransformer:
        raise ValueError(f"timm's {name} is no plain vision transformer; those alone fit")
    first: Any = model.blocks[0]
    act = first.mlp.act
    if not isinstance(act, nn.GELU) or act.approximate != "none":
        raise ValueError(f"timm's {name} has the activation {act}; GELU alone fits")
    normed = isinstance(model.fc_norm, nn.LayerNorm)
    pools = {("token", False), ("", False), ("avg", True)}
    if model.num_classes and (model.global_pool, normed) not in pools:
        what = f"{model.global_pool}, {'with' if normed else 'without'} a norm behind it"
        raise ValueError(f"timm's {name} pools by {what}: avg with one and token without fit")
    if model.num_classes and model.pool_include_prefix:
        raise ValueError(f"timm's {name} pools its class token, too; patches alone fit")


def arguments(model: Model) -> dict[str, Any]:
    """What makes of any of timm's vision transformers the one that this model is."""
    settings = model.recipe["model"]
    patch = settings["patch"]
    told = {
        "img_size": settings["size"],
        "patch_size": patch[0] if len(set(patch)) == 1 else patch,
        "in_chans": settings["channels"],
        "embed_dim": settings["width"],
        "depth": settings["depth"],
        "num_heads": settings["heads"],
        "num_classes": model.encoder.num_classes,
        "global_pool": "token",
    }
    if model.encoder.num_classes and model.encoder.head.pool == "mean":
        told |= {"global_pool": "avg", "fc_norm": model.encoder.head.replaces_norm}
    return told


def export(model: Model, folder: Path, _: str | None) -> Written:
    """Write a folder that timm opens by local-dir:, and whose weights fit create_model."""
    given = arguments(model)
    name = NAMES.get(given["embed_dim"], "vit_base_patch16_224")
    state = plain_head(model, {k: v for k, v in state_of(model).items() if "decoder." not in k})
    save_plain(folder / WEIGHTS, OFFICIAL.to_theirs(state))
    config = {
        "architecture": name,
        "num_classes": given["num_classes"],
        "num_features": given["embed_dim"],
        "global_pool": given["global_pool"],
        "model_args": given,
        "pretrained_cfg": published(model, given),
    }
    write_json(folder / "config.json", config)
    options = ", ".join(f"{key}={value!r}" for key, value in given.items())
    use = (
        'timm.create_model("local-dir:{out}", pretrained=True)\n'
        f'timm.create_model("{name}", checkpoint_path="{{out}}/{WEIGHTS}", {options})'
    )
    return Written(use, "timm", partial(compare, model))


def published(model: Model, given: dict[str, Any]) -> dict[str, Any]:
    """What timm calls pretrained_cfg: how pictures are prepared, what answers mean, the licence."""
    recipe = model.recipe
    mean, std = (part.flatten().tolist() for part in statistics(model))
    told = {
        "tag": "maskedae",
        "input_size": [given["in_chans"], *given["img_size"]],
        "fixed_input_size": True,
        "num_classes": given["num_classes"],
        "interpolation": "bicubic",
        "crop_pct": images(recipe).eval_crop,
        "crop_mode": "center",
        "mean": mean,
        "std": std,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
        "license": recipe.get("licence"),
        "label_names": recipe.get("head", {}).get("classes") or None,
    }
    return {key: value for key, value in told.items() if value is not None}


def state_of(model: Model) -> dict[str, Tensor]:
    """Named tensors of a model."""
    return dict(model.state_dict())


def statistics(model: Model) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every channel."""
    channels = model.recipe["model"]["channels"]
    return images(model.recipe).colours.statistics(torch.empty(channels, 1, 1))


@torch.no_grad()
def compare(model: Model, folder: Path) -> float:
    """How far timm's numbers are from ours."""
    import timm

    other = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    return against(model, other)


def against(model: Model, other: Any) -> float:
    """The difference of logits, where there are any, else of tokens."""
    signal = sample(model)
    if model.encoder.num_classes:
        return difference(model(signal), other(signal))
    return difference(model.encoder.forward_features(signal), other.forward_features(signal))


def export_official(model: Model, folder: Path, name: str | None) -> Written:
    """Write a file under the names of the official repository."""
    path = folder / (name or "model.pth")
    state = {k: v.detach().cpu().contiguous() for k, v in state_of(model).items()}
    named = OFFICIAL.to_theirs(plain_head(model, state))
    torch.save({"model": named, "licence": model.recipe.get("licence", "")}, path)
    use = f'torch.load("{{out}}/{path.name}", weights_only=True)["model"]'
    return Written(use, "timm", partial(compare_official, model, path.name))


@torch.no_grad()
def compare_official(model: Model, name: str, folder: Path) -> float:
    """How far timm's numbers with the encoder of an official file are from ours."""
    import timm

    state = torch.load(folder / name, weights_only=True)["model"]
    beside = ("decoder", "mask_token")
    other = timm.create_model("vit_base_patch16_224", **arguments(model)).eval()
    other.load_state_dict({k: v for k, v in state.items() if not k.startswith(beside)})
    return against(model, other)
