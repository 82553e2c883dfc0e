"""Lists of AudioSet, as AST's JSON and as its own CSV: see `corpora`."""

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from maskedae.datasets.audio.labels import Labels, find_names, read_weights
from maskedae.lists import GONE, opened
from maskedae.scanning import Rows, Wanted, scan

HEAD = ("YTID", "start_seconds", "end_seconds")
LOOKED = 10  # lines in which the head of AudioSet's own list stands
# The file of a clip: its ID, and numbers that say from where to where it was cut.
CLIP = re.compile(rb"Y?([A-Za-z0-9_-]{11})((?:[_-]\d+(?:\.\d+)?)*)")
TAKEN = b""  # in place of a file that an earlier entry has taken


class Intake:
    """The sounds of one list as they are found there or not."""

    def __init__(self, path: str) -> None:
        self.path, self.rows = path, Rows(os.path.dirname(path) or os.curdir)
        self.twice = ""  # where the first one stands that is listed again
        self.mark = 0  # of all that are there, in whichever order

    def take(self, where: str, name: bytes | None, ident: str, label: str | None) -> bool:
        """Take a sound in, if it is there for the first time."""
        if not name:
            self.rows.ignore(GONE if name is None else "listed twice")
            self.twice = self.twice or (where if name == TAKEN else "")
            return False
        if self.rows.ends and (label is not None) != self.rows.listed:
            raise ValueError(f"{where}: some sounds have labels, some have none")
        self.rows.listed = label is not None
        self.rows.add(name, label)
        digest = hashlib.blake2b(os.fsencode(ident), digest_size=4).digest()
        self.mark ^= int.from_bytes(digest, "big")
        return True

    def whole(self, labels: Labels | None, looked: str) -> Rows:
        """All that was found; without `labels`, theirs are names. Raises ValueError for nothing."""
        rows, lost = self.rows, self.rows.ignored[GONE]
        if not rows.ends and not lost:
            raise ValueError(f"{self.path} lists no samples")
        if not rows.ends:
            raise ValueError(f"{self.path}: nothing that it lists is there; looked for {looked}")
        there, lists = len(rows.ends), os.path.basename(self.path)
        rows.notes.append(f"{there:,} of {there + lost:,} in {lists} are there, {self.mark:08x}")
        if self.twice:
            rows.notes.append(f"listed twice, first at {self.twice}")
        if rows.listed and labels is not None:
            labels.settle(rows)
        return rows


class Folders:
    """The files that are there, each folder read once: a look at every file would take hours."""

    def __init__(self, root: str) -> None:
        self.root, self.known = root, dict[str, dict[str, bool]]()  # whether each is still free

    def take(self, path: str) -> bytes | None:
        """The path if it is there, TAKEN if it was taken before."""
        folder, name = os.path.split(path)
        if folder not in self.known:
            place = os.path.join(self.root, folder)
            names = os.listdir(place) if os.path.isdir(place) else []
            self.known[folder] = dict.fromkeys(names, True)
        free = self.known[folder].get(name)
        if free:
            self.known[folder][name] = False
        return None if free is None else os.fsencode(path) if free else TAKEN


def json_rows(path: str, wanted: Wanted, label_names: str | None, weighted: bool) -> Rows:
    """The sounds of a list of AST, with the weights that lie beside it if they are asked for."""
    entries = read_json(path)
    labels, intake = Labels(find_names(path, label_names)), Intake(path)
    folders = Folders(intake.rows.root)
    weights = read_weights(path, len(entries)) if weighted else None
    labelled = any(isinstance(entry, dict) and entry.get("labels") for entry in entries)
    for number, entry in enumerate(entries, 1):
        name = entry.get("wav") if isinstance(entry, dict) else None
        said = entry.get("labels") or "" if isinstance(entry, dict) else ""
        if not isinstance(name, str) or not name or not isinstance(said, str):
            raise ValueError(
                f'{path}, entry {number}: {str(entry)[:100]} is not {{"wav": PATH, "labels": '
                f'"MID,MID"}}'
            )
        label = None
        if labelled and (said or wanted.labels == "classes"):
            label = labels.group(said, f"{path}, entry {number}")
        stem = os.path.splitext(os.path.basename(name))[0]
        if intake.take(f"{path}, entry {number}", folders.take(name), stem, label) and weights:
            intake.rows.weights.append(weights[number - 1])
    first = next((entry["wav"] for entry in entries), "")
    return intake.whole(labels, f"files such as {os.path.join(intake.rows.root, first)}")


def read_json(path: str) -> list[Any]:
    """The entries of a list."""
    with opened(path) as file:
        try:
            node = json.load(file)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
    entries = node.get("data") if isinstance(node, dict) else None
    if not isinstance(entries, list):
        raise ValueError(
            f'{path} is no list of sounds: {{"data": [{{"wav": PATH}}, ...]}} would fit'
        )
    return entries


def is_segments(path: str) -> bool:
    """Whether a .csv is AudioSet's own list."""
    with opened(path) as file:
        heads = [line for line, _ in zip(file, range(LOOKED), strict=False)]
    return any(columns(line)[:3] == HEAD for line in heads)


def columns(line: str) -> tuple[str, ...]:
    """What a line of column names holds."""
    return tuple(name.strip() for name in line.lstrip("# ").split(","))


def segment_rows(path: str, wanted: Wanted, label_names: str | None) -> Rows:
    """The clips of AudioSet's own list that lie below its folder."""
    labels, intake = Labels(find_names(path, label_names)), Intake(path)
    files = scan(intake.rows.root, wanted)
    there = dict[bytes, list[bytes]]()
    for name in files:
        if clip := CLIP.fullmatch(os.path.splitext(os.path.basename(name))[0]):
            there.setdefault(clip[1], []).append(name)
    taken, ident = set[bytes](), ""
    for where, ident, start, label in segments(path):
        group = labels.group(label, where)
        known = group if group or wanted.labels == "classes" else None
        found = pick(there.get(os.fsencode(ident), []), start)
        intake.take(where, TAKEN if found in taken else found, ident, known)
        if found:
            taken.add(found)
    looked = f"{ident}.* in {intake.rows.root} and below, {wanted}"
    return intake.whole(labels, f"{looked}, found {len(files.ends)} of other names")


def segments(path: str) -> Iterator[tuple[str, str, float, str]]:
    """Where it stands, ID, start in seconds and labels of every line."""
    with opened(path) as file:
        reader = csv.reader(file, skipinitialspace=True)
        for row in reader:
            if not row or row[0].startswith("#") or tuple(row[:3]) == HEAD:
                continue
            where = f"{path}, line {reader.line_num}"
            try:
                ident, start, _, *label = row
                yield where, ident, float(start), ",".join(label)
            except ValueError as error:
                raise ValueError(
                    f'{where}: {row} is not such as -0RWZT-miFs, 420.000, 430.000, "/m/03v3yw"'
                ) from error


def pick(names: list[bytes], start: float) -> bytes | None:
    """The file of a clip out of those of its ID: the first that starts there, or says nothing."""
    silent = None
    for name in names:
        clip = CLIP.fullmatch(os.path.splitext(os.path.basename(name))[0])
        said = re.findall(rb"\d+(?:\.\d+)?", clip[2]) if clip else []
        if said and any(abs(float(said[0]) - at) < 1 for at in (start, 1000 * start)):
            return name
        if not said and silent is None:
            silent = name
    return silent
