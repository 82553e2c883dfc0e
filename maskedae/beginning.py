"""Where pre-training starts, if not from chance: weights of the whole, of a part, of a teacher."""

from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from maskedae.data import Data
from maskedae.extraction import digest
from maskedae.launching import KEPT
from maskedae.learner import Learner
from maskedae.pairs import in_words
from maskedae.recipe import Recipe
from maskedae.weights import Loaded, load_with_report
from maskedae.zoo import create_model, model_file

TEACHER, CHANCE = "teacher", "none"  # as words in `init`


class Teacher(nn.Module):
    """A trained model whose features of whole signals another one learns to predict."""

    def __init__(self, model: Learner) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, signal: Any) -> Any:
        """What the other one is to predict, see `teach` of the model."""
        return self.model.teach(signal)  # type: ignore[operator]

    def check(self, known: str | None) -> str:
        """A digest of its weights. Raises ValueError if a run has learned from others."""
        found = digest(self.model)
        if known not in (None, found):
            raise ValueError(
                "this run has learned from a teacher of other weights than the teacher has by now: "
                "with those that it had it goes on, or it begins anew with --overwrite"
            )
        return found

    def unlike(self, data: Data) -> str:
        """Which settings of data it is used to otherwise, in words; empty where none are."""
        recipe = self.model.encoder.recipe or {}
        seen = recipe.get("data", {}).get("init_args", {})
        pairs = {name: (seen[name], getattr(data, name)) for name in data.inherited if name in seen}
        others = [f"{name} {old}, here {new}" for name, (old, new) in pairs.items() if old != new]
        return ", ".join(others)


def learns_features(config: Any) -> bool:
    """Whether a model of that config predicts what a teacher makes of signals."""
    return getattr(config, "predicts", "signal") == "features"


def load_teacher(recipe: Recipe) -> Teacher | None:
    """The teacher that a recipe names, if any. Raises ValueError where it is not of that kind."""
    learns = learns_features(recipe.model)
    if learns != (recipe.teacher is not None):
        raise ValueError(
            f"{recipe.model_name} learns to predict the features of a teacher: --teacher CHECKPOINT"
            if learns
            else f"--teacher {recipe.teacher}, but the model predicts signals: take a recipe of "
            f"the second stage, or --model.predicts=features"
        )
    if recipe.teacher is None:
        return None
    loaded = load_with_report(recipe.teacher)
    if not isinstance(loaded.model, Learner) or not hasattr(loaded.model, "teach"):
        raise ValueError(f"{recipe.teacher} holds {loaded.name}, which teaches nothing")
    with torch.device("meta"):
        student = create_model(recipe.model_name, **vars(recipe.model))
    if measures(loaded.model) != measures(student):
        raise ValueError(
            f"the teacher {recipe.teacher} is {measures(loaded.model)}, the model "
            f"{measures(student)}: the same would fit"
        )
    return Teacher(loaded.model)


def measures(model: Learner) -> str:
    """What teacher and student have to agree in: width, signals and patches."""
    encoder = model.encoder
    takes, cut = in_words(encoder.shape), in_words(encoder.unit)
    return f"of width {encoder.width} for signals of {takes} in patches of {cut}"


def inherit_heritage(model: Learner, donor: dict[str, Any]) -> None:
    """Keep licence and source of weights that go into others; the argument is their recipe."""
    recipe = model.encoder.recipe
    assert recipe is not None
    for name in (name for name in KEPT if name in donor):
        known = recipe[name].split("; ") if name in recipe else []
        recipe[name] = "; ".join(dict.fromkeys([*known, *donor[name].split("; ")]))


def any_teacher(model: Learner, config: Any) -> Teacher | None:
    """Another of its own kind for a model that learns from a teacher, to see what that costs."""
    learns = learns_features(config) and hasattr(model, "teach")
    return Teacher(deepcopy(model)) if learns else None


def begin(model: Learner, recipe: Recipe, teacher: Teacher | None = None) -> str:
    """Give a model the weights that its recipe starts from; say what became of them."""
    notes = list[str]()
    if teacher is not None:
        inherit_heritage(model, teacher.model.encoder.recipe or {})
        unlike = teacher.unlike(recipe.data)
        notes.append(f"teacher   {recipe.teacher}")
        notes += [f"warning   the teacher is used to other data: {unlike}"] if unlike else []
    for name, donor in donors(recipe):
        inherit = getattr(model_file(recipe.model_name), "inherit", adopt)
        notes += [f"init      {name}: {note}" for note in inherit(model, donor)]
        inherit_heritage(model, donor.recipe)
    return "\n".join(notes)


def donors(recipe: Recipe) -> list[tuple[str, Loaded]]:
    """What a recipe starts from, by name, in the order that the model's file gives it a `rank`.

    Raises ValueError for two of the same rank, of which one would replace the other.
    """
    rank = getattr(model_file(recipe.model_name), "rank", None)
    found = list[tuple[str, Loaded]]()
    for name in (name for name in recipe.begin if name != CHANCE):
        place = recipe.teacher if name == TEACHER else name
        if place is None:
            raise ValueError("init names the teacher, and there is none: --teacher CHECKPOINT")
        found.append((name, load_donor(place, recipe.model)))
    if rank is not None:
        found.sort(key=lambda named: rank(named[1]))
        for (one, its), (other, donor) in pairwise(found):
            if rank(its) == rank(donor):
                raise ValueError(
                    f"init names {one} and {other}, and all that {its.name} gives is what "
                    f"{donor.name} gives, too: one of them would fit"
                )
    return found


def load_donor(place: str, config: Any) -> Loaded:
    """A model to start from; of one of several signals what a model of fewer can use."""
    donor = load_with_report(place)
    fitting = getattr(model_file(donor.name), "fitting", None)
    settings = fitting(donor.config, config) if fitting else {}
    return load_with_report(place, **settings) if settings else donor


def adopt(model: Learner, donor: Loaded) -> list[str]:
    """Take over what has the same name and shape; say how much.

    Raises ValueError unless that is the whole encoder.
    """
    mine, theirs = model.state_dict(), donor.model.state_dict()
    same = dict[str, Tensor]()
    for name, value in theirs.items():
        if name in mine and mine[name].shape == value.shape:
            same[name] = value
    lacking = [name for name in mine if name.startswith("encoder.") and name not in same]
    if lacking:
        raise ValueError(
            f"{donor.report.source} holds {donor.name}, which does not fill the encoder: "
            f"{', '.join(lacking[:4])}{' ...' if len(lacking) > 4 else ''}; a checkpoint of a "
            f"model with the same settings would fit"
        )
    model.load_state_dict(same, strict=False)
    return [f"{len(same)} of {len(mine)} tensors of {donor.name}"]
