"""The names of the official MAE repository, which timm's vision transformers share."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from maskedae.layouts import Layout

ENCODER = (
    ("encoder.class_token", "cls_token"),
    ("encoder.positions.table", "pos_embed"),
    ("encoder.embed", "patch_embed.proj"),
    ("encoder.blocks", "blocks"),
    ("encoder.norm", "norm"),
)
DECODER = (
    ("decoder.mask_token", "mask_token"),
    ("decoder.positions.table", "decoder_pos_embed"),
    ("decoder.embed", "decoder_embed"),
    ("decoder.blocks", "decoder_blocks"),
    ("decoder.norm", "decoder_norm"),
    ("decoder.head", "decoder_pred"),
)
MARKS = (("patch_embed.proj.weight", 4), ("blocks.0.attn.qkv.weight", 2))


def of_one_signal(state: Mapping[str, Tensor], _: Mapping[str, Any]) -> bool:
    """Whether there are no pictures beside what these names stand for, sound then."""
    return "patch_embed_v.proj.weight" not in state


OFFICIAL = Layout(
    "official MAE",
    (*ENCODER, *DECODER, ("encoder.head.norm", "fc_norm"), ("encoder.head.linear", "head")),
    MARKS,
    tells=of_one_signal,
)
LINEAR_PROBE = Layout(
    "official MAE, linear probe",
    (*ENCODER, ("encoder.head.norm", "head.0"), ("encoder.head.linear", "head.1")),
    (*MARKS, ("head.1.weight", 2)),
)
LAYOUTS = (LINEAR_PROBE, OFFICIAL)
