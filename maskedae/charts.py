"""Charts of numbers side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from maskedae.pictures import FAINT, FRAME, INK

COLOURS = ("#1f6feb", "#9aa4af", "#d9a441")  # the first stands out


class Bar(NamedTuple):
    """A number, and how far it may be off."""

    value: float
    deviation: float | None = None


Bars = Mapping[str, Sequence[Bar]]  # of every group, one bar for each candidate


def draw_bars(
    candidates: Sequence[str], shares: Bars, others: Bars, title: str, path: Path
) -> None:
    """Write a picture of grouped bars: shares on one axis in percent, all else on its own."""
    rows = 1 + bool(shares) if others else 1
    figure = Figure(figsize=(max(7.0, 0.8 * len(shares) + 1), 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, max(len(others), 1), height_ratios=[1.35, 1][-rows:])
    if shares:
        axes = figure.add_subplot(grid[0, :])
        percent = {
            name: [Bar(100 * bar.value, bar.deviation and 100 * bar.deviation) for bar in group]
            for name, group in shares.items()
        }
        draw_groups(axes, percent, "{:.0f}")
        axes.set_ylabel("%", color=FAINT)
    for column, (name, group) in enumerate(others.items()):
        draw_groups(figure.add_subplot(grid[-1, column]), {name: group}, "{:.3g}")
    handles = [Patch(color=colour) for colour in COLOURS[: len(candidates)]]
    figure.legend(handles, candidates, loc="outside upper right", ncols=3, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, format="png")


def draw_groups(axes: Axes, groups: Bars, form: str) -> None:
    """Draw one group of bars beside the other, with the number on each."""
    count = len(next(iter(groups.values())))
    width = 0.84 / count
    for number in range(count):
        places = [place + (number - (count - 1) / 2) * width for place in range(len(groups))]
        bars = [group[number] for group in groups.values()]
        axes.bar(places, [bar.value for bar in bars], 0.92 * width, color=COLOURS[number % 3])
        for place, (value, deviation) in zip(places, bars, strict=True):
            if deviation:
                axes.errorbar(place, value, deviation, color=INK, linewidth=0.7, capsize=1.5)
            axes.annotate(
                form.format(value),
                (place, max(value, 0) + (deviation or 0)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=6.5,
                color=FAINT,
            )
    axes.set_xticks(range(len(groups)), [name.replace(", ", ",\n") for name in groups], fontsize=8)
    axes.tick_params(length=0, colors=INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FRAME)
    axes.margins(x=0.01, y=0.12)
