"""How others name the weights of Hiera for clips, and what their files tell of the model."""

from functools import partial
from typing import Any

from maskedae.layouts import Facts, Foreign, Layout, State
from maskedae.models.hiera_video import DATA
from maskedae.models.layouts import clips, hiera_official
from maskedae.models.layouts.clips import preprocessor as preprocessor
from maskedae.models.layouts.hiera_facts import describe
from maskedae.models.layouts.hiera_names import CLIPS

LAYOUTS = CLIPS
EXPORTS = {"official": partial(hiera_official.export, CLIPS[-1])}


def read(layout: Layout, state: State, foreign: Foreign, overrides: dict[str, Any]) -> Facts:
    """Settings by the shapes, by what lies beside the file, and by guess, in this order.

    Raises ValueError that names what these models have no place for.
    """
    facts = describe(layout, state, foreign, hiera_official.tell(foreign), overrides)
    facts.guessed["data"] = "mean .45 and deviation .225, as published: the file does not tell"
    facts.sections["data"] = clips.data(DATA, [0.45], [0.225])
    return facts
