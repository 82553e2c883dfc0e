"""How others name the weights of image MAEs, and what their files tell of the model."""

import re
from typing import Any

from maskedae.foreign import md5
from maskedae.layouts import Facts, Foreign, Layout, State
from maskedae.models.layouts import mae_official, mae_timm, mae_transformers, mae_transformers_out
from maskedae.models.layouts.mae_facts import (
    Told,
    find_size,
    guess,
    has_decoder,
    head,
    measure,
    refuse,
)
from maskedae.models.layouts.mae_pictures import preprocessor as preprocessor

LAYOUTS = (*mae_official.LAYOUTS, *mae_transformers.LAYOUTS)
EXPORTS = {
    "timm": mae_timm.export,
    "transformers": mae_transformers_out.export,
    "official": mae_timm.export_official,
}
# Who wrote a config.json is known by a key of it.
TELL = {"architecture": mae_timm.tell, "model_type": mae_transformers.tell}
TOLD_OF_DECODERS = {"decoder_heads", "normalize_target"}

LICENCE = "cc-by-nc-4.0"  # of the published weights, under any name
PUBLISHED = re.compile(r"mae_(pretrain|visualize|finetuned)_vit_(base|large|huge)")
SUMS = ("8cad7c", "b8b06e", "9bdbb0", "1b25e9", "51f550", "2541f2")


def read(layout: Layout, state: State, foreign: Foreign, overrides: dict[str, Any]) -> Facts:
    """Settings by the shapes, by what lies beside the file, and by guess, in this order.

    Raises ValueError that names what these models have no place for.
    """
    tell = next((tell for key, tell in TELL.items() if key in foreign.config), None)
    told = tell(foreign) if tell else Told()
    refuse(state)
    settings = measure(state)
    rows, sizes = state["encoder.positions.table"].shape[1], (told.settings, overrides)
    settings["size"] = find_size(rows, settings["patch"], [node.get("size") for node in sizes])
    for name, value in told.settings.items():
        if has_decoder(state) or name not in TOLD_OF_DECODERS:
            settings.setdefault(name, value)
    guessed = guess(settings, state, foreign.path.name)
    if tell is None:
        guessed["data"] = "as for ImageNet: the file does not tell what was its normalisation"
    sections = {**told.sections, "licence": licence(foreign, told)}
    if "encoder.head.linear.weight" in state:
        sections["head"] = head(state, told)
    return Facts(title(layout, state, tell is mae_timm.tell), settings, guessed, sections)


def title(layout: Layout, state: State, timm: bool) -> str:
    """What the format is called."""
    name = "timm ViT" if timm else layout.title
    if has_decoder(state):
        name = "transformers ViTMAE" if layout is mae_transformers.VIT else name
        return f"{name}, encoder and decoder"
    if layout is mae_official.OFFICIAL and not timm:
        name = "official MAE or timm ViT, which have the same names"
    if layout is mae_official.LINEAR_PROBE:
        return layout.title
    return f"{name}, {'fine-tuned' if 'encoder.head.linear.weight' in state else 'encoder'}"


def licence(foreign: Foreign, told: Told) -> str:
    """The licence that a file says it has, or that is known of files like it."""
    if foreign.licence or told.licence:
        return foreign.licence or told.licence
    known = PUBLISHED.search(foreign.path.name) or md5(foreign.path).startswith(SUMS)
    return LICENCE if known else "unknown"
