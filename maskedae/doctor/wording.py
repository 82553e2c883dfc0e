"""Say in words what a check of a folder has found."""

import os
from collections.abc import Iterator
from typing import Any

SHOWN = 10  # of each list that may be long; --json holds all
TYPICAL = 0.2  # share of the samples that the most common values make up, to be worth a line


def plain(text: str) -> str:
    r"""Escape what does not print: half characters, line breaks, orders to the terminal.

    >>> plain("two\nlines")
    'two\\nlines'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def number(value: Any) -> str:
    """A number, or numbers, to read."""
    if isinstance(value, (list, tuple)):
        return " x ".join(map(number, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def tally(counts: dict[str, int]) -> str:
    """Names with how often they occur."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def shortened(lines: list[str], indent: str = "  ") -> Iterator[str]:
    """The first lines, and how many more there are."""
    yield from (indent + line for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"{indent}and {len(lines) - SHOWN:,} more: --json FILE names them"


def report(facts: dict[str, Any]) -> Iterator[str]:
    """Everything, line by line; paths are relative to the folder."""
    top = facts["folder"] if os.path.isdir(facts["folder"]) else os.path.dirname(facts["folder"])
    files = facts["files"]
    yield ""
    yield f"{facts['folder']}: {files['train']:,} files to train on, {files['held_out']:,} held out"
    if facts["ignored"]:
        yield f"  no samples: {tally(facts['ignored'])}"
    yield from (f"  {note}" for note in facts["notes"])
    if facts["beside"]:
        names = ", ".join(os.path.basename(path) for path in facts["beside"][:SHOWN])
        yield f"  not read, as they lie next to train: {names}"
    for name, kind in facts["kinds"].items():
        yield from describe_kind(name, kind)
    if "boxes" in facts:
        from maskedae.doctor.box_wording import describe_boxes

        yield from describe_boxes(facts["boxes"], top)
    else:
        yield from describe_labels(facts["labels"])
    yield from describe_copies(facts["copies"], top)
    if facts["warnings"]:
        yield ""
        yield "warnings"
        yield from shortened(
            [
                f"{item['files']:,} like {relative(item['example'], top)}: {item['warning']}"
                for item in facts["warnings"]
            ]
        )
    yield from describe_bad(facts["bad"], sum(files.values()), top)


def relative(path: str, top: str) -> str:
    """A path as seen from the folder that is checked."""
    return path.removeprefix(os.path.join(top, ""))


def describe_kind(name: str, kind: dict[str, Any]) -> Iterator[str]:
    """What the readable samples of one kind are like."""
    yield ""
    yield f"{name}: {kind['count']:,} can be read"
    wide = max(map(len, kind)) + 1
    for key, value in kind.items():
        if key in ("count", "mean", "std"):
            continue
        if "median" not in value:
            yield f"  {key:<{wide}}{tally(value)}"
            continue
        ends = (f"{end} {number(value[end])}" for end in ("min", "median", "max"))
        yield f"  {key:<{wide}}{', '.join(ends)}"
        covered = sum(count for _, count in value["common"])
        if key != "bytes" and value["distinct"] > 1 and covered >= TYPICAL * kind["count"]:
            common = (f"{number(item)} ({count:,})" for item, count in value["common"])
            yield f"  {'':<{wide}}most common: {', '.join(common)}"
    if "mean" in kind:
        yield "  over all values, for init_args of data in a recipe; --write RECIPE does it:"
        for key, values in statistics(kind).items():
            yield f"    {key}: [{', '.join(values)}]"


def statistics(kind: dict[str, Any]) -> dict[str, list[str]]:
    """Mean and deviation of every channel, as they are written in a recipe."""
    # Gray pictures have three equal channels; one number does for any number of channels.
    one = all(len(set(kind[key])) == 1 for key in ("mean", "std"))
    chosen = slice(1 if one else None)
    return {key: [f"{value:.4f}" for value in kind[key][chosen]] for key in ("mean", "std")}


def describe_labels(labels: dict[str, Any]) -> Iterator[str]:
    """The classes, the largest first, or why there are none."""
    classes = labels["classes"]
    yield ""
    yield f"labels: {len(classes):,} classes" if classes else "labels: none"
    ordered = sorted(classes.items(), key=lambda item: -sum(item[1].values()))
    wide = max((len(plain(name)) for name, _ in ordered[:SHOWN]), default=0)
    rows = [f"{plain(name):<{wide}}  {tally(counts)}" for name, counts in ordered]
    yield from shortened(rows)
    for split, reason in labels["missing"].items():
        yield f"  {split}: {reason}"
    for text in labels["odd"]:
        yield f"  WARNING {text}"


def describe_copies(copies: dict[str, Any], top: str) -> Iterator[str]:
    """Files of the same content."""
    surplus, both, differ = copies["surplus"], copies["in both"], copies["in several classes"]
    yield ""
    yield "copies, by content"
    yield f"  files that repeat another of the same split: {tally(surplus)}"
    groups = {
        "in train and held out alike, so that scores will flatter": both,
        "in several classes": differ,
    }
    for what, paths in groups.items():
        if paths:
            yield f"  WARNING {len(paths):,} {what}"
            yield from shortened(
                [" = ".join(relative(path, top) for path in group) for group in paths], " " * 4
            )


def describe_bad(bad: list[dict[str, str]], files: int, top: str) -> Iterator[str]:
    """Every file that cannot be read."""
    if not bad:
        yield ""
        yield f"all {files:,} files can be read"
        return
    yield ""
    yield "bad files"
    for item in bad:
        yield f"  {relative(item['path'], top)}: {item['reason']}"
    yield ""
    yield f"{len(bad):,} of {files:,} files cannot be read"
