"""What a recipe says of its data that statistics depend on."""

from pathlib import Path
from typing import Any

import yaml

from maskedae.doctor.inspection import dataset_files
from maskedae.recipe import make_data

OURS = "maskedae.datasets."
COPY = "maskedae recipes lists recipes; copy one to change it"


def preparation(path: Path) -> tuple[str, dict[str, Any]]:
    """The file of `datasets/` that reads the data of a recipe, and settings that it inspects by.

    Raises ValueError where there are none.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; {COPY}")
    try:
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    data = node.get("data") if isinstance(node, dict) else None
    name = data.get("class_path") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(name, str):
        raise ValueError(f"{path}: not a recipe, for it has no data with a class_path")
    kind = name.removeprefix(OURS).split(".")[0]
    if not name.startswith(OURS) or kind not in dataset_files():
        known = ", ".join(dataset_files())
        raise ValueError(f"{path}: its data are {name}; statistics are known of {known}")
    names = getattr(dataset_files()[kind], "PREPARED", ())
    given = data.get("init_args") or {}
    chosen = {setting: given[setting] for setting in names if given.get(setting) is not None}
    try:
        made = make_data({"class_path": name, "init_args": chosen})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return kind, {setting: getattr(made, setting) for setting in chosen}
