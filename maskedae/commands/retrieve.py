"""maskedae retrieve CHECKPOINT --data.root DIR [--out DIR]."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskedae.data import Source
from maskedae.recipe import given

if TYPE_CHECKING:
    from maskedae.opening import Opened


def main(arguments: list[str]) -> int:
    """Find films by their sound and sounds by their film; return the exit status."""
    from maskedae.opening import make_parser, open_checkpoint
    from maskedae.retrieving.collecting import vectors_of
    from maskedae.retrieving.retrieve import retrieve

    parser, began = make_parser("retrieve", layers=False), time.monotonic()
    parser.add_argument("--split", choices=["held_out", "train"], default="held_out")
    parser.add_argument("--per_class", type=int, help="samples of a class, at most; by default all")
    parser.add_argument(
        "--out", type=Path, help="folder to write to; runs/retrieve/NAME if not given"
    )
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    opened = open_checkpoint(parser, arguments)
    vectors_of(opened.encoder, opened.loaded.name)  # before any film is looked for
    opened, split, source = open_split(opened, arguments)
    folder = retrieve(opened, split, source)
    if opened.state.is_main_process:
        print(f"wrote {folder}/scores.json, neighbours.png ({time.monotonic() - began:.0f} s)")
    return 0


def open_split(opened: "Opened", arguments: list[str]) -> tuple["Opened", str, Source]:
    """The samples to score. Of a root that was not trained on, those are all, or its own split.

    Raises ValueError rather than score what was trained on, unless told to.
    """
    split = opened.options.split
    elsewhere = given(arguments, "--data.root") is not None and not trained_on(opened)
    chosen = given(arguments, "--data.held_out_share") is not None or split == "train"
    if elsewhere and not chosen and hasattr(opened.data, "held_out_share"):
        data: Any = opened.data
        settings = {**opened.settings["init_args"], "held_out_share": 0.0}
        opened = opened._replace(
            data=replace(data, held_out_share=0.0),
            settings={**opened.settings, "init_args": settings},
        )
    source = opened.data.source(split, opened.shape, augment=False)
    if source is None and elsewhere:
        split, source = "all", opened.data.source("train", opened.shape, augment=False)
    if source is None:
        raise ValueError(
            "nothing is held out to search among: --data.root or --data.val_root names others, "
            "--split train takes those of the training"
        )
    if source.remarks and opened.state.is_main_process:
        print(f"{split}: {source.remarks}", file=sys.stderr)
    return opened, split, source


def trained_on(opened: "Opened") -> bool:
    """Whether a root is one of those that the checkpoint was trained on."""
    known = opened.loaded.recipe.get("data", {}).get("init_args", {}).get("root")
    return bool(places(known) & places(getattr(opened.data, "root", None)))


def places(root: str | list[str] | None) -> set[Path]:
    """Where a root lies, or several."""
    return {Path(one).resolve() for one in ([root] if isinstance(root, str) else root or [])}
