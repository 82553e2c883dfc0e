"""Collections of sounds in folders, with lists that say what to hold out: see `corpora`."""

import csv
import os
from collections.abc import Iterator

from maskedae.lists import GONE, Line, opened, read_list, table
from maskedae.scanning import Rows, Wanted, scan

ESC = os.path.join("meta", "esc50.csv")
FOLDERS = ("audio", "audio_16k")
LISTS = ("validation_list.txt", "testing_list.txt")
NOISE = os.path.join(b"_background_noise_", b"")
SPEAKERS = ("veri_test_class.txt", "iden_split.txt")
Clip = tuple[int, str, int, int, str]  # line, file name, fold, target, category


def some(numbers: list[int]) -> str:
    """Numbers in words."""
    return ", ".join(map(str, numbers))


def esc(root: str, wanted: Wanted, fold: int | None) -> tuple[Rows, Rows]:
    """All folds but one, and that one, by default the last."""
    path = os.path.join(root, ESC)
    clips = list(esc_clips(path))
    folds = sorted({fold for _, _, fold, _, _ in clips})
    if not folds:
        raise ValueError(f"{path} lists no samples")
    if fold is not None and fold not in folds:
        raise ValueError(f"{path}: there is no fold {fold}; there are {some(folds)}")
    held_out = folds[-1] if fold is None else fold
    names = categories(path, clips)
    parts = list[Rows]()
    for kept in (True, False):
        chosen = [clip for clip in clips if (clip[2] != held_out) == kept]
        lines = esc_lines(root, chosen, {name: str(number) for number, name in enumerate(names)})
        rows = read_list(path, lines, wanted)
        rows.root, rows.names = root, names
        parts.append(rows)
    parts[0].notes = [f"fold {held_out} of {some(folds)} is held out"]
    return parts[0], parts[1]


def esc_clips(path: str) -> Iterator[Clip]:
    """What stands in every line."""
    with opened(path) as file:
        columns = next(csv.reader(file), [])
    wanted = ("filename", "fold", "target", "category")
    if lacking := [name for name in wanted if name not in columns]:
        raise ValueError(f"{path}: no column {' or '.join(lacking)} among {columns}")
    for line, row in table(path, columns):
        name, fold, target, category = ((row[column] or "").strip() for column in wanted)
        if not (name and category and fold.isdecimal() and target.isdecimal()):
            raise ValueError(
                f"{path}, line {line}: {name!r}, {fold!r}, {target!r}, {category!r} are no "
                f"filename, fold, target and category, such as 1-100032-A-0.wav, 1, 0 and dog"
            )
        yield line, name, int(fold), int(target), category


def categories(path: str, clips: list[Clip]) -> tuple[str, ...]:
    """Names of classes in the order of their numbers."""
    names, numbers = dict[int, str](), dict[str, int]()
    for line, _, _, target, category in clips:
        if (known := names.setdefault(target, category)) != category:
            raise ValueError(f"{path}, line {line}: target {target} is {category}, and {known}")
        if (number := numbers.setdefault(category, target)) != target:
            raise ValueError(f"{path}, line {line}: {category} is target {target}, and {number}")
    return tuple(names[target] for target in sorted(names))


def esc_lines(root: str, clips: list[Clip], numbers: dict[str, str]) -> Iterator[Line]:
    """Paths of the files that are there, with the number of the class."""
    folder = next((name for name in FOLDERS if os.path.isdir(os.path.join(root, name))), None)
    if folder is None:
        raise ValueError(f"{root}: there is no folder {' or '.join(FOLDERS)}")
    there = set(os.listdir(os.path.join(root, folder)))
    for line, name, _, _, category in clips:
        path = os.path.join(folder, name) if name in there else None
        yield line, path, numbers[category]


def commands(root: str, wanted: Wanted, test: bool) -> tuple[Rows, Rows]:
    """All spoken words that are in no list, and those in one of the two."""
    found, train = scan(root, wanted), Rows(root)
    train.listed, train.ignored = True, found.ignored
    there = dict[bytes, bytes]()  # by the path without extension
    for name in found:
        if name.startswith(NOISE):
            train.ignore("background noise")
        elif os.path.dirname(name):
            there[os.path.splitext(name)[0]] = name
        else:
            train.ignore("sound in no folder of a word")
    parts = [take(os.path.join(root, name), there) for name in LISTS]
    for name in there.values():
        train.add(name, word(name))
    held_out = parts[test]
    for rows, where in ((train, root), (held_out, os.path.join(root, LISTS[test]))):
        if not rows.ends:
            raise ValueError(f"{where}: looked for WORD/*, {wanted}, found {rows.found()}")
    return train, held_out


def take(path: str, there: dict[bytes, bytes]) -> Rows:
    """Take what a list names out of all that is there."""
    rows = Rows(os.path.dirname(path), listed=True)
    with opened(path) as file:
        names = dict.fromkeys(os.path.splitext(os.fsencode(line.strip()))[0] for line in file)
    names.pop(b"", None)
    for name in names:
        if name in there:
            sample = there.pop(name)
            rows.add(sample, word(sample))
        else:
            rows.ignore(GONE)
    return rows


def word(path: bytes) -> str:
    """The folder that a sound lies in."""
    return os.fsdecode(os.path.dirname(path))


def speakers(path: str, wanted: Wanted, test: bool) -> tuple[Rows, Rows]:
    """What a list marks by 1, and by 2 or, for a test, by 3; wherever files SPEAKER/FILM/* lie."""
    root = os.path.dirname(path)
    found = scan(root, wanted)
    there = {key(name): os.fsdecode(name) for name in found}
    lines: dict[str, list[Line]] = {"1": [], "2": [], "3": []}
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            split, _, name = line.strip().partition(" ")
            if split not in lines or name.count("/") < 2:
                raise ValueError(
                    f"{path}, line {number}: {line.strip()!r} is not 1, 2 or 3 and a path, such "
                    f"as 1 id10003/na8-QEFmj44/00003.wav"
                )
            place = there.get(key(os.fsencode(name.strip())))
            lines[split].append((number, place, name.strip().split("/")[-3]))
    train, held_out = (read_list(path, iter(lines[part]), wanted) for part in ("1", "23"[test]))
    return train, held_out


def key(path: bytes) -> bytes:
    """Speaker, film and number in a path."""
    return b"/".join(os.path.splitext(path)[0].split(b"/")[-3:])
