"""From a checkpoint and data to features in one file."""

from pathlib import Path
from typing import Any

import torch

from maskedae.checkpoints import sync
from maskedae.data import Data
from maskedae.extraction import Pooling, choose_layers, encode_layers, extract, feature_names
from maskedae.loading import Skipped, batch_for
from maskedae.opening import Opened, Sources
from maskedae.parts import Parts
from maskedae.tables import WRITERS


def embed(opened: Opened, sources: Sources, out: Path, pools: list[Pooling]) -> list[Skipped]:
    """Write features of all samples to a file; return what could not be read.

    What an earlier life has computed is not computed again. Raises ValueError rather than replace
    a file, or parts that belong to something else, unless told to overwrite.
    """
    if out.suffix not in WRITERS:
        raise ValueError(f"--out {out} should end in {' or '.join(WRITERS)}")
    options, encoder, state = opened.options, opened.encoder, opened.state
    layers = choose_layers(encoder, options.layers)
    if "patches" in pools and any(source.shape[0] > 1 for source in sources.values()):
        raise ValueError(
            "patches of several views of a sample are not the same places, so there is no mean of "
            "them; one view of each would fit"
        )
    key = opened.key(sources, layers) | {"pools": pools}
    batch_size = options.batch_size or batch_for(next(iter(sources.values())))
    parts = Parts(out.with_name(f"{out.name}.parts"), batch_size)
    if state.is_main_process:
        counts = {split: len(source) for split, source in sources.items()}
        if out.exists() and not options.overwrite and not parts.complete(counts):
            raise ValueError(f"{out} exists; --overwrite replaces it, another --out keeps it")
        parts.open(key, options.overwrite)
    state.wait_for_everyone()
    extract(parts, encode_layers(encoder, layers, pools), opened.data, sources, options.workers)
    if not state.is_main_process:
        return []
    skipped = [row for split in sources for row in parts.skipped(split, len(sources[split]))]
    names = feature_names(encoder, layers, pools)
    facts = describe(opened, sources, skipped) | key | shapes(parts, sources, names)
    draft = out.with_name(f".{out.name}.draft")
    WRITERS[out.suffix](draft, parts, sources, facts)
    sync(draft)
    draft.replace(out)
    parts.remove()
    return skipped


def shapes(parts: Parts, sources: Sources, names: list[str]) -> dict[str, Any]:
    """The shape of every feature of a sample. Raises ValueError if no sample could be read."""
    for split, source in sources.items():
        for part in parts.read(split, len(source)):
            if part.columns:
                return {"shapes": {name: list(part.columns[name].shape[1:]) for name in names}}
    raise ValueError("none of the samples can be read; maskedae doctor DIR says why")


def describe(opened: Opened, sources: Sources, skipped: list[Skipped]) -> dict[str, Any]:
    """What somebody who finds the file should know of it, as plain values."""
    first = next(iter(sources.values()))
    return {
        "checkpoint": str(opened.options.checkpoint),
        "config": vars(opened.loaded.config),
        "grid": list(opened.encoder.grid),
        "samples": {split: len(source) for split, source in sources.items()},
        "classes": list(first.classes),
        "settings": opened.settings,
        "normalised": ends(opened.data, opened.shape),
        "skipped": [row._asdict() for row in skipped],
    }


def ends(data: Data, shape: Any) -> Any:
    """What the darkest and the brightest value is to the encoder, for every channel.

    Of sound and picture, one after the other.
    """
    if not isinstance(shape[0], int):
        return [ends(data, part) for part in shape]
    low, high = (data.shade(torch.full(shape, value)).flatten(1)[:, 0] for value in (0.0, 1.0))
    return {"dark": low.tolist(), "bright": high.tolist()}
