"""From a command line to a frozen encoder and the data it is to see."""

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from accelerate import PartialState
from jsonargparse import ArgumentParser, Namespace

from maskedae.attention import set_kernel
from maskedae.data import Data, Source, Split
from maskedae.encoder import Encoder
from maskedae.evaluation import spread
from maskedae.extraction import choose_layers, digest
from maskedae.processes import make_state, readers
from maskedae.ragged import suit
from maskedae.runs import FREE
from maskedae.viewing import parse_with_data, refuse_detector
from maskedae.weights import Loaded

STAMPED = 20_000  # files of a split whose sizes and times are looked at
MODALITY = "sound alone, pictures alone, or both, of a model of both"
Sources = Mapping[str, Source]  # by split


class Opened(NamedTuple):
    """An encoder, the data for it, and what the user asked for."""

    loaded: Loaded
    encoder: Encoder
    data: Data
    settings: dict[str, Any]  # of the data, as plain values
    options: Namespace
    state: PartialState

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a signal: (C, *size)."""
        return self.loaded.config.shape

    def key(self, sources: Sources, layers: list[int]) -> dict[str, Any]:
        """All that features depend on, as plain values; not where the data lie."""
        free = [name.removeprefix("data.init_args.") for name in FREE]
        given = self.settings.get("init_args", {}).items()
        return {
            "model": self.loaded.name,
            "weights": digest(self.encoder),
            "data": {split: source.fingerprint for split, source in sources.items()},
            "files": {split: stamp(source) for split, source in sources.items()},
            "preparation": {
                "class_path": self.settings["class_path"],
                **{name: value for name, value in given if name not in free},
            },
            "layers": layers,
        }


def stamp(source: Source) -> str:
    """A digest of the sizes and times of a source's files, of many some, so that changes show."""
    found = hashlib.blake2b(digest_size=8)
    for index in spread(len(source), STAMPED):
        try:
            status = os.stat(source.name(index))
            found.update(f"{status.st_size} {status.st_mtime_ns} ".encode())
        except OSError:
            found.update(b"none ")
    return found.hexdigest()


def make_parser(name: str, layers: bool = True) -> ArgumentParser:
    """Options of every command that extracts features, of `layers` that are chosen or not."""
    parser = ArgumentParser(prog=f"maskedae {name}", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("--data", type=Data, help="as in the checkpoint, but for what is given")
    if layers:
        parser.add_argument(
            "--layers", type=int, nargs="+", help="blocks, or stages; from the end if negative"
        )
        parser.add_argument("--modality", choices=["a", "v", "av"], help=MODALITY)
    parser.add_argument("--batch_size", type=int, help="samples encoded at once")
    parser.add_argument("--workers", type=int, help="processes that read data")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    return parser


def open_checkpoint(parser: ArgumentParser, arguments: list[str]) -> Opened:
    """Load the checkpoint that comes first; its recipe gives the defaults of the data."""
    options, loaded = parse_with_data(parser, arguments)
    refuse_detector(loaded)
    state = make_state()
    set_kernel(loaded.model, "sdpa")  # the kernel of the training may need another machine
    encoder = loaded.model.encoder.to(state.device)
    settings = yaml.safe_load(parser.dump(options, skip_unset=False))["data"]
    if options.workers is None:
        options.workers = readers(state)
    choose_layers(encoder, options.get("layers"))
    data = parser.instantiate(options).data
    suit(encoder, data)
    return Opened(loaded, encoder, data, settings, options, state)


def open_sources(opened: Opened, files: Sequence[str] = ()) -> Sources:
    """The splits that there are, or files named by hand, not augmented; say what is odd of them."""
    if files:
        found = {"files": opened.data.files(files, opened.shape)}
    else:
        splits: tuple[Split, ...] = ("train", "held_out")
        both = {split: opened.data.source(split, opened.shape, augment=False) for split in splits}
        found = {split: source for split, source in both.items() if source is not None}
    if opened.state.is_main_process:
        for split, source in found.items():
            if source.remarks:
                print(f"{split}: {source.remarks}", file=sys.stderr)
    return found
