"""What came of a retrieval: a table, and a file of numbers."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from maskedae.checkpoints import write_whole
from maskedae.loading import Skipped
from maskedae.retrieval import Recall, chance

NAMED = 10  # samples left out that are named on the screen


class Scores(NamedTuple):
    """How well one candidate finds films by their sound, and sounds by their film."""

    by_audio: Recall
    by_video: Recall


def table(found: Mapping[str, Scores]) -> Table:
    """A row for every candidate, a column for every score of either way."""
    sheet = Table(box=SIMPLE, padding=(0, 0, 0, 1))
    sheet.add_column("", no_wrap=True)
    some = next(iter(found.values())).by_audio
    for way in ("A→V", "V→A"):
        for name in (*(f"R@{k}" for k in some.at), "median"):
            sheet.add_column(f"{way}\n{name}", justify="right")
    for what, scores in found.items():
        cells = list[str]()
        for recall in scores:
            cells += [*(f"{100 * share:.1f}" for share in recall.at.values())]
            cells.append(f"{recall.median:g}")
        sheet.add_row(what, *cells)
    return sheet


def show(
    found: Mapping[str, Scores], count: int, lacking: list[Skipped], skipped: list[Skipped]
) -> None:
    """Print the scores among so many films, and what was left out."""
    console = Console(highlight=False)
    console.print(table(found))
    deviations = [f"{100 * (p * (1 - p) / count) ** 0.5:.1f}" for p in chance(count).at.values()]
    console.print(
        "A→V: films found by their sound; V→A: sounds found by their film; R@k: percent found "
        "among the k nearest; median: of the ranks. By chance, R@k of so few scatter by a standard "
        f"deviation of {', '.join(deviations)}",
        soft_wrap=True,
    )
    for name, reason in (lacking + skipped)[:NAMED]:
        console.print(f"left out {name}: {reason}", soft_wrap=True, markup=False)
    if (rest := len(lacking) + len(skipped) - NAMED) > 0:
        console.print(f"and {rest} more, which scores.json names")


def plain(recall: Recall) -> dict[str, float]:
    """Scores of one way as JSON has them."""
    return {**{f"R@{k}": share for k, share in recall.at.items()}, "median rank": recall.median}


def write_scores(folder: Path, found: Mapping[str, Scores], facts: Mapping[str, Any]) -> None:
    """Write scores.json."""
    ways = ("audio to video", "video to audio")
    candidates = {
        what: {way: plain(recall) for way, recall in zip(ways, scores, strict=True)}
        for what, scores in found.items()
    }
    write_whole(folder / "scores.json", json.dumps({**facts, "candidates": candidates}, indent=1))


def counted(lacking: list[Skipped], skipped: list[Skipped]) -> str:
    """How many samples were left out, and why; empty if none were.

    >>> counted([Skipped("a", "no sound"), Skipped("b", "no sound")], [Skipped("c", "empty file")])
    '2 have no sound, 1 cannot be read'
    """
    said = [f"{n} have {why}" for why, n in Counter(reason for _, reason in lacking).items()]
    return ", ".join([*said, *[f"{len(skipped)} cannot be read"] * bool(skipped)])
