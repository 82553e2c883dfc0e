"""Checkpoints: folders that are whole or absent, whatever happens while they are written."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter

WEIGHTS, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a reader finds the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    sync(draft)
    draft.replace(path)


def write_weights(path: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Write named tensors, with the config that rebuilds their model inside the same file."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    save_file(tensors, path, metadata={"maskedae": json.dumps(config)})


def read_config(path: Path) -> dict[str, Any] | None:
    """The config inside a safetensors file, if it is one of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("maskedae")
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as weights: {error}") from error
    return json.loads(text) if text else None


def find_weights(path: Path) -> Path:
    """The weights of a CHECKPOINT: a run folder, a checkpoint folder or a file."""
    for place in (path, path / WEIGHTS, path / "checkpoints" / "last" / WEIGHTS):
        if place.is_file():
            return place
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; a run folder, a checkpoint or a file fits")
    raise FileNotFoundError(f"{path} holds no {WEIGHTS}, nor checkpoints/last/{WEIGHTS}")


class Checkpoints:
    """The checkpoints of one run: `last`, `best` and every so many epochs.

    Each is a folder `step-00000100`; `last` and `best` are links to one of them. A checkpoint is
    written under another name, flushed and renamed; only then do the links move, in one step.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def last(self) -> Path | None:
        """The newest checkpoint, if there is one."""
        link = self.folder / "last"
        return link if (link / STATE).is_file() else None

    def clear_drafts(self) -> None:
        """Remove what an interrupted save or removal left behind."""
        for left in self.folder.glob(".*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()

    def save(
        self,
        weights: dict[str, Tensor],
        optimizer: dict[str, Tensor],
        state: dict[str, Any],
        config: dict[str, Any],
        best: bool = False,
    ) -> Path:
        """Write a checkpoint and make it the last. Raises OSError, leaving all as it was."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clear_drafts()
        final = self.folder / f"step-{state['step']:08d}"
        if not final.exists():
            self._write(final, weights, optimizer, state, config)
        for name in ["last", "best"] if best else ["last"]:
            self._point(name, final)
        self._prune(state["keep"])
        return final

    def _write(
        self,
        final: Path,
        weights: dict[str, Tensor],
        optimizer: dict[str, Tensor],
        state: dict[str, Any],
        config: dict[str, Any],
    ) -> None:
        draft = self.folder / f".{final.name}"
        draft.mkdir()
        try:
            write_weights(draft / WEIGHTS, weights, config)
            write_weights(draft / OPTIMIZER, optimizer, {})
            (draft / STATE).write_text(json.dumps(state, indent=1))
            for file in (draft / WEIGHTS, draft / OPTIMIZER, draft / STATE, draft):
                sync(file)
            draft.rename(final)
        except Exception as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise OSError(f"could not write the checkpoint {final}: {error}") from error

    def _point(self, name: str, target: Path) -> None:
        draft = self.folder / f".{name}"
        draft.symlink_to(target.name)
        draft.replace(self.folder / name)
        sync(self.folder)

    def _prune(self, keep: list[int]) -> None:
        """Remove checkpoints that nothing points to and that are not to be kept."""
        wanted = {f"step-{step:08d}" for step in keep}
        wanted |= {
            os.readlink(self.folder / name)
            for name in ("last", "best")
            if (self.folder / name).is_symlink()
        }
        for folder in self.folder.glob("step-*"):
            if folder.name not in wanted:
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Take a checkpoint out of sight in one step, then delete it."""
        hidden = folder.with_name(f".gone-{folder.name}")
        folder.rename(hidden)
        with suppress(OSError):
            shutil.rmtree(hidden)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
        """Weights, optimiser tensors and state of the last checkpoint."""
        folder = (self.folder / "last").resolve()
        state = json.loads((folder / STATE).read_text())
        return load_file(folder / WEIGHTS), load_file(folder / OPTIMIZER), state


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, names: Mapping[Parameter, str]
) -> dict[str, Tensor]:
    """The optimiser's memory as named tensors."""
    return {
        f"{name}.{key}": value
        for parameter, name in names.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[Parameter, str], tensors: dict[str, Tensor]
) -> None:
    """Give an optimiser its memory back."""
    keys = {name.rpartition(".")[2] for name in tensors}
    for parameter, name in names.items():
        if any(f"{name}.{key}" in tensors for key in keys):
            optimizer.state[parameter] = {
                key: tensors[f"{name}.{key}"].to(parameter.device) for key in sorted(keys)
            }
