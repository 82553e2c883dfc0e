"""Which classes AudioSet's labels are, and which weights its sounds have: see `corpora`."""

import csv
import os
from typing import NamedTuple

from maskedae.hints import nearest
from maskedae.lists import opened
from maskedae.scanning import Rows

NAMES = "class_labels_indices.csv"
COLUMNS = ["index", "mid", "display_name"]


class Labels:
    """Turns labels such as "/m/09x0r,/m/04rlf" into numbers of classes, "0|137"."""

    def __init__(self, path: str | None) -> None:
        self.path = path  # of the file that names them; without, classes are taken as they come
        self.names, self.numbers = read_names(path) if path else ([], {})
        self.groups: dict[str, str] = {}

    def group(self, label: str, where: str) -> str:
        """Numbers of the classes. Raises ValueError for unknown ones."""
        if label not in self.groups:
            mids = dict.fromkeys(part.strip() for part in label.split(","))
            numbers = [self._number(mid, where) for mid in mids if mid]
            self.groups[label] = "|".join(map(str, sorted(numbers)))
        return self.groups[label]

    def _number(self, mid: str, where: str) -> int:
        if self.path and mid not in self.numbers:
            raise ValueError(
                f"{where}: {self.path} names no class {mid!r}; {hint(mid, list(self.numbers))}; "
                f"--data.label_names=FILE takes names from elsewhere"
            )
        return self.numbers.setdefault(mid, len(self.numbers))

    def settle(self, rows: Rows) -> None:
        """Name the classes of samples whose groups these numbers are."""
        if self.path:
            rows.names = tuple(self.names)
            return
        rows.names = tuple(sorted(self.numbers))
        order = sorted(self.numbers.values(), key=list(self.numbers).__getitem__)
        places = {str(number): place for place, number in enumerate(order)}

        def renumbered(label: str) -> str:
            return "|".join(map(str, sorted(places[n] for n in label.split("|") if n)))

        rows.groups = {renumbered(label): number for label, number in rows.groups.items()}
        rows.notes.append(f"no {NAMES} beside the list or above: classes are called by their MIDs")


class Named(NamedTuple):
    """Classes in their order."""

    names: list[str]
    numbers: dict[str, int]  # by MID


def hint(mid: str, known: list[str]) -> str:
    """The class that was probably meant, or some."""
    return nearest(mid, known) if len(known) < 20 else f"there are {known[0]}, {known[1]}, ..."


def find_names(path: str, given: str | None) -> str | None:
    """The file that names the classes of a list. Raises ValueError where several may."""
    if given is not None:
        if not os.path.isfile(given):
            raise FileNotFoundError(f"data.label_names: there is no file {given}")
        return given
    here = os.path.dirname(os.path.abspath(path))
    for folder in (here, os.path.dirname(here)):
        found = sorted(name for name in os.listdir(folder) if name.endswith(NAMES))
        if len(found) > 1 and NAMES not in found:
            raise ValueError(
                f"{folder} holds {', '.join(found)}: --data.label_names=FILE says which names the "
                f"classes of {path}"
            )
        if found:
            return os.path.join(folder, NAMES if NAMES in found else found[0])
    return None


def read_names(path: str) -> Named:
    """Read names of classes. Raises ValueError where they are not in order, or twice."""
    names = dict[str, int]()
    mids = dict[str, int]()
    with opened(path) as file:
        reader = csv.reader(file, skipinitialspace=True)
        if (head := next(reader, [])) != COLUMNS:
            raise ValueError(f"{path}: the first line is {head}; {','.join(COLUMNS)} would fit")
        for row in reader:
            if not row:
                continue
            where = f"{path}, line {reader.line_num}"
            if len(row) != 3 or row[0] != str(len(mids)):
                raise ValueError(f"{where}: {row} is not {len(mids)}, a MID and a name")
            for known, what in ((mids, row[1]), (names, row[2])):
                if what in known:
                    raise ValueError(f"{where}: {what!r} is class {known[what]}, too")
                known[what] = int(row[0])
    if not mids:
        raise ValueError(f"{path} names no classes")
    return Named(list(names), mids)


def read_weights(path: str, entries: int) -> list[float] | None:
    """How often to draw each entry of a list, if a file beside it says so."""
    path = f"{os.path.splitext(path)[0]}_weight.csv"
    if not os.path.isfile(path):
        return None
    weights = list[float]()
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                weights.append(float(line))
            except ValueError as error:
                what = f"{path}, line {number}: {line.strip()!r} is no number"
                raise ValueError(what) from error
    if len(weights) != entries:
        raise ValueError(f"{path} holds {len(weights)} weights for {entries} entries of the list")
    return weights
