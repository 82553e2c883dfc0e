"""From a checkpoint and files to a picture of what the model imagines."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from jsonargparse import ArgumentParser, Namespace

from maskedae.attention import set_kernel
from maskedae.data import PLACES, BadSample, Data, Source
from maskedae.detection.detector import Detector
from maskedae.evaluation import spread
from maskedae.learner import Learner
from maskedae.loading import Skipped
from maskedae.masking import Masker
from maskedae.ragged import suit
from maskedae.recipe import given
from maskedae.reconstruction import imagine_row, note
from maskedae.weights import EncoderOnly, Loaded, load_with_report
from maskedae.zoo import model_file


def data_node(loaded: Loaded) -> dict[str, Any]:
    """How the data that a checkpoint was trained on are described, or what its model usually sees.

    Statistics travel this way from a training to all who use its weights. A file must not choose
    code to run, so data of other than our own kinds have to be named by hand.
    """
    node = loaded.recipe.get("data", {})
    if str(node.get("class_path", "")).startswith("maskedae.datasets."):
        return node
    if node:
        said = f"data of kind {node.get('class_path')} are not opened at a checkpoint's word"
        print(f"{said}; --data names them", file=sys.stderr)
    return {"class_path": getattr(loaded.model, "DATA", model_file(loaded.name).DATA)}


def data_given(loaded: Loaded, arguments: list[str]) -> dict[str, Any]:
    """The data of a checkpoint; where a command line names another root, without its own places."""
    node = data_node(loaded)
    if given(arguments, "--data.root") is None or "init_args" not in node:
        return node
    kept = {k: v for k, v in node["init_args"].items() if k not in (*PLACES, "weights")}
    return {**node, "init_args": kept}


def parse_with_data(parser: ArgumentParser, arguments: list[str]) -> tuple[Namespace, Loaded]:
    """Read a command line that begins with a checkpoint, which gives the defaults of --data.

    Raises ValueError that says what is wrong with it.
    """
    modality = given(arguments, "--modality")
    overrides: dict[str, Any] = {} if modality is None else {"modality": modality}
    loaded = load_with_report(Path(arguments[0]), **overrides)
    try:
        parser.set_defaults({"data": data_given(loaded, arguments)})
        return parser.parse_args(arguments), loaded
    except Exception as error:
        raise ValueError(str(error).strip()) from error


def refuse_detector(loaded: Loaded) -> None:
    """Raise ValueError if a detector came where features of an encoder are wanted."""
    if isinstance(loaded.model, Detector):
        raise ValueError(
            f"{loaded.report.source} holds a detector, whose encoder works for it alone: take the "
            f"checkpoint that it began with"
        )


def refuse_to_replace(source: Source, written: Sequence[Path]) -> None:
    """Raise ValueError if a figure would replace what it is to show."""
    names = {path.name for path in written}
    for index in range(len(source)):
        shown = Path(source.name(index))
        if shown.name in names and shown.resolve() in [path.resolve() for path in written]:
            raise ValueError(f"the figure would replace {shown}, which it shows; take another name")


def at_ratios(
    masker: Any,
    ratios: list[float] | None,
    usual: Sequence[float],
    grids: Sequence[tuple[int, ...]],
) -> list[Masker]:
    """The masker at every ratio, if it has one; by default at usual ones that fit the grids.

    >>> from maskedae.masking import RandomMasker
    >>> [at.ratio for at in at_ratios(RandomMasker(), None, (0.75, 0.85, 0.95), grids=[(4, 4)])]
    [0.75, 0.85]
    """
    if not hasattr(masker, "ratio"):
        if ratios:
            raise ValueError(f"{type(masker).__name__} has no ratio: leave --mask_ratio out")
        return [masker]
    if ratios:
        return [replace(masker, ratio=ratio) for ratio in ratios]
    fitting = dict[Any, Masker]()  # by how much is visible: on a small grid some are the same
    for at in (replace(masker, ratio=ratio) for ratio in usual):
        with suppress(ValueError):
            fitting.setdefault(tuple(at(1, grid).visible.shape[1] for grid in grids), at)
    return list(fitting.values()) or [masker]


def draw_reconstructions(
    loaded: Loaded,
    data: Data,
    files: list[str],
    out: Path,
    masker: Masker | None = None,
    ratios: list[float] | None = None,
    seed: int = 0,
    most: int = 8,
    oracle: bool = False,
) -> tuple[list[Path], list[Skipped]]:
    """Draw a row for every file; return what was written, and the files that cannot be read.

    What hides patches is the masker of the checkpoint, if none is given.
    """
    model = loaded.model
    if isinstance(model, EncoderOnly):
        raise ValueError(model.reason)
    if not isinstance(model, Learner):
        kind = type(model).__name__.lower()
        raise ValueError(f"the checkpoint holds a {kind}, which imagines nothing")
    set_kernel(model, "sdpa")  # the kernel of the training may need another machine
    device = PartialState().device
    model.to(device)
    suit(model, data)
    source = data.files(files, loaded.config.shape)
    if out.suffix == ".png":
        out = out.with_suffix(Path(data.figure).suffix)  # all that there is to see, and to hear
    refuse_to_replace(source, data.drawn(out))
    usual = model_file(loaded.name).RATIOS
    maskers = at_ratios(masker or model.masker, ratios, usual, model.encoder.grids)
    rows, skipped = [], list[Skipped]()
    for index in spread(len(source), most):
        try:
            sample = source.read(index)
        except BadSample as reason:
            skipped.append(Skipped(source.name(index), str(reason)))
            continue
        signal = data.signal(sample[:1].to(device))
        name = Path(source.name(index)).name
        if source.spans is not None:
            name += " {:.2f}-{:.2f} s".format(*source.spans[index].tolist())
        rows.append(imagine_row(model, signal, name, maskers, seed + index, oracle))
    if not rows:
        raise ValueError(f"none of the files can be read: {skipped[0].name}: {skipped[0].reason}")
    return data.draw(rows, note(model, oracle), out), skipped
