"""timm's Hiera: what its folders tell, and models as such folders."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskedae.checkpoints import WEIGHTS
from maskedae.exporting import Model, Written, difference, sample, save_plain
from maskedae.hub import write_json
from maskedae.layouts import Foreign
from maskedae.models.layouts.hiera_names import TIMM
from maskedae.models.layouts.hiera_out import in_units, normalised, pools, state_of, unit_size
from maskedae.models.layouts.hiera_out import with_norm as normed
from maskedae.models.layouts.mae_facts import Told, pair
from maskedae.models.layouts.mae_pictures import data
from maskedae.models.layouts.mae_timm import published
from maskedae.stages import Stages

EPS = 1e-6  # of timm's norms


def tell(foreign: Foreign) -> Told:
    """What config.json says, on the word of timm's own model of that name."""
    from timm import create_model, is_model
    from timm.models.hiera import Hiera

    config = foreign.config
    name, about = config["architecture"], config.get("pretrained_cfg", config)
    if not is_model(name):
        raise ValueError(f"timm knows no architecture {name}, which config.json names")
    known = inspect.signature(Hiera).parameters
    given = {k: v for k, v in config.get("model_args", {}).items() if k in known}
    if "img_size" not in given and about.get("input_size"):
        given["img_size"] = about["input_size"][1:]
    given = {"num_classes": config.get("num_classes") or 0, **given}
    with torch.device("meta"):
        model: Any = create_model(name, **given)
    check(model, name)
    size = tuple(n * s for n, s in zip(model.tokens_spatial_shape, model.patch_stride, strict=True))
    return Told(
        settings={
            "size": pair(size) if len(size) == 2 else size,
            "stride": tuple(model.patch_stride),
            "heads": model.blocks[0].attn.heads,
            "norm_eps": model.blocks[0].norm1.eps,
        },
        sections={
            "data": data(about.get("mean"), about.get("std"), about.get("crop_pct")),
            "tuned": model.q_pool == len(model.stage_ends) - 1,
        },
        classes=tuple(about.get("label_names") or ()),
        licence=about.get("license") or "",
    )


def check(model: Any, name: str) -> None:
    """Raise ValueError where timm's model works in another way, which no weight shows."""
    from timm.models.hiera import Hiera

    if type(model) is not Hiera:
        raise ValueError(f"timm's {name} is no Hiera; those alone fit")
    blocks, last = list[Any](model.blocks), len(model.stage_ends) - 1
    first = blocks[0]
    if not isinstance(first.mlp.act, nn.GELU) or first.mlp.act.approximate != "none":
        raise ValueError(f"timm's {name} has the activation {first.mlp.act}; GELU alone fits")
    ends = [-1, *model.stage_ends]
    depths = tuple(end - start for start, end in zip(ends, ends[1:], strict=False))
    with torch.device("meta"):
        ours: list[Any] = list(Stages(first.dim, first.attn.heads, depths))
    attention = [(b.attn.use_mask_unit_attn, b.attn.heads) for b in blocks]
    units = tuple(step**last for step in (2, 2))
    if (tuple(model.q_stride), tuple(model.mask_unit_size)) != ((2, 2), units):
        what = f"pools {tuple(model.q_stride)} in units of {tuple(model.mask_unit_size)}"
        raise ValueError(f"timm's {name} {what}; (2, 2) in units of {units} alone fits")
    if attention != [(b.attn.within, b.attn.heads) for b in ours]:
        raise ValueError(f"timm's {name} has other heads or windows of attention than Hiera")
    fits = (last,) if model.num_classes else (last, last - 1)
    if model.q_pool not in fits or (model.num_classes and model.head.pool_type != "avg"):
        what = f"pools {model.q_pool} times, then by {model.head.pool_type or 'nothing'}"
        raise ValueError(f"timm's {name} {what}; {fits[0]} times and avg alone fit")


def arguments(model: Model) -> dict[str, Any]:
    """What makes of any of timm's Hieras the one that this model is."""
    settings = model.recipe["model"]
    told = {
        "img_size": settings["size"],
        "in_chans": settings["channels"],
        "embed_dim": settings["width"],
        "num_heads": settings["heads"],
        "num_classes": model.encoder.num_classes,
        "stages": settings["stages"],
        "q_pool": pools(model),
        "mask_unit_size": unit_size(model),
        "mask_unit_attn": in_units(model),
        "patch_kernel": settings["kernel"],
        "patch_stride": settings["stride"],
        "patch_padding": [side // 2 for side in settings["kernel"]],
    }
    if settings["positions"] == "windowed":
        coarse = list(model.encoder.positions.table.shape[2:])
        told |= {"abs_win_pos_embed": True, "global_pos_size": coarse}
    return told


def export(model: Model, folder: Path, _: str | None) -> Written:
    """Write a folder that timm opens by local-dir:, and whose weights fit create_model."""
    given, settings = arguments(model), model.recipe["model"]
    if settings["norm_eps"] != EPS:
        raise ValueError(f"timm's Hiera adds {EPS} to variances, this model {settings['norm_eps']}")
    state = {k: v for k, v in normed(model, state_of(model)).items() if "decoder." not in k}
    save_plain(folder / WEIGHTS, TIMM.to_theirs(state))
    config = {
        "architecture": settings["name"],
        "num_classes": given["num_classes"],
        "num_features": model.encoder.width,
        "global_pool": "avg",
        "model_args": given,
        "pretrained_cfg": published(model, given) | {"classifier": "head.fc"},
    }
    write_json(folder / "config.json", config)
    options = ", ".join(f"{key}={value!r}" for key, value in given.items())
    last = len(settings["stages"]) - 1
    hint = f"  # q_pool={last} pools as classifiers do" if given["q_pool"] < last else ""
    use = (
        f'timm.create_model("local-dir:{{out}}", pretrained=True){hint}\n'
        f'timm.create_model("{settings["name"]}", checkpoint_path="{{out}}/{WEIGHTS}", {options})'
    )
    return Written(use, "timm", partial(compare, model))


@torch.no_grad()
def compare(model: Model, folder: Path) -> float:
    """How far timm's numbers are from ours."""
    import timm

    other: Any = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    signal = sample(model)
    if model.encoder.num_classes:
        return difference(model(signal), other(signal))
    maps = other.forward_intermediates(signal, intermediates_only=True, output_fmt="NHWC")
    return difference(model.encoder.forward_features(signal), normalised(maps[-1], EPS))
