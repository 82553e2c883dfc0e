"""MAViL's ablation in miniature: what each of its objectives adds, trained and told as a table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from maskedae.checkpoints import STATE
from maskedae.datasets.scenes import write_scenes
from maskedae.retrieval import KS, chance
from maskedae.runs import Run

RECIPE = "quickstart_av"
TRAIN, HELD_OUT = 300, 100  # films


class Step(NamedTuple):
    """A training of the ablation."""

    folder: str
    what: str
    recipe: str
    changes: tuple[str, ...]


STEPS = (
    Step("1-imagine", "imagine both", RECIPE, ("--model.inter_weight=0", "--model.intra_weight=0")),
    Step("2-inter", "+ which sound is of which film", RECIPE, ("--model.intra_weight=0",)),
    Step("3-intra", "+ which view is of which sample", RECIPE, ()),
    Step("4-stage2", "stage 2, which goes on from there", f"{RECIPE}_stage2", ()),
)


def run_ablation(out: Path, pretrain: Callable[[list[str]], int]) -> int:
    """Write films, train once for each step, tell what came of it; return the exit status."""
    data = out / "films"
    count = TRAIN + HELD_OUT
    print(f"writing {count} films of bouncing shapes that one hears to {data}", flush=True)
    write_scenes(data, TRAIN, HELD_OUT)
    lists = [write_list(data / split) for split in ("train", "val")]
    for number, step in enumerate(STEPS):
        command = [step.recipe, "--data.root", lists[0], "--data.val_root", lists[1]]
        command += ["--out", str(out / step.folder)]
        command += step.changes
        if step.folder == STEPS[-1].folder:
            command += ["--teacher", str(out / STEPS[number - 1].folder)]
        print(f"\n{number + 1} of {len(STEPS)}: maskedae pretrain {' '.join(command)}", flush=True)
        if status := pretrain(command):
            return status
        if not finished(out / step.folder):
            return 1
    tell(out)
    return 0


def write_list(folder: Path) -> str:
    """Write a list of the films of a folder, without labels: nothing is scored by them here."""
    place = folder.with_suffix(".txt")
    place.write_text("".join(f"{path.absolute()}\n" for path in sorted(folder.rglob("*.mp4"))))
    return str(place)


def finished(folder: Path) -> bool:
    """Whether a training took its last step, not stopped before."""
    state = json.loads((folder / "checkpoints/last" / STATE).read_text())
    return bool(state["finished"])


def recalls(folder: Path) -> list[dict[str, float]]:
    """What the looks of a run scored, the first before training."""
    return [row for row in Run(folder).metrics() if "recall1" in row]


def tell(out: Path) -> None:
    """Print how often a held-out film is found by its sound, and back, after each step."""
    table = Table("trained to", *(f"R@{k}" for k in KS), "median rank", box=None)
    by_chance = chance(HELD_OUT)
    table.add_row("chance", *(f"{by_chance.at[k]:.1%}" for k in KS), f"{by_chance.median:g}")
    rows = [("random weights", recalls(out / STEPS[0].folder)[0])]
    rows += [(step.what, recalls(out / step.folder)[-1]) for step in STEPS]
    for what, row in rows:
        shares = (f"{row[f'recall{k}']:.1%}" for k in KS)
        table.add_row(what, *shares, f"{row['median_rank']:g}")
    print(f"\n{HELD_OUT} held-out films found by their sound, and sounds by their film:")
    Console().print(table)
