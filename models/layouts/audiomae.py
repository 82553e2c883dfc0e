"""How others name the weights of Audio-MAE, and what their files tell of the model."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskedae.answers import Answers
from maskedae.codes import sincos
from maskedae.exporting import Model, Written
from maskedae.layouts import Facts, Foreign, Layout, State
from maskedae.models.audiomae import DATA
from maskedae.models.layouts import clips, mae_facts, mae_official, mae_timm
from maskedae.models.layouts.hiera_names import widens
from maskedae.models.layouts.mae_facts import Told, guess, has_decoder, refuse
from maskedae.patches import grid_of

BANDS, FRAMES = 128, 1024  # as published
PATCH, OVERLAPPING = (16, 16), (10, 10)
PATCHES = 512
AUDIOSET = 527  # classes, of which a sound has several
MEAN, STD = -4.2677393, 4.5689974  # of AudioSet
KERNEL, TABLE = "patch_embed.proj.weight", "pos_embed"


def told_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Frames and bands, as timm's config.json says."""
    size = config.get("model_args", {}).get("img_size")
    size = size or config.get("pretrained_cfg", {}).get("input_size", (None,))[1:]
    return mae_facts.pair(size) if size else None


def coded(table: Tensor) -> tuple[int, int] | None:
    """The grid whose codes a table holds, if it is one that does not learn: (1, 1 + N, D)."""
    patches, width = table.shape[1] - 1, table.shape[2]
    for tall in range(1, patches + 1):
        grid = tall, patches // tall
        if math.prod(grid) == patches and sincos(grid, width).allclose(table[0, 1:], atol=1e-5):
            return grid
    return None


def of_sounds(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> bool:
    """Whether weights under the names of image MAEs are made for sounds.

    They have one channel, tokens of one width, and a local decoder; else 128 bands and another
    number of frames by config.json; else codes of a grid that has eight bands, or is cut off one,
    and is no square; else, if codes have changed, 512 of them. So 128 frames alone may be taken for
    an image.
    """
    alone = mae_official.of_one_signal(state, config)
    if state[KERNEL].shape[1] != 1 or TABLE not in state or widens(state, config) or not alone:
        return False
    if "decoder_blocks.0.attn.tau" in state:
        return True
    if size := told_size(config):
        return size[1] == BANDS and size[0] != BANDS
    patch = tuple(state[KERNEL].shape[2:])
    slots, bands = FRAMES // patch[0], BANDS // patch[1]
    if grid := coded(state[TABLE]):
        overlapping = patch == PATCH and grid == grid_of((FRAMES, BANDS), patch, OVERLAPPING)
        cut_off = grid[0] <= bands and grid[1] == slots
        return grid[0] != grid[1] and (bands in grid or cut_off or overlapping)
    return state[TABLE].shape[1] == 1 + PATCHES


DECODER = (
    ("decoder.blocks.*.attn.near", "decoder_blocks.*.attn.meta_mlp"),
    *mae_official.DECODER,
)
HEAD = (("encoder.head.norm", "fc_norm"), ("encoder.head.linear", "head"))
OFFICIAL = Layout(
    "official Audio-MAE",
    (*mae_official.ENCODER, *DECODER, *HEAD),
    mae_official.MARKS,
    tells=of_sounds,
)
LAYOUTS = (OFFICIAL,)
TOLD = ("heads", "norm_eps")
LICENCE = "cc-by-nc-4.0"  # of the published weights
PUBLISHED = re.compile(r"\.audiomae_as")  # in the name of a folder of timm's hub


def read(layout: Layout, state: State, foreign: Foreign, overrides: dict[str, Any]) -> Facts:
    """Settings by the shapes, by what lies beside the file, and by guess, in this order.

    Raises ValueError that names what these models have no place for.
    """
    timm = "architecture" in foreign.config
    told = mae_timm.tell(foreign) if timm else Told()
    refuse(state)
    settings = measure(state, [told_size(foreign.config), overrides.get("size")])
    settings |= {name: told.settings[name] for name in TOLD if name in told.settings}
    guessed = guess(settings, state, foreign.path.name)
    guessed["data"] = "mean and deviation of AudioSet, as published: the file does not tell"
    sections: dict[str, Any] = {"data": clips.data(DATA, [MEAN], [STD])}
    # What they have been trained with.
    sections["data"]["init_args"] |= {"channel": "left", "short": "zeros"}
    published = LICENCE if PUBLISHED.search(str(foreign.path)) else "unknown"
    sections["licence"] = foreign.licence or told.licence or published
    if "encoder.head.linear.weight" in state:
        sections["head"] = head(state, told, guessed)
    parts = "fine-tuned" if "head" in sections else "encoder"
    parts = "encoder and decoder" if has_decoder(state) else parts
    title = "timm's port of Audio-MAE" if timm else layout.title
    return Facts(f"{title}, {parts}", settings, guessed, sections)


def measure(state: State, sizes: list[Any]) -> dict[str, Any]:
    """Settings by the shapes of tensors under our names, the size by the codes of places."""
    settings = mae_facts.measure(state)
    table, patch = state["encoder.positions.table"], settings["patch"]
    settings |= find_size(table.shape[1] - 1, patch, sizes)
    corrected = "stride" not in settings and coded(table) == grid_of(settings["size"], patch)
    settings["positions"] = "corrected" if corrected else "published"
    if has_decoder(state):
        local = "decoder.blocks.0.attn.tau" in state
        settings["decoder"] = "local" if local else "global"
    return settings


def find_size(patches: int, patch: tuple[int, ...], sizes: list[Any]) -> dict[str, Any]:
    """Size, and stride if they overlap, for so many patches: one that was told, or 128 bands."""
    bands = max(BANDS // patch[1], 1)
    guessed = [(FRAMES, BANDS), (patches // bands * patch[0], BANDS)]
    for size in (mae_facts.pair(size) for size in [*sizes, *guessed] if size):
        for stride in (None, OVERLAPPING) if patch == PATCH else (None,):
            steps = stride or patch
            grid = [(s - p) // step + 1 for s, p, step in zip(size, patch, steps, strict=True)]
            if math.prod(grid) == patches:
                return {"size": size, "stride": stride} if stride else {"size": size}
    raise ValueError(
        f"{patches} positions of patches of {patch}, beside the class token's, are not for {BANDS} "
        f"bands: say what size they are for, size=(frames, bands), on the command line "
        f"--size=FRAMES,BANDS"
    )


def head(state: State, told: Told, guessed: dict[str, str]) -> dict[str, Any]:
    """The section `head` of a recipe."""
    section = mae_facts.head(state, told)
    if len(section["classes"]) == AUDIOSET:
        guessed["head"] = "several of AudioSet's classes at once: the file does not tell"
        section |= Answers("classes", tuple(section["classes"])).plain()
    return section


def preprocessor(recipe: dict[str, Any]) -> dict[str, Any]:
    """What transformers' ASTFeatureExtractor needs to prepare sounds, if they are as it expects."""
    model, given = recipe["model"], recipe.get("data", {}).get("init_args", {})
    return {
        "feature_extractor_type": "ASTFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": given.get("rate") or 16000,
        "num_mel_bins": model["size"][1],
        "max_length": model["size"][0],
        "do_normalize": True,  # by twice the deviation
        "mean": (given.get("mean") or [MEAN])[0],
        "std": (given.get("std") or [STD])[0],
        "return_attention_mask": False,
    }


def export(model: Model, folder: Path, name: str | None) -> Written:
    """Write a file under the names of the official repository."""
    return clips.export_official(model, OFFICIAL, folder, name)


def export_timm(model: Model, folder: Path, name: str | None) -> Written:
    """Write a folder for timm. Raises ValueError where patches overlap, which it does not know."""
    if model.recipe["model"].get("stride"):
        raise ValueError("timm's vision transformers have no overlapping patches; official fits")
    return mae_timm.export(model, folder, name)


EXPORTS = {"timm": export_timm, "official": export}
