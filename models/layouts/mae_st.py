"""The names of the official repository of spatiotemporal MAEs, and what its files tell."""

import math
from pathlib import Path
from typing import Any

from maskedae.exporting import Model, Written
from maskedae.foreign import md5
from maskedae.layouts import Facts, Foreign, Layout, State
from maskedae.models.layouts import clips, mae_facts
from maskedae.models.layouts.clips import preprocessor as preprocessor
from maskedae.models.layouts.mae_facts import Told, find_size, guess, has_decoder, head, refuse
from maskedae.models.mae_st import DATA

PARTS = ("norm1", "attn", "norm2", "mlp")  # of a block
QKV = tuple(f"blocks.*.attn.{part}" for part in "qkv")
ENCODER = (
    ("encoder.class_token", "cls_token"),
    ("encoder.positions.prefix_table", "pos_embed_class"),
    ("encoder.positions.along", "pos_embed_temporal"),
    ("encoder.positions.across", "pos_embed_spatial"),
    ("encoder.embed", "patch_embed.proj"),
    ("encoder.blocks.*.attn.qkv", QKV),
    ("encoder.blocks", "blocks"),
)
DECODER = (
    ("decoder.class_token", "decoder_cls_token"),
    ("decoder.mask_token", "mask_token"),
    ("decoder.positions.prefix_table", "decoder_pos_embed_class"),
    ("decoder.positions.along", "decoder_pos_embed_temporal"),
    ("decoder.positions.across", "decoder_pos_embed_spatial"),
    ("decoder.embed", "decoder_embed"),
    ("decoder.blocks.*.attn.qkv", tuple(f"decoder_{path}" for path in QKV)),
    ("decoder.blocks", "decoder_blocks"),
    ("decoder.norm", "decoder_norm"),
    ("decoder.head", "decoder_pred"),
)
MARKS = (("patch_embed.proj.weight", 5), ("pos_embed_spatial", 3))

OFFICIAL = Layout(
    "official spatiotemporal MAE", (*ENCODER, ("encoder.norm", "norm"), *DECODER), MARKS
)
# Its classifiers normalise the mean of the patches by the norm that is the encoder's before.
HEAD = ("encoder.head.norm", "norm")
FINE_TUNED = Layout(
    "official spatiotemporal MAE, fine-tuned",
    (*ENCODER, HEAD, ("encoder.head.linear", "head")),
    (*MARKS, ("head.weight", 2)),
)
PROJECTED = Layout(
    "PySlowFast's spatiotemporal MAE, fine-tuned",
    (*ENCODER, HEAD, ("encoder.head.linear", "head.projection")),
    (*MARKS, ("head.projection.weight", 2)),
)
TRANSFORMS = "pred_head.transforms.0"
PYSLOWFAST = Layout(
    "PySlowFast's spatiotemporal MAE",
    (
        *ENCODER,
        ("encoder.norm", "norm"),
        ("decoder.mask_token", "mask_token"),
        ("decoder.positions.prefix_table", "dec_pos_embed_class"),
        ("decoder.positions.along", "dec_pos_embed_temporal"),
        ("decoder.positions.across", "dec_pos_embed_spatial"),
        ("decoder.positions.table", "decoder_pos_embed"),
        ("decoder.embed", "decoder_embed"),
        *((f"decoder.blocks.*.{part}", f"{TRANSFORMS}.*.{part}") for part in PARTS),
        ("decoder.norm", f"{TRANSFORMS}.*"),  # what comes after the last block
        ("decoder.head", "pred_head.projections.0"),
    ),
    (*MARKS, ("pred_head.projections.0.weight", 2)),
)
LAYOUTS = (FINE_TUNED, PROJECTED, PYSLOWFAST, OFFICIAL)

NEEDED = {
    "encoder.class_token": "no class token",
    "encoder.positions.along": "no positions in time",
    "encoder.embed.bias": "no bias of the patches",
    "encoder.blocks.0.attn.qkv.bias": "no bias of queries, keys and values",
}
LICENCE = "cc-by-nc-4.0"  # of the published weights, under any name
SUMS = ("edf3a5", "3d7f64", "9a9645", "27495e", "cdbada", "4c4e3c")
HEADS = "16, as in the repository, where PySlowFast has 8: weights do not tell"
OF_64 = 64  # values of a token to each head of PySlowFast's decoders


def read(layout: Layout, state: State, foreign: Foreign, overrides: dict[str, Any]) -> Facts:
    """Settings by the shapes, else by guess.

    Raises ValueError that names what these models have no place for.
    """
    refuse(state, NEEDED)
    settings = measure(state, overrides)
    if layout is PYSLOWFAST:
        settings |= pyslowfast(state)
    guessed = guess(settings, state, foreign.path.name)
    if "decoder_heads" in guessed and settings["decoder_heads"] == 16:
        guessed["decoder_heads"] = HEADS
    if settings.get("predicted_frames") == "every_second":
        guessed["predicted_frames"] = (
            "every_second, as in the training of the released weights; weights do not tell"
        )
    guessed["data"] = "mean .45 and deviation .225, as published: the file does not tell"
    known = md5(foreign.path).startswith(SUMS)
    sections: dict[str, Any] = {
        "data": clips.data(DATA, [0.45], [0.225]),
        "licence": foreign.licence or (LICENCE if known else "unknown"),
    }
    if "encoder.head.linear.weight" in state:
        sections["head"] = head(state, Told())
    parts = "encoder and decoder" if has_decoder(state) else "encoder"
    title = f"{layout.title}, {parts}" if layout in (OFFICIAL, PYSLOWFAST) else layout.title
    return Facts(title, settings, guessed, sections)


def measure(state: State, overrides: dict[str, Any]) -> dict[str, Any]:
    """Settings by the shapes of tensors under our names."""
    settings = mae_facts.measure(state)
    patch, told = settings["patch"], overrides.get("size")
    slots, places = (state[f"encoder.positions.{name}"].shape[1] for name in ("along", "across"))
    sides = told[1:] if isinstance(told, (tuple, list)) else told
    settings["size"] = (slots * patch[0], *find_size(places + 1, patch[1:], [sides]))
    if has_decoder(state):
        whole = len(state["decoder.head.weight"]) == math.prod(patch) * settings["channels"]
        settings["predicted_frames"] = "all" if whole else "every_second"
    return settings


def pyslowfast(state: State) -> dict[str, Any]:
    """How the decoders of PySlowFast differ from those of the repository."""
    return {
        "decoder_heads": len(state["decoder.embed.weight"]) // OF_64,
        "own_class_token": False,
        "separable_decoder": "decoder.positions.along" in state,
    }


def export(model: Model, folder: Path, name: str | None) -> Written:
    """Write a file under the names of the official repository."""
    layout = FINE_TUNED if model.encoder.num_classes else OFFICIAL
    return clips.export_official(model, layout, folder, name)


EXPORTS = {"official": export}
