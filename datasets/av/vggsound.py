"""VGGSound's own list of films (arXiv:2004.14368).

    vggsound.csv, or a folder with it
      ID,30,dog barking,train
                           no head; the files ID_000030.*, or else ID.*, of any wanted extension,
                           lie anywhere below the folder of the list; held out is test; without the
                           last column nothing is

Rows of which there is no file are counted; how many there are stands in the remarks, with a digest
of which: copies differ.
"""

import csv
import os

from maskedae.datasets.audio.audioset import Intake
from maskedae.datasets.av.manifest import first_row
from maskedae.lists import opened
from maskedae.scanning import Rows, Wanted, scan

LIST = "vggsound.csv"
SPLITS = ("train", "test")


def vggsound(root: str, wanted: Wanted) -> tuple[Rows, Rows | None] | None:
    """What the list gives to train on, and to hold out; None if a root is no such list."""
    path = os.path.join(root, LIST) if os.path.isdir(root) else root
    if not path.lower().endswith(".csv") or not os.path.isfile(path) or not fits(first_row(path)):
        return None
    files, there = scan(os.path.dirname(path) or os.curdir, wanted), dict[str, str]()
    for name in map(os.fsdecode, files):
        stem = os.path.splitext(os.path.basename(name))[0]
        there[stem] = min(name, there.get(stem, name))
    intakes = {split: Intake(path) for split in SPLITS}
    with opened(path) as file:
        reader = csv.reader(file)
        for row in filter(None, reader):
            where = f"{path}, line {reader.line_num}"
            if not fits(row):
                raise ValueError(f"{where}: {row} is not such as -0RWZT-miFs,30,dog barking,train")
            film = there.get(ident := clip(row)) or there.get(row[0])
            split = row[3] if len(row) > 3 else SPLITS[0]
            found = os.fsencode(film) if film else None
            intakes[split].take(where, found, ident, row[2].strip())
    known = [intake for intake in intakes.values() if intake.rows.ends]
    looked = f"{ident}.* in {intakes['train'].rows.root} and below, {wanted}"
    parts = [part.whole(None, looked) for part in known or [intakes["train"]]]
    return parts[0], parts[1] if len(parts) > 1 else None


def fits(row: list[str]) -> bool:
    """Whether a row may be one of VGGSound.

    >>> fits(["-0RWZT-miFs", "30", "dog barking", "train"]), fits(["a.mp4", "dog"])
    (True, False)
    """
    return len(row) in (3, 4) and row[1].isdecimal() and all(part in SPLITS for part in row[3:])


def clip(row: list[str]) -> str:
    """What the film of a row is called.

    >>> clip(["-0RWZT-miFs", "30", "dog barking", "train"])
    '-0RWZT-miFs_000030'
    """
    return f"{row[0]}_{int(row[1]):06d}"
