"""How others name the weights of Hiera for images, and what their files tell of the model."""

from functools import partial
from typing import Any

from maskedae.layouts import Facts, Foreign, Layout, State
from maskedae.models.layouts import hiera_official, hiera_timm, hiera_transformers
from maskedae.models.layouts.hiera_facts import describe
from maskedae.models.layouts.hiera_names import IMAGES, OFFICIAL, TRANSFORMERS
from maskedae.models.layouts.mae_pictures import preprocessor as preprocessor

LAYOUTS = (*IMAGES, *TRANSFORMERS)
EXPORTS = {
    "timm": hiera_timm.export,
    "transformers": hiera_transformers.export,
    "official": partial(hiera_official.export, OFFICIAL),
}


def read(layout: Layout, state: State, foreign: Foreign, overrides: dict[str, Any]) -> Facts:
    """Settings by the shapes, by what lies beside the file, and by guess, in this order.

    Raises ValueError that names what these models have no place for.
    """
    timm = "architecture" in foreign.config
    if layout in TRANSFORMERS:
        told = hiera_transformers.tell(foreign, state)
    else:
        told = hiera_timm.tell(foreign) if timm else hiera_official.tell(foreign)
    facts = describe(layout, state, foreign, told, overrides)
    if not told.sections.get("data"):
        facts.guessed["data"] = "as for ImageNet: the file does not tell"
    return facts
