"""How others name our weights: one table for both directions, and what their files tell."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

State = dict[str, Tensor]


class Foreign(NamedTuple):
    """A file that is not ours, and what lies beside it."""

    path: Path
    tensors: State
    config: dict[str, Any]  # config.json
    preprocessor: dict[str, Any]  # preprocessor_config.json
    licence: str | None  # as its card says


class Facts(NamedTuple):
    """What a file tells of its model beside the weights."""

    title: str  # of the format
    settings: dict[str, Any]  # of the model
    guessed: dict[str, str]  # settings that weights do not tell -> the value, and why
    sections: dict[str, Any]  # of the recipe: data, masker, head, licence


@dataclass(frozen=True)
class Layout:
    """The names of another system.

    `names` pairs our paths with theirs; what follows a path, such as `.weight`, stays. A `*` is a
    number. Three paths of theirs are queries, keys and values, which are one of ours.
    """

    title: str
    names: tuple[tuple[str, str | tuple[str, ...]], ...]
    marks: tuple[tuple[str, int], ...]  # theirs by which a file is known, and their axes
    left_out: tuple[str, ...] = ()  # theirs that we have no use for
    # What else tells the files of two systems with the same names apart; config.json goes along.
    tells: Callable[[Mapping[str, Tensor], Mapping[str, Any]], bool] | None = None
    # Where their numbers are not ours: what gives their names our numbers, and the way back.
    flat: Callable[[State], State] | None = None
    nested: Callable[[State], State] | None = None

    def fits(self, state: Mapping[str, Tensor], config: Mapping[str, Any] | None = None) -> bool:
        """Whether a file is of this layout, by its names and what config.json says beside it."""
        if not all(name in state and state[name].ndim == axes for name, axes in self.marks):
            return False
        return self.tells is None or self.tells(state, config or {})

    def to_ours(self, state: State) -> tuple[State, list[str]]:
        """Weights under our names, and what was left out. What is not known keeps its name."""
        renamed, left_out, thirds = State(), list[str](), dict[str, dict[int, str]]()
        state = self.flat(state) if self.flat else state
        for name, tensor in state.items():
            ours, third = self._ours(name)
            if third is not None:
                thirds.setdefault(ours, {})[third] = name
            elif any(_match(path, name) for path in self.left_out):
                left_out.append(name)
            else:
                renamed[ours] = tensor
        for ours, found in thirds.items():
            if found.keys() == {0, 2} and ours.endswith("bias"):
                # Keys without a bias: none is as good as zero.
                q, v = (state[found[i]] for i in (0, 2))
                renamed[ours] = torch.cat([q, torch.zeros_like(q), v])
            elif len(found) == 3:
                renamed[ours] = torch.cat([state[found[i]] for i in range(3)])
            else:
                renamed |= {name: state[name] for name in found.values()}
        return renamed, left_out

    def to_theirs(self, state: Mapping[str, Tensor]) -> State:
        """Weights under their names. Raises ValueError for what they have no name for."""
        renamed = State()
        for name, tensor in state.items():
            theirs = self._theirs(name)
            parts = (tensor,) if len(theirs) == 1 else tensor.chunk(len(theirs))
            renamed |= zip(theirs, parts, strict=True)
        return self.nested(renamed) if self.nested else renamed

    def _ours(self, name: str) -> tuple[str, int | None]:
        for ours, theirs in self.names:
            paths = (theirs,) if isinstance(theirs, str) else theirs
            for number, path in enumerate(paths):
                if found := _match(path, name):
                    return _fill(ours, *found), None if isinstance(theirs, str) else number
        return name, None

    def _theirs(self, name: str) -> tuple[str, ...]:
        for ours, theirs in self.names:
            if found := _match(ours, name):
                paths = (theirs,) if isinstance(theirs, str) else theirs
                return tuple(_fill(path, *found) for path in paths)
        raise ValueError(f"{self.title} has no name for {name}")


def _match(path: str, name: str) -> tuple[list[str], str] | None:
    """Numbers in a name that begins with the path, and what follows it.

    >>> _match("blocks.*.norm", "blocks.3.norm.weight")
    (['3'], '.weight')
    """
    found = re.fullmatch(re.escape(path).replace(r"\*", r"(\d+)") + r"((?:\..+)?)", name)
    return (list(found.groups()[:-1]), found.groups()[-1]) if found else None


def _fill(path: str, numbers: list[str], rest: str) -> str:
    for number in numbers:
        path = path.replace("*", number, 1)
    return path + rest


def count(state: Mapping[str, Tensor], path: str) -> int:
    """How many numbers stand for the star of a path.

    >>> count({"blocks.0.a": torch.empty(0), "blocks.1.a": torch.empty(0)}, "blocks.*")
    2
    """
    numbers = [int(found[0][0]) for name in state if (found := _match(path, name))]
    return 1 + max(numbers, default=-1)
