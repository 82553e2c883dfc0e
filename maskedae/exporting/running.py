"""Exports: written aside, checked, and only then put in place."""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from maskedae.attention import set_kernel
from maskedae.card import export_card
from maskedae.checkpoints import WEIGHTS
from maskedae.detection.detector import Detector
from maskedae.exporting import Model, Target, Written, detectors, difference, sample
from maskedae.exporting.graphs import export_onnx, export_torch
from maskedae.hints import nearest
from maskedae.zoo import layout_file, model_file

FILES = {"onnx": ".onnx", "torch": ".pt2", "official": ".pth"}  # targets that are one file
CARD = "README.md"
# All that an export leaves in a folder: another's would lie beside it under the same card.
PARTS = (
    *("config.json", "preprocessor_config.json", WEIGHTS, CARD),
    *("model.onnx", "model.onnx.data", "model.pt2", "model.pth"),
)
EXTRAS = {"onnx": "pip install 'maskedae[onnx]'"}


def export_folder(model: Model, folder: Path, _: str | None) -> Written:
    """Write a folder of our own, as save_pretrained does."""
    model.save_pretrained(folder)
    return Written('maskedae.load("{out}")', "maskedae", partial(compare_own, model))


@torch.no_grad()
def compare_own(model: Model, folder: Path) -> float:
    """How far the numbers of what was written are from those of what it was written from."""
    from maskedae.weights import load_with_report

    other, signal = load_with_report(folder).model, sample(model)
    if model.encoder.num_classes:
        return difference(model(signal), other(signal))
    features = model.encoder.forward_features(signal)
    return difference(features, other.encoder.forward_features(signal))


OWN: dict[str, Target] = {"safetensors": export_folder, "onnx": export_onnx, "torch": export_torch}


def find_target(model: Model, name: str) -> Target:
    """What writes for a target. Raises ValueError with those that there are."""
    layouts = layout_file(model_file(model.recipe["model"]["name"]))
    known: dict[str, Target] = {**(layouts.EXPORTS if layouts else {}), **OWN}
    if isinstance(model, Detector):
        known = {"safetensors": detectors.export_folder, "onnx": detectors.export_onnx}
    if name not in known:
        of = " of a detector" if isinstance(model, Detector) else ""
        raise ValueError(f"nothing{of} is written for {name}; {nearest(name, list(known))}")
    if name in EXTRAS and not find_spec("onnxscript"):
        raise ValueError(f"{name} needs an extra: {EXTRAS[name]}")
    return known[name]


def export(
    model: Model,
    target: str,
    out: Path,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> float | None:
    """Write a model for another library; return the largest difference, None if not checked.

    Raises ValueError, leaving nothing behind, where that is too large.
    """
    write, file = find_target(model, target), FILES.get(target)
    single = file is not None and out.suffix == file
    if not single and out.suffix in (*FILES.values(), ".safetensors"):
        fits = f"a file ending in {file}, or a folder" if file else "a folder"
        raise ValueError(f"{target} is not written to a file such as {out.name}; {fits} would fit")
    place = out.parent if single else out
    if not overwrite:
        refuse_to_overwrite(out, place, single)
    model.eval().cpu()
    set_kernel(model, "sdpa")
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=place) as draft:
        written = write(model, Path(draft), out.name if single else None)
        apart = compare(written, Path(draft), say)
        if not single:
            add_card(model, written, Path(draft) / CARD)
        for name in () if single else PARTS:
            (place / name).unlink(missing_ok=True)
        for path in Path(draft).iterdir():
            shutil.move(path, place / path.name)
    say(f"wrote {out}\n{written.use.format(out=place)}{remark(model)}")
    return apart


def remark(model: Model) -> str:
    """What a user of the outputs must know."""
    head = model.recipe.get("head", {})
    if head.get("kind") != "value":
        return ""
    return f"\nits outputs are standardised: value = output * {head['std']} + {head['mean']}"


def add_card(model: Model, written: Written, path: Path) -> None:
    """Write a card where there is none."""
    if not path.exists():
        use = written.use.format(out="DIR")
        export_card(written.library, model.recipe, use).save(path)


def refuse_to_overwrite(out: Path, place: Path, single: bool) -> None:
    """Raise ValueError where something would be lost."""
    beside = place / "preprocessor_config.json"
    there = [path for path in (out, beside) if path.exists()] if single else []
    if not single and out.exists():
        there = [out] if not out.is_dir() or any(out.iterdir()) else []
    if there:
        raise ValueError(f"{there[0]} exists; --overwrite replaces it, another --out keeps it")


def compare(written: Written, folder: Path, say: Callable[[str], None]) -> float | None:
    """Run what was written. Raises ValueError where its numbers are not ours."""
    if not find_spec(written.library):
        say(f"not checked: {written.library} is not installed here")
        return None
    apart = written.compare(folder)
    if not apart <= written.tolerance:
        raise ValueError(
            f"{written.library} gives other numbers with these weights: they differ by {apart:.1e},"
            f" more than {written.tolerance:.0e}; nothing was written"
        )
    say(f"checked by {written.library}: the largest difference is {apart:.1e}")
    return apart
