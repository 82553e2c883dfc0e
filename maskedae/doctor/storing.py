"""Write statistics into a recipe, and leave the rest of the file as it is, comments and all."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from maskedae.checkpoints import write_whole
from maskedae.doctor.wording import statistics


def write_statistics(path: Path, facts: dict[str, Any]) -> str:
    """Put what was found into a recipe, whole or not at all; say in words what it was before."""
    kinds = [kind for kind in facts["kinds"].values() if "mean" in kind]
    if len(kinds) != 1:
        raise ValueError(f"--write {path}: there are statistics of {len(kinds)} kinds of samples")
    values = {name: f"[{', '.join(numbers)}]" for name, numbers in statistics(kinds[0]).items()}
    if any(float(number) <= 0 for number in statistics(kinds[0])["std"]):
        raise ValueError(f"--write {path}: a deviation of {values['std']} normalises nothing")
    with path.open(encoding="utf-8", newline="") as file:
        old = file.read()
    new = changed(old, values)
    before, after = yaml.safe_load(old), loaded(new)
    known = before["data"].get("init_args") or {}
    wanted = {**known, **{name: yaml.safe_load(value) for name, value in values.items()}}
    if after != {**before, "data": {**before["data"], "init_args": wanted}}:
        lines = "".join(f"\n  {name}: {value}" for name, value in values.items())
        raise ValueError(f"{path} is written in a way that is not understood; by hand:{lines}")
    write_whole(path, new)
    was = {name: known.get(name) for name in values}
    return ", ".join(f"{name} {value}, before {was[name]}" for name, value in values.items())


def loaded(text: str) -> Any:
    """What a text says; nothing if it is not YAML."""
    with suppress(yaml.YAMLError):
        return yaml.safe_load(text)
    return None


def changed(text: str, values: dict[str, str]) -> str:
    """The text of a recipe with other values of settings of its data."""
    text = with_place(text)
    for name, value in reversed(values.items()):
        place = value_of(value_of(yaml.compose(text), "data"), "init_args")
        if not isinstance(place, MappingNode):
            return text
        known = value_of(place, name)
        if known is not None:
            text = replaced(text, known, value)
        elif not place.value:
            text = replaced(text, place, f"{{{name}: {value}}}")
        else:
            first = place.value[0][0].start_mark
            gap = ", " if place.flow_style else line_end(text) + " " * first.column
            text = f"{text[: first.index]}{name}: {value}{gap}{text[first.index :]}"
    return text


def with_place(text: str) -> str:
    """The text of a recipe whose data have settings, even if there are none of them."""
    data = value_of(yaml.compose(text), "data")
    place, named = value_of(data, "init_args"), value_of(data, "class_path")
    if isinstance(place, ScalarNode):
        return replaced(text, place, "{}")
    if place is not None or named is None or not isinstance(data, MappingNode):
        return text
    if data.flow_style:
        return f"{text[: named.end_mark.index]}, init_args: {{}}{text[named.end_mark.index :]}"
    end = line_end(text)
    at = text.find("\n", named.end_mark.index) + 1 or len(text)
    head = text[:at] if text[:at].endswith("\n") else text[:at] + end
    return f"{head}{' ' * data.start_mark.column}init_args: {{}}{end}{text[at:]}"


def line_end(text: str) -> str:
    """What ends the lines of a text."""
    return "\r\n" if "\r\n" in text else "\n"


def value_of(node: Node | None, name: str) -> Node | None:
    """What stands under a name in a mapping."""
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def replaced(text: str, node: Node, value: str) -> str:
    """The text with another value in place of a node."""
    start, stop = node.start_mark.index, node.end_mark.index
    head = text[:start] + (" " if start == stop else "")  # a space where nothing stood
    if isinstance(node, SequenceNode) and not node.flow_style:
        stop = node.value[-1].end_mark.index  # that of the list lies behind comments
        above = head.rstrip()
        head = f"{above} " if above.endswith(":") else f"{head}  "  # deeper than the name
    return head + value + text[stop:]
