"""Lists of films and sounds that lie apart.

    .csv
      video,audio,label    columns of these names among any: a film or a folder of frames, and a
                           sound; where either is empty, the other is all there is, and a film
                           brings its own sound; without `label`, no labels

Paths are relative to the folder of the list.
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass

from maskedae.datasets.av.naming import joined
from maskedae.lists import Line, opened, read_list, table
from maskedae.scanning import Rows, Wanted


@dataclass(frozen=True)
class Manifest:
    """The layout of such lists."""

    apart: bool = False  # take films and sounds as samples each, as who only checks files does

    def __call__(self, root: str, wanted: Wanted) -> tuple[Rows, None] | None:
        """Open a list; None if a root is none."""
        if not root.lower().endswith(".csv") or not os.path.isfile(root):
            return None
        columns = first_row(root)
        if not {"video", "audio"} <= set(columns):
            return None
        return read_list(root, self._lines(root, columns), wanted), None

    def _lines(self, path: str, columns: list[str]) -> Iterator[Line]:
        for number, row in table(path, columns):
            film, sound = ((row[name] or "").strip() for name in ("video", "audio"))
            label = (row["label"] or "").strip() if "label" in columns else None
            names = [*filter(None, (film, sound))] if self.apart else [joined(film, sound)]
            for name in names:
                yield number, name, label


def first_row(path: str) -> list[str]:
    """What stands in the first line of a .csv that is not empty."""
    with opened(path) as file:
        return next((row for row in csv.reader(file) if row), [])
