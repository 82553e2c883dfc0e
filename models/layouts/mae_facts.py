"""What shapes tell of an image MAE, what they cannot, and what has no place in one."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maskedae.answers import Answers, Kind
from maskedae.layouts import State, count

# What names stand for that these models do not have.
OBSTACLES = {
    r"\.ls\d\.|lambda_[12]|layer_scale|\.gamma(_\d)?$": "LayerScale",
    r"relative_position|rel_pos": "relative positions",
    r"reg_token|register_tokens": "register tokens",
    r"\.[qk]_norm\.": "normalised queries and keys",
    r"norm_pre|pre_norm": "a norm before the blocks",
    r"attn_pool": "pooling by attention",
    r"dist_token|head_dist|distillation": "a token for distillation",
    r"mlp\.(w12|w[123]|fc1_[gx])|weights_in": "a gated MLP",
    r"(attn|mlp)\.norm": "a norm inside attention or MLP",
    r"rope|freqs": "rotary positions",
    r"\.attn\.[qv]_bias": "a bias of queries and values alone",
}
NEEDED = {
    "encoder.class_token": "no class token",
    "encoder.positions.table": "no table of positions",
    "encoder.embed.bias": "no bias of the patches",
    "encoder.blocks.0.attn.qkv.bias": "no bias of queries, keys and values (qkv_bias)",
}
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}


@dataclass(frozen=True)
class Told:
    """What stands beside a file."""

    settings: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)  # of the recipe
    classes: tuple[str, ...] = ()
    kind: Kind = "class"  # of the answers
    licence: str = ""


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, of a number both."""
    tall, wide = (value, value) if isinstance(value, int) else value
    return tall, wide


def has_decoder(state: State) -> bool:
    """Whether there is something to imagine with."""
    return "decoder.embed.weight" in state


def refuse(state: State, needed: Mapping[str, str] = NEEDED) -> None:
    """Raise ValueError where a file has what models have no place for, or lacks what they need."""
    for name in state:
        for pattern, what in OBSTACLES.items():
            if re.search(pattern, name):
                raise ValueError(f"the file has {what} ({name}), which this model has no place for")
    for name, lack in needed.items():
        if name not in state and any(key.startswith("encoder.blocks.0.") for key in state):
            raise ValueError(f"the file has {lack}, and this model cannot do without")
    for tower in ("encoder", "decoder"):
        fc1 = state.get(f"{tower}.blocks.0.mlp.fc1.weight")
        if fc1 is not None and len(fc1) != 4 * fc1.shape[1]:
            raise ValueError(
                f"the file has an MLP of {len(fc1)} values in its {tower}, and this model's has "
                f"{4 * fc1.shape[1]}, 4 x its width"
            )


def measure(state: State) -> dict[str, Any]:
    """Settings by the shapes of tensors under our names, all but the size."""
    width, channels, *patch = state["encoder.embed.weight"].shape
    settings: dict[str, Any] = {
        "patch": tuple(patch),
        "channels": channels,
        "width": width,
        "depth": count(state, "encoder.blocks.*"),
    }
    if has_decoder(state):
        settings["decoder_width"] = len(state["decoder.embed.weight"])
        settings["decoder_depth"] = count(state, "decoder.blocks.*")
    return settings


def find_size(rows: int, patch: tuple[int, ...], told: list[Any]) -> tuple[int, ...]:
    """The size of signals that a table of so many rows is for: one that was told, or a square."""
    for size in told:
        if size and math.prod(s // p for s, p in zip(pair(size), patch, strict=True)) == rows - 1:
            return pair(size)
    side = math.isqrt(rows - 1)
    if side**2 == rows - 1:
        return tuple(side * p for p in patch)
    square = math.isqrt(rows) ** 2 == rows
    aside = "; a square with no row for the class token (no_embed_class) has no place here"
    raise ValueError(
        f"{rows - 1} positions of patches of {patch}, beside the class token's, are no square: say "
        f"what size of images they are for, size=(height, width), on the command line "
        f"--size=HEIGHT,WIDTH{aside if square else ''}"
    )


def guess(settings: dict[str, Any], state: State, file: str) -> dict[str, str]:
    """Settle what neither shapes nor a config tell; say how."""
    guessed, by_width = dict[str, str](), "by width: weights do not tell"
    if "heads" not in settings:
        settings["heads"] = HEADS.get(width := settings["width"], max(width // 64, 1))
        guessed["heads"] = f"{settings['heads']} {by_width}"
    if not has_decoder(state):
        return guessed
    if "decoder_heads" not in settings:
        width = settings["decoder_width"]
        settings["decoder_heads"] = 16 if width == 512 else max(width // 32, 1)
        guessed["decoder_heads"] = f"{settings['decoder_heads']} {by_width}"
    if "normalize_target" not in settings:
        settings["normalize_target"] = "visualize" not in file
        guessed["normalize_target"] = (
            "True, as in most files; weights do not tell"
            if settings["normalize_target"]
            else "False by its name: it predicts pixels, not normalised"
        )
    return guessed


def head(state: State, told: Told) -> dict[str, Any]:
    """The section `head` of a recipe."""
    outputs, kind = len(state["encoder.head.linear.weight"]), told.kind
    classes = told.classes if len(told.classes) == outputs else class_names(outputs)
    answers = Answers(kind, classes) if outputs > 1 else Answers("value")
    pool = "mean" if "encoder.head.norm.weight" in state else "class"
    batch_norm = "encoder.head.norm.running_mean" in state
    return {"pool": pool, "batch_norm": batch_norm, **answers.plain()}


def class_names(outputs: int) -> tuple[str, ...]:
    """Names for classes that a file does not name: a thousand are taken for ImageNet's."""
    if outputs == 1000:
        from timm.data.imagenet_info import ImageNetInfo  # two seconds, rarely needed

        names: list[str] = ImageNetInfo().label_names()  # type: ignore[no-untyped-call]
        return tuple(names)
    return tuple(f"class {number}" for number in range(outputs))
