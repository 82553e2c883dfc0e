"""Fine-tuning once for every fold that is held out, and what all of them score together."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import PartialState
from rich.console import Console
from rich.table import Table

from maskedae.checkpoints import write_whole
from maskedae.finetuning.objectives import SCORE
from maskedae.recipe import Recipe
from maskedae.runs import Run

FILE = "folds.json"
LAST = "last: of the weights after the last epoch, which no fold has chosen; the one to report"
BEST = "best: of the epoch that scores highest on the very fold that is held out, so it flatters"


class Fold(NamedTuple):
    """What came of training with one fold held out."""

    fold: int
    run: str  # its folder, in that of all
    last: float
    best: float
    best_epoch: float


def folder_of(out: Path, fold: int) -> Path:
    """Where the run of a fold lies. Raises ValueError if there would be a run inside a run."""
    if Run(out).exists:
        raise ValueError(f"{out} holds a run of its own; folds need another --out")
    return out / f"fold-{fold}"


def check_data(recipes: Iterable[Recipe]) -> None:
    """Open the data of every fold. Raises ValueError if none are held out, or the same twice."""
    seen = dict[str, int]()
    for fold, recipe in enumerate(recipes, 1):
        data, shape = recipe.data, recipe.model.shape
        data.source("train", shape, augment=True)
        held_out = data.source("held_out", shape, augment=False)
        if held_out is None or held_out.labels is None:
            raise ValueError(
                f"data.fold={fold}: nothing with labels is held out; leave --folds out"
            )
        if (other := seen.setdefault(held_out.fingerprint, fold)) != fold:
            raise ValueError(
                f"data.fold={other} and data.fold={fold} hold out the same samples; without "
                f"data.val_root, data that come in folds would fit"
            )


def begin_anew(runs: Mapping[Path, dict[str, Any]]) -> None:
    """Delete the runs in these folders, so that none of before is left if this one is stopped."""
    for folder, config in runs.items():
        if PartialState().is_main_process and Run(folder).exists:
            Run(folder).open(config, resume=False, overwrite=True)


def run_folds(count: int, out: Path, train: Callable[[int], bool]) -> bool:
    """Train once for each fold, 1 and on; tell and write the scores if all were finished."""
    for fold in range(1, count + 1):
        if PartialState().is_main_process:
            print(f"\nfold {fold} of {count}, in {folder_of(out, fold)}", flush=True)
        if not train(fold):
            return False
    if PartialState().is_main_process:
        found = summary(out, count)
        write_whole(out / FILE, json.dumps(found, indent=1) + "\n")
        tell(found)
        print(f"wrote {out / FILE}")
    return True


def summary(out: Path, count: int) -> dict[str, Any]:
    """The scores of all folds, their mean and their spread: the standard deviation of a sample."""
    names, folds = set[str](), list[Fold]()
    for number in range(1, count + 1):
        name, fold = scored(out, number)
        names.add(name)
        folds.append(fold)
    assert len(names) == 1, names
    found: dict[str, Any] = {"score": names.pop(), "folds": [fold._asdict() for fold in folds]}
    for what in ("last", "best"):
        values = [getattr(fold, what) for fold in folds]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        found[what] = {"mean": statistics.fmean(values), "spread": spread}
    return {**found, "meaning": [LAST, BEST]}


def scored(out: Path, number: int) -> tuple[str, Fold]:
    """Name and values of the score of a fold. Raises ValueError if nothing was held out."""
    run = Run(folder_of(out, number))
    for name in SCORE.values():
        rows = [row for row in run.metrics() if row["step"] and row.get(name) is not None]
        if rows:
            best = max(rows, key=lambda row: row[name])
            last, epoch = rows[-1][name], best["epoch"]
            return name, Fold(number, run.folder.name, last, best[name], epoch)
    raise ValueError(f"{run.folder} has no score: nothing with labels was held out")


def tell(found: dict[str, Any]) -> None:
    """Print a line for every fold, the mean and the spread."""
    name = found["score"]
    table = Table("fold", f"last {name}", f"best {name}", "at epoch", box=None)
    for fold in found["folds"]:
        values = [f"{fold[what]:.4f}" for what in ("last", "best")]
        table.add_row(f"{fold['fold']}", *values, f"{fold['best_epoch']:g}")
    for what in ("mean", "spread"):
        table.add_row(what, *(f"{found[part][what]:.4f}" for part in ("last", "best")), "")
    Console().print(table)
    for line in found["meaning"]:
        print(line)
