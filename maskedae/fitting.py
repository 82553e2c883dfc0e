"""Weights into a model: stretched where that was asked for, counted, never in part unnoticed."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from maskedae.codes import resized, stretch_line
from maskedae.layouts import State
from maskedae.patches import PatchEmbed
from maskedae.positions import Places
from maskedae.relative import Relative
from maskedae.units import UnitEmbed


@dataclass
class Report:
    """What became of the tensors of a file."""

    source: str
    layout: str
    matched: int = 0
    renamed: int = 0
    filled: float = 0.0  # share of the encoder's parameters
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every tensor of file and model found its fellow."""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def hint(self) -> str:
        """What would fit a file that does not."""
        if any(line.startswith("decoder.head") for line in self.misshapen):
            return (
                "a decoder predicts patches of one size and number of channels; the encoder only "
                "would fit: encoder_only=True, on the command line --encoder_only"
            )
        return "the file does not fit the model; strict=False loads the rest"

    def __str__(self) -> str:
        parts = [f"{self.matched} tensors matched", f"{self.renamed} of them renamed"]
        parts += [f"{len(self.resized)} resized", f"{len(self.missing)} missing"]
        parts += [f"{len(self.unexpected)} unexpected; "]
        filled = f"{self.filled:.1%} of the encoder's parameters filled"
        lines = [f"{self.source} ({self.layout}): {', '.join(parts)}{filled}"]
        lines += [*self.notes, *self.resized]
        for what in ("left_out", "missing", "unexpected", "misshapen"):
            names = getattr(self, what)
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            said = what.replace("_", " ")
            lines += [f"{said}: {', '.join(names[:8])}{more}"] if names else []
        return "\n  ".join(lines)


def fit(before: nn.Module, model: nn.Module, state: State, report: Report) -> None:
    """Stretch in `state` what another size, patch or number of channels asks for.

    `before` is the model that the file was made for.
    """
    old = dict(before.named_modules())
    for name, part in model.named_modules():
        was = old.get(name)
        if isinstance(part, Places) and isinstance(was, Places):
            _fit_positions(name, was, part, state, report)
        elif isinstance(part, (PatchEmbed, UnitEmbed)) and f"{name}.weight" in state:
            channels, *patch = part.weight.shape[1:]
            shape = channels, tuple(patch)
            state[f"{name}.weight"] = fit_kernel(name, state[f"{name}.weight"], *shape, report)


def _fit_positions(name: str, was: Places, part: Places, state: State, report: Report) -> None:
    if type(was) is not type(part):
        kinds = f"{type(was).__name__} in the file, {type(part).__name__} in the model"
        raise ValueError(f"{name}: {kinds}; the model's setting for positions has to be the file's")
    if was.grid == part.grid:
        return
    rows = {key: len(table[0]) for key, table in was.state_dict().items()}
    tables = {key: state[f"{name}.{key}"] for key in rows if f"{name}.{key}" in state}
    if not rows:
        report.notes.append(f"computed anew: {name} for {part.grid} instead of {was.grid}")
    elif rows == {key: table.shape[1] for key, table in tables.items()}:
        fitted = part.stretch(tables, was.grid)
        state |= {f"{name}.{key}": table for key, table in fitted.items()}
        how = part.told(was.grid)
        report.resized.append(f"resized: {name} from {was.grid} to {part.grid}, {how}")


def fit_distances(model: nn.Module, state: State, report: Report) -> None:
    """Stretch in `state` what was learned of distances for a model that reaches another far."""
    for name, part in model.named_modules():
        if isinstance(part, Relative):
            for key, table in part.state_dict(prefix=f"{name}.").items():
                was = state.get(key)
                if was is not None and was.shape[1:] == table.shape[1:] and len(was) != len(table):
                    state[key] = stretch_line(was[None], len(table))[0]
                    told = f"resized: {key} from {len(was)} to {len(table)} distances, linear"
                    report.resized.append(told)


def fit_kernel(
    name: str, kernel: Tensor, channels: int, patch: tuple[int, ...], report: Report
) -> Tensor:
    """A kernel for other channels and patches, if it has their axes: (D, C, ..) -> (D, C', ..)."""
    old, was = kernel.shape[1], tuple(kernel.shape[2:])
    if old != channels:
        kernel, how = adapt_channels(kernel, channels)
        report.resized.append(f"resized: {name} from {old} to {channels} channels, {how}")
    if was != patch and len(was) == len(patch):
        kernel = adapt_patch(kernel, patch)
        how = "by the pseudo-inverse of resizing"
        report.resized.append(f"resized: {name} from patches of {was} to {patch}, {how}")
    return kernel


def adapt_patch(kernel: Tensor, patch: tuple[int, ...]) -> Tensor:
    """A kernel that gives for patches resized to `patch` what it gave before (arXiv:2212.08013).

    Resizing is bicubic along every axis: (D, C, ..) -> (D, C, *patch).
    """
    kernel = kernel.float()
    for axis, (old, new) in enumerate(zip(kernel.shape[2:], patch, strict=True), start=2):
        if old != new:
            kernel = kernel.movedim(axis, -1)
            kernel = (kernel @ torch.linalg.pinv(resized(old, new))).movedim(-1, axis)
    return kernel.contiguous()


def adapt_channels(kernel: Tensor, channels: int) -> tuple[Tensor, str]:
    """A kernel for another number of channels, and how it came about: (D, C, ..) -> (D, C', ..).

    One channel stands for all of them alike; more repeat those there are and share their weight.
    """
    old, kernel = kernel.shape[1], kernel.float()
    if channels == 1:
        return kernel.sum(dim=1, keepdim=True), "summed"
    many = [1, -(-channels // old), *[1] * (kernel.ndim - 2)]
    return kernel.repeat(many)[:, :channels] * (old / channels), "repeated and scaled"


def fill(model: nn.Module, state: State, report: Report) -> None:
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
    encoder = {k: v.numel() for k, v in mine.items() if k.startswith("encoder.")}
    filled = sum(size for k, size in encoder.items() if k in fits)
    report.filled = filled / max(sum(encoder.values()), 1)
