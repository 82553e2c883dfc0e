"""Find label files and the pictures that they tell of."""

import os
from collections.abc import Sequence
from glob import escape, glob

from maskedae.lists import HELD_OUT

TRIED = 10  # pictures of a list that are looked for


def split_files(root: str, patterns: Sequence[str]) -> tuple[str | None, str | None]:
    """The file to train on and that to hold out, by patterns in which {} is the split's name."""

    def find(split: str) -> str | None:
        for pattern in patterns:
            found = sorted(glob(os.path.join(escape(root), pattern.format(split))))
            if len(found) > 1:
                names = ", ".join(os.path.relpath(path, root) for path in found)
                raise ValueError(f"{root} holds {names}: name one of them, --data.root FILE")
            if found:
                return found[0]
        return None

    return find("train"), next(filter(None, map(find, HELD_OUT)), None)


def picture_folder(file: str, names: Sequence[str]) -> str:
    """The folder that pictures listed in a file are relative to. Raises ValueError without one."""
    here = os.path.dirname(file) or os.curdir
    stem = os.path.splitext(os.path.basename(file))[0]
    stems = dict.fromkeys([stem, stem.removeprefix("instances_")])
    above = os.path.join(here, os.pardir)
    folders = [here]
    for top in (here, above):
        for inner in ("", "images", "data"):
            folders += [os.path.join(top, inner, name) for name in stems]
        folders += [os.path.join(top, name) for name in ("images", "data", "JPEGImages")]
    folders = [folder for folder in dict.fromkeys([*folders, above]) if os.path.isdir(folder)]
    some = names[:: max(1, len(names) // TRIED)]

    def there(folder: str) -> int:
        return sum(os.path.lexists(os.path.join(folder, name)) for name in some)

    best = max(folders, key=there)
    if some and not there(best):
        looked = ", ".join(os.path.normpath(folder) for folder in folders)
        raise ValueError(f"{file}: none of its pictures, such as {some[0]}, is in {looked}")
    return os.path.normpath(best)
