"""How others name the weights of CAV-MAE, and what their files tell of the model.

Published sounds have their bands before their time: patches are numbered band by band, and so are
the values of each. Every published block has two more norms for each signal, which only the shared
ones use.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from maskedae.codes import sincos
from maskedae.exporting import Model, Written, plain_head
from maskedae.layouts import Facts, Foreign, Layout, State, count
from maskedae.models.cav_mae import DATA
from maskedae.models.layouts import audiomae, clips, mae_facts
from maskedae.models.layouts.audiomae import BANDS
from maskedae.models.layouts.mae_facts import HEADS, Told, refuse

SIDES = (("audio", "a", 0), ("video", "v", 1))
NORMS = tuple(f"norm{order}_{letter}" for _, letter, _ in SIDES for order in (1, 2))
BLOCKS = {"decoder_blocks": "decoder.joint.blocks", "blocks_a": "encoder.audio.blocks"}
BLOCKS |= {"blocks_v": "encoder.video.blocks"}


def _names() -> Iterator[tuple[str, str]]:
    for side, x, number in SIDES:
        yield f"encoder.{side}.embed", f"patch_embed_{x}.proj"
        yield f"encoder.{side}.positions.table", f"pos_embed_{x}"
        yield f"encoder.{side}.positions.mark", f"modality_{x}"
        yield f"encoder.{side}.norm", f"norm_{x}"
        yield f"decoder.positions.{number}.table", f"decoder_pos_embed_{x}"
        yield f"decoder.positions.{number}.mark", f"decoder_modality_{x}"
        yield f"decoder.heads.{number}", f"decoder_pred_{x}"
        for order in (0, 1):
            yield f"encoder.fusion.norms.{number}.*.{order}", f"blocks_u.*.norm{order + 1}_{x}"
    yield "encoder.fusion.blocks", "blocks_u"
    yield from ((ours, theirs) for theirs, ours in BLOCKS.items())
    yield "encoder.norm", "norm"
    yield "decoder.embed", "decoder_embed"
    yield "decoder.mask_token", "mask_token"
    yield "decoder.norm", "decoder_norm"
    yield "encoder.head.norm", "mlp_head.0"
    yield "encoder.head.linear", "mlp_head.1"


def time_first(state: State) -> State:
    """Kernel, positions and predictions of sounds with time before bands, kernels of clips."""
    return {name: _turned(name, value, state, theirs=True) for name, value in state.items()}


def bands_first(state: State) -> State:
    """The way back of `time_first`, with norms that are not used, as they are at first."""
    turned = {name: _turned(name, value, state, theirs=False) for name, value in state.items()}
    bias, unused = state["blocks_u.0.norm1.bias"], ["norm_a", "norm_v"]
    for blocks in (*BLOCKS, "blocks_u"):
        for number in range(count(state, f"{blocks}.*")):
            unused += [f"{blocks}.{number}.{norm}" for norm in NORMS]
    for name in unused:
        like = state["decoder_norm.bias"] if name.startswith("decoder") else bias
        turned.setdefault(f"{name}.weight", torch.ones_like(like))
        turned.setdefault(f"{name}.bias", torch.zeros_like(like))
    return turned


def _turned(name: str, x: Tensor, state: State, theirs: bool) -> Tensor:
    if name == "patch_embed_v.proj.weight":
        return x.unsqueeze(2) if theirs else x.squeeze(2)
    if name == "patch_embed_a.proj.weight":
        return x.transpose(2, 3)
    side = state["patch_embed_a.proj.weight"].shape[2 if theirs else 3]  # bands of a patch
    if "pos_embed_a" in name:
        rows = num_bands(state["pos_embed_a"][0], side, theirs)
        cut = "n (f t) d -> n (t f) d" if theirs else "n (t f) d -> n (f t) d"
        return rearrange(x, cut, f=rows)
    if "decoder_pred_a" in name:
        cut = "(f t) ... -> (t f) ..." if theirs else "(t f) ... -> (f t) ..."
        return rearrange(x, cut, f=side)
    return x


def num_bands(table: Tensor, side: int, theirs: bool) -> int:
    """Patches along the bands, by codes of places (N, D) that do not learn, else of 128 bands.

    Raises ValueError where so many patches are not for those.
    """
    patches, width = table.shape
    usual = max(BANDS // side, 1)
    for bands in sorted(range(1, patches + 1), key=lambda bands: bands != usual):
        if patches % bands == 0:
            codes = sincos((bands, patches // bands), width)
            codes = codes if theirs else rearrange(codes, "(f t) d -> (t f) d", f=bands)
            if codes.allclose(table.cpu(), atol=1e-5):
                return bands
    if patches % usual:
        raise ValueError(f"{patches} positions of patches of {side} bands are not for {BANDS}")
    return usual


MARKS = (
    ("patch_embed_a.proj.weight", 4),
    ("patch_embed_v.proj.weight", 4),
    ("modality_a", 3),
    ("blocks_u.0.norm1_a.weight", 1),
)
UNUSED = tuple(f"{blocks}.*.{norm}" for blocks in BLOCKS for norm in NORMS)
ALONE = ("norm_a", "norm_v", *(f"blocks_u.*.{norm}" for norm in NORMS))
OFFICIAL, FINE_TUNED = (
    Layout(f"official CAV-MAE{what}", tuple(_names()), marks, gone, None, time_first, bands_first)
    for what, marks, gone in (
        ("", MARKS, UNUSED),
        (", fine-tuned", (*MARKS, ("mlp_head.1.weight", 2)), (*UNUSED, *ALONE)),
    )
)
LAYOUTS = (FINE_TUNED, OFFICIAL)
MEAN, STD = -5.081, 4.4849 / 2  # of AudioSet, as published; ours are divided by twice the deviation


def read(layout: Layout, state: State, foreign: Foreign, overrides: dict[str, Any]) -> Facts:
    """Settings by the shapes, else by guess.

    Raises ValueError that names what these models have no place for.
    """
    refuse(state, {})
    settings = measure(state, overrides)
    width, told = settings["width"], "by width: weights do not tell"
    settings["heads"] = HEADS.get(width, max(width // 64, 1))
    guessed = {"heads": f"{settings['heads']} {told}"}
    if "decoder_width" in settings:
        settings["decoder_heads"] = max(settings["decoder_width"] // 32, 1)
        guessed["decoder_heads"] = f"{settings['decoder_heads']} {told}"
    guessed["data"] = "mean and deviation of AudioSet and ImageNet, as published"
    sections: dict[str, Any] = {"data": clips.data(DATA, [MEAN], [STD])}
    sections["licence"] = foreign.licence or "unknown"
    if "encoder.head.linear.weight" in state:
        sections["head"] = audiomae.head(state, Told(), guessed)
    return Facts(layout.title, settings, guessed, sections)


def measure(state: State, overrides: dict[str, Any]) -> dict[str, Any]:
    """Settings by the shapes of tensors under our names."""
    width, _, *audio = state["encoder.audio.embed.weight"].shape
    channels, *video = state["encoder.video.embed.weight"].shape[1:]
    table = state["encoder.audio.positions.table"][0]
    bands = num_bands(table, audio[1], theirs=False)
    rows = state["encoder.video.positions.table"].shape[1] + 1
    sides = mae_facts.find_size(rows, tuple(video[1:]), [overrides.get("video_size", ())[1:]])
    settings: dict[str, Any] = {
        "audio_size": (len(table) // bands * audio[0], bands * audio[1]),
        "audio_patch": tuple(audio),
        "video_size": (1, *sides),
        "video_patch": tuple(video),
        "channels": channels,
        "width": width,
        "depth": count(state, "encoder.audio.blocks.*"),
        "shared_depth": count(state, "encoder.fusion.blocks.*"),
    }
    if "decoder.embed.weight" in state:
        settings["decoder_width"] = len(state["decoder.embed.weight"])
        settings["decoder_depth"] = count(state, "decoder.joint.blocks.*")
    return settings


def preprocessor(recipe: dict[str, Any]) -> dict[str, Any]:
    """Nothing: no preprocessor of other libraries prepares sound and pictures together."""
    return {}


def export(model: Model, folder: Path, name: str | None) -> Written:
    """Write a file under the names of the official repository, each of which begins with `module`.

    Raises ValueError for models of clips of several frames.
    """
    path, frames = folder / (name or "model.pth"), model.recipe["model"]["video_size"][0]
    if frames > 1:
        raise ValueError(f"clips have {frames} frames, and official models look at 1")
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    named = OFFICIAL.to_theirs(plain_head(model, state))
    torch.save({f"module.{name}": value.contiguous() for name, value in named.items()}, path)
    use = f'torch.load("{{out}}/{path.name}", weights_only=True)'
    return Written(use, "maskedae", partial(clips.compare_back, model, path.name))


EXPORTS = {"official": export}
