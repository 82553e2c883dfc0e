"""What samples are labelled with: a class, several classes or a value, by folder or by list."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from maskedae.answers import Kind
from maskedae.scanning import Rows

LARGEST = 1e18  # whose square is still a number of 32 bits


class SeveralLabels(ValueError):
    """Samples are of several classes where each should be of one."""


def class_names(parts: Sequence[Rows], kind: Kind = "class") -> tuple[str, ...]:
    """Merge the classes of all roots by name; a single folder is no class.

    Those whose order a root knows come first, in that order.
    """
    first = tuple(dict.fromkeys(name for part in parts for name in part.names))
    others = {
        name for part in parts for group in part.groups for name in named(group, kind, part.names)
    }.difference(first)
    labelled = len(first) + len(others) > 1 or any(part.listed for part in parts)
    if not labelled:
        return ()
    # Lists number their classes: 2 comes before 10, and of 0, 1, 2 each is its own number.
    if all(re.fullmatch(r"-?\d{1,18}", name) for name in others):
        return first + tuple(sorted(others, key=lambda name: (int(name), name)))
    return first + tuple(sorted(others))


def named(label: str, kind: Kind, names: Sequence[str] = ()) -> list[str]:
    """The classes that a label names, or whose numbers it holds.

    >>> named("cat | dog", "classes"), named("cat | dog", "class"), named("3.5", "value")
    (['cat', 'dog'], ['cat | dog'], [])
    >>> named("0|2", "classes", ["a|b", "c", "d"])
    ['a|b', 'd']
    """
    if names:
        return [names[int(number)] for number in label.split("|") if number]
    if kind == "class":
        return [label]
    names = re.split("[|;]", label) if kind == "classes" else []
    return [name.strip() for name in names if name.strip()]


def why_unlabelled(parts: Sequence[Rows], classes: tuple[str, ...], kind: Kind = "class") -> str:
    """Say why samples have no labels; nothing if all have one."""
    count = sum(len(part.group) for part in parts)
    loose = sum(int((np.asarray(part.group) < 0).sum()) for part in parts)
    if kind == "value":
        return f"{loose} of {count} samples have no value" if loose else ""
    if classes and loose:
        return f"{loose} of {count} samples have none: they lie in no class folder"
    if classes:
        return ""
    folders = [name for part in parts for name in part.groups]
    if not folders and any(part.framed for part in parts):
        return "the folders of frames lie in no class folder"
    return f"all samples lie in one folder, {folders[0]}" if folders else "there are no sub-folders"


def labels_of(part: Rows, classes: tuple[str, ...], kind: Kind) -> Tensor:
    """Labels of one root: (len,) class numbers, (len, classes) truths or (len,) values."""
    group = torch.frombuffer(part.group, dtype=torch.int64)
    if kind == "value" and part.names:
        raise ValueError(f"{part.root}: labels are classes there; data.labels=class would fit")
    if kind == "value":
        return torch.tensor([number_of(name, part.root) for name in part.groups])[group]
    number = {name: index for index, name in enumerate(classes)}
    if kind == "class":
        require_one(part)
        return torch.tensor([number[named(label, kind, part.names)[0]] for label in part.groups])[
            group
        ]
    table = torch.zeros(len(part.groups), len(classes), dtype=torch.bool)
    truths = [
        (row, number[name])
        for row, label in enumerate(part.groups)
        for name in named(label, kind, part.names)
    ]
    rows, columns = torch.tensor(truths, dtype=torch.int64).view(-1, 2).T
    table[rows, columns] = True
    return table[group]


def require_one(part: Rows) -> None:
    """Raise SeveralLabels that names a sample if one is of several classes."""
    for number, label in enumerate(part.groups):
        names = named(label, "class", part.names)
        if len(names) > 1:
            index = part.group.index(number)
            start = part.ends[index - 1] if index else 0
            sample = os.fsdecode(bytes(part.text[start : part.ends[index]]))
            raise SeveralLabels(
                f"{os.path.join(part.root, sample)} has several labels, {' | '.join(names)}; "
                f"data.labels=classes would fit"
            )


def number_of(label: str, root: str) -> float:
    """Read a value. Raises ValueError that names where it stands."""
    with suppress(ValueError):
        if abs(value := float(label)) < LARGEST:
            return value
    raise ValueError(
        f"{root}: the label {label!r} is no number, or none below {LARGEST:g}; with "
        f"data.labels=class it may be"
    )
