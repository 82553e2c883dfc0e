"""What a detector starts from: chance, an encoder of any checkpoint, or another detector."""

from collections.abc import Sequence

from maskedae.detection.detector import Detector
from maskedae.launching import KEPT, Launch
from maskedae.recipe import Recipe
from maskedae.settings import Heads
from maskedae.weights import load_with_report
from maskedae.zoo import create_model

NAMING = "_predictor."  # in names of parameters that belong to single classes


def make_detector(recipe: Recipe, classes: Sequence[str], launch: Launch) -> Detector:
    """A detector on the encoder that the recipe starts from; say how its weights fitted.

    Whoever goes on with a run needs no weights to start from.
    """
    heads, values = recipe.detect or Heads(), vars(recipe.model)
    if recipe.init == "none" or launch.goes_on:
        return Detector(create_model(recipe.model_name, **values).encoder, classes, heads)
    loaded = load_with_report(recipe.init, with_decoder=False, **values)
    launch.say(f"init      {loaded.report}")
    if not isinstance(loaded.model, Detector):
        return Detector(loaded.model.encoder, classes, heads)
    fresh = Detector(create_model(recipe.model_name, **values).encoder, classes, heads)
    launch.say(f"          {adopt(fresh, loaded.model)}")
    return fresh


def adopt(model: Detector, donor: Detector) -> str:
    """Take over what fits of another detector, of other classes all but what names them; say it."""
    mine, theirs, same = model.state_dict(), donor.state_dict(), model.classes == donor.classes
    kept = {
        name: value
        for name, value in theirs.items()
        if name in mine and mine[name].shape == value.shape and (same or NAMING not in name)
    }
    model.load_state_dict(kept, strict=False)
    source, own = donor.encoder.recipe or {}, model.encoder.recipe
    assert own is not None
    own |= {name: source[name] for name in KEPT if name in source}
    why = "" if len(kept) == len(mine) else ": classes or heads are others"
    return f"{len(kept)} of {len(mine)} tensors of a detector go on{why}"
