"""What is worth knowing of labels before a training spends hours on them."""

import filecmp
import hashlib
import os
import stat
import time
from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor

from maskedae.answers import Answers
from maskedae.data import Source
from maskedae.evaluation import spread
from maskedae.finetuning.objectives import SCORE, guess

MOST_FILES, MOST_SECONDS = 100_000, 30.0  # of a split, and to compare them with the other
FEW = 5  # samples of a class that are hardly enough


def audit(answers: Answers, train: Source, held_out: Source | None) -> str:
    """Classes, counts, what answering blindly would score, and what looks like a mistake."""
    assert train.labels is not None
    lines = [f"data      {len(train)} samples: {describe(answers, train.labels)}"]
    warnings = missing(answers, train.labels, "train")
    if held_out is None:
        warnings.append(
            "nothing is held out, so nothing tells how well it answers: --data.val_root"
        )
    elif held_out.labels is None:
        warnings.append(f"held-out samples have no labels: {held_out.unlabelled}")
    else:
        blind, score = guess(answers, train.labels, held_out.labels)
        lines.append(
            f"held out  {len(held_out)} samples: {describe(answers, held_out.labels)}; "
            f"{blind} scores {SCORE[answers.kind]} {score:.4g}"
        )
        warnings += missing(answers, held_out.labels, "held out") + overlap(train, held_out)
    return "\n".join(lines + [f"warning   {text}" for text in warnings])


def describe(answers: Answers, labels: Tensor) -> str:
    """Labels in a few words."""
    if answers.kind == "value":
        return f"values from {labels.min():.4g} to {labels.max():.4g}, mean {labels.mean():.4g}"
    counts = count(answers, labels)
    order = "\n".join(answers.classes).encode(errors="surrogateescape")
    digest = hashlib.blake2b(order, digest_size=4).hexdigest()
    some = ", ".join(answers.classes[:6]) + (", ..." if len(answers.classes) > 6 else "")
    return (
        f"{len(answers.classes)} classes of {int(counts.min())} to {int(counts.max())} samples "
        f"({some}; order {digest})"
    )


def count(answers: Answers, labels: Tensor) -> Tensor:
    """Samples of every class: (classes,)."""
    if answers.kind == "classes":
        return labels.sum(dim=0)
    return labels.bincount(minlength=len(answers.classes))


def missing(answers: Answers, labels: Tensor, split: str) -> list[str]:
    """Classes of which a split has no sample, or, of the training, few."""
    if answers.kind == "value":
        return []
    counts = count(answers, labels)
    empty = (counts == 0).nonzero().flatten().tolist()
    few = ((counts > 0) & (counts < FEW)).nonzero().flatten().tolist() if split == "train" else []
    found = {f"{split} has no sample of": empty, f"{split} has fewer than {FEW} samples of": few}
    return [f"{what} {some([answers.classes[i] for i in o])}" for what, o in found.items() if o]


def some(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def overlap(train: Source, held_out: Source) -> list[str]:
    """Held-out files whose contents are in the training split, too, as far as time allows to look.

    Others wait for this process, and a split may have millions of files.
    """
    deadline = time.monotonic() + MOST_SECONDS
    sizes: dict[int, list[str]] = defaultdict(list)
    for name in names(train):
        sizes[size_of(name)].append(name)
    sizes.pop(-1, None)
    twice, looked = list[str](), 0
    for name in names(held_out):
        if time.monotonic() > deadline:
            break
        looked += 1
        alike = [other for other in sizes.get(size_of(name), []) if same(name, other)]
        twice += [f"{name} = {alike[0]}"] if alike else []
    if not twice:
        return []
    whole = looked == len(held_out) and len(train) <= MOST_FILES
    compared = "" if whole else f" (of {looked} that were compared)"
    return [f"{len(twice)} held-out samples are also in train{compared}: {some(twice)}"]


def names(source: Source) -> list[str]:
    """Files of a source, of many some, each once."""
    return list(dict.fromkeys(source.name(index) for index in spread(len(source), MOST_FILES)))


def size_of(path: str) -> int:
    """Bytes of a file; -1 if it is none, or cannot be opened."""
    try:
        status = os.stat(path)
    except OSError:
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def same(one: str, other: str) -> bool:
    """Whether two files that can be read have the same contents."""
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
