"""How others name the weights of MAViL, and what their files tell of the model.

Known are the names of the fine-tuned model, and of what pre-training adds those of pictures, which
end in `_v`; those of sound are Audio-MAE's, and `norm_av` is our own.
"""

import math
from pathlib import Path
from typing import Any

from maskedae.exporting import Model, Written
from maskedae.layouts import Facts, Foreign, Layout, State, count
from maskedae.models.layouts import audiomae, clips
from maskedae.models.layouts.audiomae import MEAN, STD, coded
from maskedae.models.layouts.mae_facts import HEADS, Told, refuse
from maskedae.models.mavil import DATA
from maskedae.patches import grid_of

PARTS = (
    ("encoder.{}.class_token", "cls_token{}"),
    ("encoder.{}.positions.table", "pos_embed{}"),
    ("encoder.{}.embed", "patch_embed{}.proj"),
    ("encoder.{}.blocks", "blocks{}"),
    ("encoder.{}.norm", "norm{}"),
    ("decoder.{}.mask_token", "mask_token{}"),
    ("decoder.{}.positions.table", "decoder_pos_embed{}"),
    ("decoder.{}.embed", "decoder_embed{}"),
    ("decoder.{}.blocks", "decoder_blocks{}"),
    ("decoder.{}.norm", "decoder_norm{}"),
    ("decoder.{}.head", "decoder_pred{}"),
)
MARKS = (
    ("patch_embed.proj.weight", 4),
    ("patch_embed_v.proj.weight", 5),
    ("blocks_v.0.attn.qkv.weight", 2),
    ("blocks_av.0.attn.qkv.weight", 2),
)
OFFICIAL = Layout(
    "official MAViL",
    (
        *((ours.format("audio"), theirs.format("")) for ours, theirs in PARTS),
        *((ours.format("video"), theirs.format("_v")) for ours, theirs in PARTS),
        ("encoder.fusion.blocks", "blocks_av"),
        ("encoder.norm", "norm_av"),
        ("encoder.head.norm", "fc_norm_av"),
        ("encoder.head.linear", "head_av"),
    ),
    MARKS,
)
LAYOUTS = (OFFICIAL,)
FRAMES = 8  # as published
COLOURS = {"video_mean": [0.485, 0.456, 0.406], "video_std": [0.229, 0.224, 0.225]}  # ImageNet's


def read(layout: Layout, state: State, foreign: Foreign, overrides: dict[str, Any]) -> Facts:
    """Settings by the shapes, else by guess.

    Raises ValueError that names what these models have no place for.
    """
    refuse(state, {})
    settings = measure(state, overrides)
    width = settings["width"]
    settings["heads"] = HEADS.get(width, max(width // 64, 1))
    guessed = {"heads": f"{settings['heads']} by width: weights do not tell"}
    if "decoder_width" in settings:
        settings["decoder_heads"] = max(settings["decoder_width"] // 32, 1)
        guessed["decoder_heads"] = f"{settings['decoder_heads']} by width: weights do not tell"
    guessed["data"] = "mean and deviation of AudioSet and ImageNet, as published"
    sections: dict[str, Any] = {"data": clips.data(DATA, [MEAN], [STD])}
    sections["data"]["init_args"] |= COLOURS if settings["channels"] == 3 else {}
    sections["licence"] = foreign.licence or "unknown"
    if "encoder.head.linear.weight" in state:
        sections["head"] = audiomae.head(state, Told(), guessed)
    parts = "fine-tuned" if "head" in sections else "encoder"
    parts = "encoder and decoders" if "decoder_width" in settings else parts
    return Facts(f"{layout.title}, {parts}", settings, guessed, sections)


def measure(state: State, overrides: dict[str, Any]) -> dict[str, Any]:
    """Settings by the shapes of tensors under our names."""
    width, _, *audio = state["encoder.audio.embed.weight"].shape
    _, channels, *video = state["encoder.video.embed.weight"].shape
    tables = {side: state[f"encoder.{side}.positions.table"] for side in ("audio", "video")}
    rows = {side: table.shape[1] - 1 for side, table in tables.items()}
    found = audiomae.find_size(rows["audio"], tuple(audio), [overrides.get("audio_size")])["size"]
    corrected = coded(tables["audio"]) == grid_of(found, tuple(audio))
    settings: dict[str, Any] = {
        "audio_size": found,
        "audio_patch": tuple(audio),
        "video_size": clip_size(rows["video"], tuple(video), overrides.get("video_size")),
        "video_patch": tuple(video),
        "channels": channels,
        "width": width,
        "depth": count(state, "encoder.audio.blocks.*"),
        "fusion_depth": count(state, "encoder.fusion.blocks.*"),
        "positions": "corrected" if corrected else "published",
    }
    if "decoder.audio.embed.weight" in state:
        settings["decoder_width"] = len(state["decoder.audio.embed.weight"])
        settings["decoder_depth"] = count(state, "decoder.audio.blocks.*")
        values = len(state["decoder.audio.head.weight"]), len(state["decoder.video.head.weight"])
        ours = math.prod(audio), math.prod(video) * channels
        settings["predicts"] = "signal" if values == ours else "features"
    return settings


def clip_size(patches: int, patch: tuple[int, ...], told: Any) -> tuple[int, ...]:
    """The size of clips with so many patches: the one told if it fits, else of eight frames."""
    if told and math.prod(grid_of(tuple(told), patch)) == patches:
        return tuple(told)
    slots = max(FRAMES // patch[0], 1)
    side = math.isqrt(patches // slots)
    if slots * side**2 != patches:
        raise ValueError(
            f"{patches} positions of patches of {patch} are no squares of {FRAMES} frames: say "
            f"what size they are for, video_size=(frames, height, width)"
        )
    return (slots * patch[0], side * patch[1], side * patch[2])


def preprocessor(recipe: dict[str, Any]) -> dict[str, Any]:
    """Nothing: no preprocessor of other libraries prepares sound and pictures together."""
    return {}


def export(model: Model, folder: Path, name: str | None) -> Written:
    """Write a file under the names of the official model."""
    return clips.export_official(model, OFFICIAL, folder, name)


EXPORTS = {"official": export}
