"""The names of the official Hiera repository, of timm's Hiera and of transformers' Hiera."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from maskedae.layouts import Layout, State

Names = tuple[tuple[str, str], ...]

ENCODER: Names = (
    ("encoder.positions.table", "pos_embed"),
    ("encoder.positions.tile", "pos_embed_win"),
    ("encoder.positions.along", "pos_embed_temporal"),
    ("encoder.positions.across", "pos_embed_spatial"),
    ("encoder.embed", "patch_embed.proj"),
    ("encoder.blocks", "blocks"),
)
DECODER: Names = (
    ("decoder.fusion.heads", "multi_scale_fusion_heads"),
    ("decoder.fusion.norm", "encoder_norm"),
    ("decoder.mask_token", "mask_token"),
    ("decoder.positions.table", "decoder_pos_embed"),
    ("decoder.embed", "decoder_embed"),
    ("decoder.blocks", "decoder_blocks"),
    ("decoder.norm", "decoder_norm"),
    ("decoder.head", "decoder_pred"),
)
HEAD: Names = (("encoder.head.norm", "norm"), ("encoder.head.linear", "head.projection"))
TIMM_HEAD: Names = (("encoder.head.norm", "head.norm"), ("encoder.head.linear", "head.fc"))


def widens(state: Mapping[str, Tensor], _: Mapping[str, Any]) -> bool:
    """Whether tokens become wider on the way, which those of other systems do not."""
    found = {
        len(state[name]) for name in state if re.fullmatch(r"blocks\.\d+\.norm1\.weight", name)
    }
    return len(found) > 1


def layouts(axes: int) -> tuple[Layout, ...]:
    """Those of the official repository and of timm for signals of so many axes.

    The norm behind the mean of the tokens has no place where no classes follow.
    """
    marks = (("patch_embed.proj.weight", 2 + axes), ("blocks.0.attn.qkv.weight", 2))
    whole = Layout("official Hiera", (*ENCODER, *HEAD, *DECODER), marks, tells=widens)
    timm = replace(whole, title="timm Hiera", names=(*ENCODER, *TIMM_HEAD))
    return (
        replace(timm, marks=(*marks, ("head.fc.weight", 2))),
        replace(timm, marks=(*marks, ("head.norm.weight", 1)), left_out=("head.norm",)),
        replace(whole, marks=(*marks, ("head.projection.weight", 2))),
        replace(whole, marks=(*marks, ("norm.weight", 1)), left_out=("norm",)),
        whole,
    )


IMAGES, CLIPS = layouts(2), layouts(3)
OFFICIAL, TIMM = IMAGES[-1], IMAGES[0]


def flat(state: State) -> State:
    """Blocks counted through, where transformers counts layers in stages."""
    path = re.compile(r"((?:hiera\.)?)encoder\.stages\.(\d+)\.layers\.(\d+)\.(.+)")
    found = {name: path.fullmatch(name) for name in state}
    layers = {(int(match[2]), int(match[3])) for match in found.values() if match}
    number = {layer: block for block, layer in enumerate(sorted(layers))}
    renamed = State()
    for theirs, match in found.items():
        name = theirs
        if match:
            name = f"{match[1]}encoder.blocks.{number[int(match[2]), int(match[3])]}.{match[4]}"
        renamed[name] = state[theirs]
    return renamed


def nested(state: State) -> State:
    """Layers in stages, of which all but the first begin by widening tokens: the way back."""
    path = re.compile(r"((?:hiera\.)?)encoder\.blocks\.(\d+)\.(.+)")
    found = {name: path.fullmatch(name) for name in state}
    widening = {int(match[2]) for match in found.values() if match and match[3] == "proj.weight"}
    renamed = State()
    for name, match in found.items():
        theirs = name
        if match:
            starts = [start for start in (0, *sorted(widening)) if start <= int(match[2])]
            layer = int(match[2]) - starts[-1]
            theirs = f"{match[1]}encoder.stages.{len(starts) - 1}.layers.{layer}.{match[3]}"
        renamed[theirs] = state[name]
    return renamed


def layers(ours: str, theirs: str) -> Names:
    """Names in a stack of layers of transformers."""
    return (
        (f"{ours}.*.norm1", f"{theirs}.*.layernorm_before"),
        (f"{ours}.*.norm2", f"{theirs}.*.layernorm_after"),
        (ours, theirs),
    )


def transformers(prefix: str, *more: tuple[str, int], left_out: tuple[str, ...] = ()) -> Layout:
    """The layout of a model of transformers whose encoder has that prefix."""
    kernel = f"{prefix}embeddings.patch_embeddings.projection"
    names = (
        ("encoder.positions.table", f"{prefix}embeddings.position_embeddings"),
        ("encoder.embed", kernel),
        *layers("encoder.blocks", f"{prefix}encoder.blocks"),
        ("encoder.head.norm", f"{prefix}pooler.layernorm"),
        ("encoder.head.linear", "classifier"),
        ("decoder.fusion.heads", "multiscale_fusion.multi_scale_fusion_heads"),
        ("decoder.fusion.norm", "encoder_norm"),
        ("decoder.mask_token", "decoder.mask_token"),
        ("decoder.positions.table", "decoder.decoder_position_embeddings"),
        ("decoder.embed", "decoder.decoder_embeddings"),
        *layers("decoder.blocks", "decoder.decoder_block.layers"),
        ("decoder.norm", "decoder.decoder_norm"),
        ("decoder.head", "decoder.decoder_pred"),
    )
    first = f"{prefix}encoder.stages.0.layers.0.attn.qkv.weight"
    marks = ((f"{kernel}.weight", 4), (first, 2), *more)
    return Layout("transformers Hiera", names, marks, left_out, flat=flat, nested=nested)


NAMED = transformers("hiera.")
BARE = transformers("", left_out=("pooler.layernorm", "hidden_states_norms"))
TRANSFORMERS = (NAMED, BARE)
