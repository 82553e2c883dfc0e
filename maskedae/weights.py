"""Weights in: our own checkpoints and published ones, whole and checked, never unpickled."""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from maskedae import masking
from maskedae.answers import Answers
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.checkpoints import find_weights, read_config
from maskedae.classifier import Classifier
from maskedae.encoder import Encoder
from maskedae.masking import Masker
from maskedae.positions import Positions, resample
from maskedae.zoo import model_config, model_file, model_files


class EncoderOnly(nn.Module):
    """What a file without a decoder holds: an encoder to use, nothing to imagine with."""

    def __init__(self, encoder: Encoder, source: str) -> None:
        super().__init__()
        self.encoder, self.source = encoder, source

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


@dataclass
class Report:
    """What became of the tensors of a file."""

    source: str
    layout: str
    matched: int = 0
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every tensor of file and model found its fellow."""
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        parts = [f"{self.matched} tensors matched", f"{len(self.resized)} resized"]
        parts += [f"{len(self.missing)} missing", f"{len(self.unexpected)} unexpected"]
        lines = [f"{self.source} ({self.layout}): {', '.join(parts)}", *self.notes, *self.resized]
        for what in ("missing", "unexpected", "misshapen"):
            names = getattr(self, what)
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            lines += [f"{what}: {', '.join(names[:8])}{more}"] if names else []
        return "\n  ".join(lines)


class Loaded(NamedTuple):
    """A model, how its file fitted, and the recipe inside the file if there is one."""

    model: MaskedAutoencoder | EncoderOnly | Classifier
    name: str
    config: Any  # the model's: a dataclass of its file in models/
    report: Report
    recipe: dict[str, Any] | None


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Tensors of a file that is not ours. Code inside a pickle is refused, not run."""
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        # Training scripts of the field store their arguments, which are plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            node = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be read as weights: {first}") from error
    for name in ("model", "state_dict"):
        if isinstance(node, dict) and isinstance(node.get(name), dict):
            node = node[name]
    named = node.items() if isinstance(node, dict) else []
    tensors = {name: value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no named tensors")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def recognise(
    path: Path, overrides: dict[str, Any], report: Report
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """The model a published file is of, its settings, and its weights under our names."""
    state = read_foreign(path)
    for file in model_files():
        found = file.from_official(state, path.name)
        if found:
            settings, renamed, guessed = found
            report.notes += [f"{k}={how}" for k, how in guessed.items() if k not in overrides]
            return _nearest_model(file.MODELS, settings), settings, renamed
    some = ", ".join(list(state)[:6])
    raise ValueError(f"{path} is of no layout known here; it holds {some}, ...")


def _nearest_model(models: dict[str, Any], settings: dict[str, Any]) -> str:
    """The model whose numbers agree best with settings read off a file."""
    return max(
        models,
        key=lambda name: sum(
            getattr(models[name], key) == value for key, value in settings.items()
        ),
    )


def load(
    path: str | Path, strict: bool = True, masker: Masker | None = None, **overrides: Any
) -> MaskedAutoencoder | EncoderOnly | Classifier:
    """Load a model from a run folder, a checkpoint or a published file, and say what matched.

    `overrides` replace settings of the model: another `size` stretches the positions. Raises
    ValueError if any tensor is missing, unexpected or of another shape, unless strict is False.
    """
    loaded = load_with_report(path, strict, masker, **overrides)
    print(loaded.report, file=sys.stderr)
    return loaded.model


def load_with_report(
    path: str | Path, strict: bool = True, masker: Masker | None = None, **overrides: Any
) -> Loaded:
    """Load a model as `load` does, in silence, with all that is known of the file."""
    file = find_weights(Path(path))
    recipe = read_config(file) if file.suffix == ".safetensors" else None
    report = Report(str(path), "maskedae" if recipe else "official")
    if recipe:
        settings = dict(recipe["model"])
        name, state = settings.pop("name"), load_file(file)
        masker = masker or stored_masker(recipe.get("masker"), report)
    else:
        name, settings, state = recognise(file, overrides, report)
    stored = model_config(name, **settings)
    config = model_config(name, **{**settings, **overrides})
    model = model_file(name).build(config, masker)
    result: MaskedAutoencoder | EncoderOnly | Classifier = model
    if recipe and "head" in recipe:
        head = dict(recipe["head"])
        pool, batch_norm = head.pop("pool"), head.pop("batch_norm")
        result = Classifier(model.encoder, Answers(**head), pool, batch_norm)
    elif not any(key.startswith("decoder.") for key in state):
        result = EncoderOnly(model.encoder, str(path))
    with torch.device("meta"):
        before = model_file(name).build(stored)
    _fit_positions(before, result, state, report)
    _fill(result, state, report)
    if strict and not report.complete:
        raise ValueError(f"{report}\nthe file does not fit the model; strict=False loads the rest")
    return Loaded(result, name, config, report, recipe)


def stored_masker(node: dict[str, Any] | None, report: Report) -> Masker | None:
    """The masker of a training, if it is one of ours: a file must not choose code to run."""
    if node is None:
        return None
    module, _, name = node["class_path"].rpartition(".")
    kind = getattr(masking, name, None)
    if module in ("maskedae", "maskedae.masking") and isinstance(kind, type):
        return kind(**node.get("init_args", {}))
    report.notes.append(f"masker {node['class_path']} is not rebuilt; RandomMasker stands in")
    return masking.RandomMasker()


def _fit_positions(
    before: nn.Module, model: nn.Module, state: dict[str, Tensor], report: Report
) -> None:
    """Stretch position tables in `state` from the grids they were made for to the model's."""
    old = {name: part for name, part in before.named_modules() if isinstance(part, Positions)}
    for name, part in model.named_modules():
        key = f"{name}.table"
        if not isinstance(part, Positions) or key not in state or name not in old:
            continue
        grid = old[name].grid
        if grid != part.grid and state[key].shape[1] == part.prefix + torch.Size(grid).numel():
            prefix, rows = state[key][0, : part.prefix], state[key][0, part.prefix :]
            state[key] = torch.cat([prefix, resample(rows, grid, part.grid)]).unsqueeze(0)
            report.resized.append(f"resized: {name} from {grid} to {part.grid}, bicubic")


def _fill(model: nn.Module, state: dict[str, Tensor], report: Report) -> None:
    """Copy what fits by name and shape, and take stock."""
    mine = model.state_dict()
    fits = {k: v for k, v in state.items() if k in mine and v.shape == mine[k].shape}
    model.load_state_dict(fits, strict=False)
    report.matched = len(fits)
    report.missing = [k for k in mine if k not in state]
    report.unexpected = [k for k in state if k not in mine]
    report.misshapen = [
        f"{k} {tuple(state[k].shape)} for {tuple(mine[k].shape)}"
        for k in state
        if k in mine and k not in fits
    ]
