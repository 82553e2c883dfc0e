"""What came of a probe: a table, a file of numbers, a picture."""

import json
import math
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from maskedae.charts import Bar, draw_bars
from maskedae.checkpoints import write_whole
from maskedae.loading import Skipped
from maskedae.probing.scoring import Score, Scores


def percent(score: Score) -> str:
    """A share in percent, with the deviation of draws."""
    spread = "" if score.deviation is None else f" ± {100 * score.deviation:.1f}"
    return f"{100 * score.value:.1f}{spread} %"


def table(found: list[Scores]) -> Table:
    """A row for every score, a column for every candidate."""
    sheet = Table(box=SIMPLE)
    sheet.add_column("")
    for scores in found:
        sheet.add_column(scores.what, justify="right")
    for name in found[0].labelled:
        sheet.add_row(name, *(percent(scores.labelled[name]) for scores in found))
    sheet.add_section()
    for name in found[0].unlabelled:
        sheet.add_row(name, *(f"{scores.unlabelled[name].value:.3g}" for scores in found))
    return sheet


def show(found: list[Scores], skipped: list[Skipped], unscored: str) -> None:
    """Print the scores, the choice of the linear probe, and what was skipped."""
    console = Console(highlight=False)
    console.print(table(found))
    if found[0].grid:
        first = found[0].grid.heads[0].features
        console.print(f"all scores but the linear probe's are of {first}")
    for scores in found:
        if scores.grid:
            head = scores.grid.chosen
            console.print(
                f"linear probe, {scores.what}: {head.features}, lr {head.lr:g}, chosen for "
                f"{head.validation:.1%} on a tenth of the training split",
                soft_wrap=True,
            )
    if unscored:
        console.print(f"only scores without labels: {unscored}", soft_wrap=True, markup=False)
    for name, reason in skipped:
        console.print(f"skipped {name}: {reason}", soft_wrap=True, markup=False)
    if skipped:
        console.print(f"{len(skipped)} samples skipped")


def plain(score: Score) -> dict[str, Any]:
    """A score as JSON has it, where a number that cannot be computed is null."""
    known = {name: value for name, value in score._asdict().items() if value is not None}
    return {**known, "value": score.value if math.isfinite(score.value) else None}


def write_scores(
    folder: Path, found: list[Scores], skipped: list[Skipped], facts: dict[str, Any]
) -> None:
    """Write scores.json and bars.png."""
    candidates = {
        scores.what: {
            "scores": {
                name: plain(score)
                for name, score in {**scores.labelled, **scores.unlabelled}.items()
            },
            "linear": scores.grid
            and {
                "chosen": scores.grid.chosen._asdict(),
                "grid": [head._asdict() for head in scores.grid.heads],
            },
        }
        for scores in found
    }
    node = {**facts, "candidates": candidates, "skipped": [row._asdict() for row in skipped]}
    write_whole(folder / "scores.json", json.dumps(node, indent=1))
    shares, others = (
        {
            name: [Bar(s.value, s.deviation) for s in (getattr(row, kind)[name] for row in found)]
            for name in getattr(found[0], kind)
        }
        for kind in ("labelled", "unlabelled")
    )
    names = [scores.what for scores in found]
    draw_bars(names, shares, others, str(facts["checkpoint"]), folder / "bars.png")
