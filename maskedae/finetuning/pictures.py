"""Pictures of how a classifier answered: which classes it mixes up, how far values are off."""

from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from maskedae.answers import Answers
from maskedae.finetuning.objectives import average_precisions

MOST = 30  # classes in a picture; of more, the worst


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """How often each class (rows) was answered by each (columns): (classes, classes)."""
    classes = logits.shape[1]
    pairs = labels * classes + logits.argmax(dim=1)
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def class_accuracies(table: Tensor) -> Tensor:
    """Share of each class that was answered rightly, NaN where there is none of it: (classes,)."""
    return table.diagonal() / table.sum(dim=1)


def draw_answers(answers: Answers, logits: Tensor, labels: Tensor, title: str, path: Path) -> None:
    """Write a picture of answers (n, outputs) beside the truth, for any kind of labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = min(len(answers.classes), MOST)
    side = 3.5 + 0.28 * names if answers.kind == "class" else 5.0
    tall = 1.5 + 0.25 * names if answers.kind == "classes" else side
    figure = Figure(figsize=(side + 1, tall), layout="constrained")
    axes = figure.add_subplot()
    draw = {"class": draw_confusion, "classes": draw_precisions, "value": draw_values}
    draw[answers.kind](axes, answers, logits, labels)
    axes.set_title(title, fontsize=10)
    with catch_warnings():
        simplefilter("ignore", UserWarning)  # letters that the font lacks become boxes
        figure.savefig(path, dpi=120, format="png")


def shown(name: str) -> str:
    """A class name on one line, without what Matplotlib would take for a formula."""
    line = " ".join(name.encode(errors="replace").decode().split())
    return line.replace("$", r"\$")


def draw_confusion(axes: Axes, answers: Answers, logits: Tensor, labels: Tensor) -> None:
    """Rows of true classes, columns of answers, in shares of the row; of many, the worst."""
    table = confusion(logits, labels)
    accuracy = class_accuracies(table)
    present = (table.sum(dim=1) > 0).nonzero().flatten()
    if len(answers.classes) > MOST:
        present = present[accuracy[present].argsort()[:MOST]].sort().values
        axes.set_xlabel(f"answer; the {len(present)} classes that do worst, of {len(table)}")
    else:
        present = torch.arange(len(table))
        axes.set_xlabel("answer")
    shares = (table / table.sum(dim=1, keepdim=True).clamp(min=1))[present][:, present]
    axes.imshow(shares.numpy(), vmin=0, vmax=1, cmap="Blues")
    names = [shown(answers.classes[i]) for i in present]
    right = ["" if accuracy[i].isnan() else f" {accuracy[i]:.0%}" for i in present]
    axes.set_yticks(range(len(names)), [n + r for n, r in zip(names, right, strict=True)])
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.tick_params(labelsize=8)
    axes.set_ylabel("truth, and the share of it that was recognised")
    if len(names) <= 15:
        for row, column in np.ndindex(len(names), len(names)):
            share = float(shares[row, column])
            if share >= 0.005:
                colour = "white" if share > 0.5 else "black"
                text = f"{share:.0%}".rstrip("%")
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def draw_precisions(axes: Axes, answers: Answers, logits: Tensor, labels: Tensor) -> None:
    """A bar for the average precision of each class; of many, the worst."""
    found = average_precisions(logits, labels)
    chosen = (~found.isnan()).nonzero().flatten()
    chosen = chosen[found[chosen].argsort()][:MOST].flip(0)
    axes.barh(range(len(chosen)), found[chosen].tolist())
    axes.set_yticks(range(len(chosen)), [shown(answers.classes[i]) for i in chosen], fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("average precision" + (", the worst" if len(chosen) < len(found) else ""))


def draw_values(axes: Axes, answers: Answers, logits: Tensor, labels: Tensor) -> None:
    """A dot for each sample: its value, and the answer."""
    read = answers.read(logits)
    both = torch.cat([read, labels])
    ends = [float(both.min()), float(both.max())]
    axes.plot(ends, ends, color="gray", linewidth=1)
    axes.scatter(labels.tolist(), read.tolist(), s=6, alpha=0.5)
    axes.set_xlabel("truth")
    axes.set_ylabel("answer")
