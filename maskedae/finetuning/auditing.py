"""What is worth knowing of labels before a training spends hours on them."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor

from maskedae.answers import Answers
from maskedae.data import Source
from maskedae.doctor.inspection import digest
from maskedae.evaluation import spread
from maskedae.finetuning.objectives import SCORE, guess

MOST_FILES = 100_000  # of a split, whose contents are compared with the other
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
    digest = hashlib.blake2b("\n".join(answers.classes).encode(), digest_size=4).hexdigest()
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
    """Held-out files whose contents are in the training split, too, as far as they are compared."""
    sizes: dict[int, list[str]] = defaultdict(list)
    parts = [spread(len(source), MOST_FILES) for source in (train, held_out)]
    for index in parts[0]:
        sizes[size_of(train.name(index))].append(train.name(index))
    digests: dict[str, str] = {}
    twice = []
    for index in parts[1]:
        name = held_out.name(index)
        others = sizes.get(size_of(name), [])
        alike = [o for o in others if digest_of(o, digests) == digest_of(name, digests) != ""]
        twice += [f"{name} = {alike[0]}"] if alike else []
    if not twice:
        return []
    compared = "" if len(parts[0]) == len(train) else f" (of {len(parts[0])} and {len(parts[1])})"
    return [f"{len(twice)} held-out samples are also in train{compared}: {some(twice)}"]


def size_of(path: str) -> int:
    """Bytes of a file; -1 if it cannot be opened."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def digest_of(path: str, known: dict[str, str]) -> str:
    """A digest of a file's contents, computed once; nothing if it cannot be read."""
    if path not in known:
        try:
            known[path] = digest(path)[1]
        except OSError:
            known[path] = ""
    return known[path]
