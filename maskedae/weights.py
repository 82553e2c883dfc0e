"""Weights in: our own checkpoints and published ones, whole and checked, never unpickled."""

import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

from maskedae import bands, masking, pairs, tubes
from maskedae.answers import Answers
from maskedae.checkpoints import STATE, read_config
from maskedae.classifier import Classifier
from maskedae.detection.detector import Detector
from maskedae.encoder import Encoder
from maskedae.fitting import Report, fill, fit, fit_distances
from maskedae.foreign import fetch, find_file, read_foreign
from maskedae.hub import Hub
from maskedae.layouts import Layout, State
from maskedae.learner import Learner
from maskedae.masking import Masker
from maskedae.ragged import set_ragged
from maskedae.settings import Heads
from maskedae.zoo import describe, layout_file, model_config, model_file, model_files

MASKERS = (masking, tubes, bands, pairs)  # where they are


class EncoderOnly(nn.Module, Hub):
    """What a file without a decoder holds: an encoder to use, nothing to imagine with."""

    def __init__(self, encoder: Encoder, source: str) -> None:
        super().__init__()
        self.encoder, self.source = encoder, source

    def sections(self) -> dict[str, Any]:
        """Whether the encoder works as in a classifier."""
        return {"tuned": True} if self.encoder.tuned else {}

    def forward(self, *_: Any, **__: Any) -> None:
        """Raises ValueError: it takes a decoder to imagine."""
        raise ValueError(self.reason)

    @property
    def reason(self) -> str:
        """Why it cannot imagine, and what can."""
        return (
            f"{self.source} holds an encoder only, as published for fine-tuning, so it cannot "
            f"imagine what is hidden; a file that holds the decoder, too, can"
        )


Model = Learner | EncoderOnly | Classifier | Detector


class Loaded(NamedTuple):
    """A model, how its file fitted, and the recipe that it came with or that rebuilds it."""

    model: Model
    name: str
    config: Any  # the model's: a dataclass of its file in models/
    report: Report
    recipe: dict[str, Any]


class Found(NamedTuple):
    """What a file holds: weights under our names, and the recipe of their model."""

    state: State
    recipe: dict[str, Any]


def load(
    path: str | Path,
    strict: bool = True,
    masker: Masker | None = None,
    encoder_only: bool = False,
    **overrides: Any,
) -> Model:
    """Load a model from a run, a checkpoint, a published file or folder, or hf-hub:OWNER/NAME.

    Says what matched. `overrides` replace settings of the model: another `size` stretches the
    positions, another `patch` or number of `channels` the kernel of the patches. Raises ValueError
    if any tensor is missing, unexpected or of another shape, unless strict is False.
    """
    loaded = load_with_report(path, strict, masker, encoder_only, **overrides)
    print(loaded.report, file=sys.stderr)
    return loaded.model


def load_with_report(
    path: str | Path,
    strict: bool = True,
    masker: Masker | None = None,
    encoder_only: bool = False,
    with_decoder: bool = True,
    **overrides: Any,
) -> Loaded:
    """Load a model as `load` does, in silence, with all that is known of the file.

    Whoever has no use for a decoder gets none, so that nothing of it has to fit.
    """
    file = find_file(fetch(path))
    report = Report(str(path), "maskedae")
    found = read_own(file, report) or recognise(file, overrides, report)
    settings = dict(found.recipe["model"])
    name, state = settings.pop("name"), found.state
    config = model_config(name, **{**settings, **overrides})
    masker = masker or stored_masker(found.recipe.get("masker"), report)
    if not with_decoder:
        for key in [key for key in state if key.startswith("decoder.")]:
            del state[key]
    file_config, narrowed = _narrow(found, model_config(name, **settings), config, report)
    encoder_only |= narrowed
    model = model_file(name).build(config, masker)
    if encoder_only and "detector" in found.recipe:
        raise ValueError(f"{path} holds a detector, whose encoder is of no use without the rest")
    if encoder_only:
        _drop_rest(found, model, report)
    elif not any(key.startswith("decoder.") for key in state):
        encoder_only = True
    with torch.device("meta"):
        before = model_file(name).build(file_config)
    fit(before, model, state, report)
    recipe = {**found.recipe, "model": describe(name, config)}
    result = assemble(model, recipe, encoder_only, str(path))
    fit_distances(result, state, report)
    fill(result, state, report)
    if strict and not report.complete:
        raise ValueError(f"{report}\n{report.hint}")
    if broken := [k for k, v in state.items() if not bool(v.isfinite().all())]:
        raise ValueError(f"{path} holds values that are not finite, in {', '.join(broken[:6])}")
    set_ragged(result, bool(recipe.get("ragged")))
    result.eval()
    return Loaded(result, name, config, report, recipe)


def _narrow(found: Found, was: Any, config: Any, report: Report) -> tuple[Any, bool]:
    """Keep of a model of sound and picture what one of only one of them has.

    Returns the numbers of the model that what is kept was made for, and whether it is less.
    """
    narrow = getattr(model_file(found.recipe["model"]["name"]), "narrowed", None)
    if narrow is None:
        return was, False
    now, left_out = narrow(found.state, was, config)
    report.left_out += left_out
    return now, bool(left_out)


def _drop_rest(found: Found, model: Learner, report: Report) -> None:
    """Keep the encoder alone; the norm of a head that pooled the mean takes its own one's place."""
    mine = model.state_dict()
    for part in ("weight", "bias"):
        ours, head = f"encoder.norm.{part}", f"encoder.head.norm.{part}"
        same = head in found.state and ours in mine and found.state[head].shape == mine[ours].shape
        if same and ours not in found.state:
            found.state[ours] = found.state.pop(head)
            report.notes.append(f"{ours} is that of the head, which followed the pooling")
    if "head" in found.recipe:
        tuned = deepcopy(model.encoder)
        tuned.reset_classifier(1, "mean")
        before, after = (part.state_dict().keys() for part in (model.encoder, tuned))
        for name in sorted({f"encoder.{k}" for k in before - after} - found.state.keys()):
            found.state[name] = mine[name]
            report.notes.append(f"{name} is fresh: a classifier does without")
    rest = [key for key in found.state if not key.startswith("encoder.")]
    rest += [key for key in found.state if key.startswith("encoder.head.")]
    report.left_out += rest
    for key in rest:
        del found.state[key]
    if found.recipe.pop("head", None):
        found.recipe["tuned"] = True


def assemble(model: Learner, recipe: dict[str, Any], encoder_only: bool, source: str) -> Model:
    """The model, or of its parts the one that a file holds; it remembers the recipe."""
    model.encoder.recipe, model.encoder.tuned = recipe, bool(recipe.get("tuned"))
    if "detector" in recipe:
        told = recipe["detector"]
        return Detector(model.encoder, told["classes"], Heads(**told["heads"]))
    if encoder_only and "head" in recipe:
        head = dict(recipe["head"])
        pool, batch_norm = head.pop("pool"), head.pop("batch_norm")
        dropout = head.pop("dropout", 0.0)
        return Classifier(model.encoder, Answers(**head), pool, batch_norm, dropout)
    return EncoderOnly(model.encoder, source) if encoder_only else model


def read_own(file: Path, report: Report) -> Found | None:
    """A file of ours, with what stands beside it in a run."""
    recipe = read_config(file) if file.suffix == ".safetensors" else None
    if not recipe:
        return None
    if not isinstance(recipe.get("model"), dict) or "name" not in recipe["model"]:
        raise ValueError(f"{file} is ours, but its recipe names no model")
    state = file.parent / STATE
    if "results" not in recipe and state.is_file():
        node = json.loads(state.read_text())
        kept = {"scores": node.get("scores"), "data": node.get("data"), "step": node.get("step")}
        recipe["results"] = {key: value for key, value in kept.items() if value}
    return Found(load_file(file), recipe)


def layouts() -> Iterator[tuple[ModuleType, ModuleType, Layout]]:
    """Every layout there is, with the model file and the layout file that it belongs to."""
    for file in model_files():
        if names := layout_file(file):
            for layout in names.LAYOUTS:
                yield file, names, layout


def recognise(path: Path, overrides: dict[str, Any], report: Report) -> Found:
    """A file that is not ours: the recipe of its model, and its weights under our names."""
    foreign = read_foreign(path)
    for file, names, layout in layouts():
        if not layout.fits(foreign.tensors, foreign.config):
            continue
        state, report.left_out = layout.to_ours(foreign.tensors)
        try:
            facts = names.read(layout, state, foreign, overrides)
        except (TypeError, KeyError, AttributeError) as error:
            told = ", ".join(sorted(foreign.config)) or "nothing"
            raise ValueError(
                f"what stands beside {path} cannot be understood: {error!r}; its config.json tells "
                f"of {told}"
            ) from error
        report.layout = facts.title
        report.renamed = len(state.keys() - foreign.tensors.keys())
        report.notes += [f"{k}={how}" for k, how in facts.guessed.items() if k not in overrides]
        name = _nearest_model(file.MODELS, facts.settings)
        settings = {"name": name, **facts.settings}
        data = {"class_path": file.DATA}
        return Found(state, {"model": settings, "data": data, **facts.sections})
    some = ", ".join(list(foreign.tensors)[:6])
    raise ValueError(f"{path} is of no layout known here; it holds {some}, ...")


def _nearest_model(models: dict[str, Any], settings: dict[str, Any]) -> str:
    """The model whose numbers agree best with settings read off a file."""
    return max(
        models,
        key=lambda name: sum(
            getattr(models[name], key) == value for key, value in settings.items()
        ),
    )


def stored_masker(node: dict[str, Any] | None, report: Report) -> Masker | None:
    """The masker of a training, if it is one of ours: a file must not choose code to run."""
    if node is None:
        return None
    module, _, name = node["class_path"].rpartition(".")
    homes = [home for home in MASKERS if module in ("maskedae", home.__name__)]
    kind = next((vars(home)[name] for home in homes if name in vars(home)), None)
    if isinstance(kind, type) and issubclass(kind, Masker):
        given = node.get("init_args", {}).items()
        made = {k: stored_masker(v, report) if isinstance(v, dict) else v for k, v in given}
        return kind(**made)
    report.notes.append(f"masker {node['class_path']} is not rebuilt; RandomMasker stands in")
    return masking.RandomMasker()
