"""Where commands start from that put an encoder to use: a checkpoint and what it tells."""

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from jsonargparse import Namespace

from maskedae.recipe import given, read_recipe
from maskedae.zoo import model_config

# By an encoder with one axis more: what is the same, and what gets an axis in front.
INHERITED = ("width", "depth", "stages", "heads", "channels", "positions", "norm_eps")
STEM = ("patch", "kernel", "stride")


def starting_point(
    path: Path, arguments: list[str], task: str
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name and settings of the model to start from, and how the data it has seen were described.

    They are those of the checkpoint; a recipe that is for another model is refused, unless it is
    for one with an axis more.
    """
    node = read_recipe(path, task)
    init = given(arguments, "--init") or node.get("init")
    section = node.get("model") or {}
    name = given(arguments, "--model.name") or section.get("name")
    if not isinstance(init, str):
        raise ValueError("say what to start from: --init CHECKPOINT, or --init none for scratch")
    if init == "none":
        if not isinstance(name, str):
            raise ValueError(f"{path} names no model: --model.name NAME; see maskedae models")
        return name, {}, {}

    from maskedae.viewing import data_node, refuse_detector
    from maskedae.weights import load_with_report

    try:
        loaded = load_with_report(init, with_decoder=False)
    except FileNotFoundError:
        if {"name", "size", "norm_eps"} <= section.keys():  # of a run, which may go on without
            return section["name"], {}, {}
        raise
    if task != "detect":
        refuse_detector(loaded)
    if isinstance(name, str) and is_for_inflating(loaded.config, model_config(name)):
        return name, inflated(loaded.config, model_config(name)), data_node(loaded)
    if name not in (None, loaded.name):
        raise ValueError(
            f"{path} is for {name}, and {init} holds {loaded.name}: take the recipe of that model, "
            f"or --model.name={loaded.name}"
        )
    return loaded.name, vars(loaded.config), data_node(loaded)


def is_for_inflating(still: Any, moving: Any) -> bool:
    """Whether a model has an axis more than another, such as time, and is cut alike."""
    cut = [[name for name in STEM if getattr(one, name, None)] for one in (still, moving)]
    return len(moving.size) == len(still.size) + 1 and cut[0] == cut[1]


def inflated(still: Any, moving: Any) -> dict[str, Any]:
    """Settings of a model that starts from one that lacks its first axis."""
    old, new = vars(still), vars(moving)
    same = {name: old[name] for name in INHERITED if name in old and name in new}
    stem = {name: (new[name][0], *old[name]) for name in ("size", *STEM) if name in new}
    return {**new, **same, **stem}


def inherit_preparation(settings: Namespace, seen: dict[str, Any]) -> None:
    """Prepare signals as the encoder is used to, where nothing else is said."""
    known = settings.data.init_args
    for name in resolve_name(settings.data.class_path).inherited:
        value = seen.get("init_args", {}).get(name)
        if value is not None and name in known and known[name] is None:
            settings[f"data.init_args.{name}"] = value
