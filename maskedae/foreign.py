"""Files that are not ours, read without running what is in them, and what lies beside them."""

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from safetensors.torch import load_file
from torch import Tensor

from maskedae.checkpoints import find_weights
from maskedae.layouts import Foreign

HUB = "hf-hub:"
WEIGHTS = ["*.safetensors", "*.bin", "*.pth", "*.pyth", "*.pt"]
BESIDE = ["config.json", "preprocessor_config.json", "README.md"]


def fetch(source: str | Path) -> Path:
    """A file or folder of this machine, or what is downloaded of hf-hub:OWNER/NAME.

    Raises OSError that says what to do where there is no way to it.
    """
    if not str(source).startswith(HUB):
        return Path(source)
    name, _, revision = str(source).removeprefix(HUB).partition("@")
    wanted = [*BESIDE, "*.safetensors"]
    try:
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
        if not any(folder.glob("*.safetensors")):
            wanted = [*BESIDE, "pytorch_model*.bin", "*.pth"]
            folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise OSError(_why(name, error)) from error
    return folder


def _why(name: str, error: Exception) -> str:
    first = str(error).strip().splitlines()[0]
    if isinstance(error, (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError)):
        return (
            f"{name} is neither a file here nor downloaded, and the hub cannot be reached; "
            f"download it where there is a network (hf download {name} --local-dir DIR) and give "
            f"DIR instead ({first})"
        )
    return f"{name} cannot be had from the hub: {first}"


def find_file(path: Path) -> Path:
    """The weights of a run, a checkpoint, a file, or a folder as others write them."""
    try:
        return find_weights(path)
    except FileNotFoundError:
        for pattern in WEIGHTS:
            found = sorted(path.glob(pattern))
            if found:
                return found[0]
        named = re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) and f"*{path.suffix}" not in WEIGHTS
        if named and not path.exists():
            raise FileNotFoundError(
                f"{path} does not exist; a run folder, a checkpoint, a file or {HUB}{path} fits"
            ) from None
        raise


def read_foreign(path: Path) -> Foreign:
    """A file that is not ours with what lies beside it; parts of one file in one."""
    config, preprocessor = (_json(path.parent / name) for name in BESIDE[:2])
    parts = [path]
    if numbered := re.match(r"(.+)-\d{5}-of-\d{5}(\..+)", path.name):
        parts = sorted(path.parent.glob(f"{numbered[1]}-*-of-*{numbered[2]}"))
    tensors = {name: value for part in parts for name, value in read_tensors(part).items()}
    return Foreign(path, tensors, config, preprocessor, card_licence(path.parent / BESIDE[2]))


def _json(path: Path) -> dict[str, Any]:
    try:
        node = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    return node if isinstance(node, dict) else {}


def card_licence(card: Path) -> str | None:
    """The licence that the head of a model card names."""
    if not card.is_file():
        return None
    try:
        data = ModelCard.load(card).data
    except ValueError:  # no head, or one that is not YAML
        return None
    name = data.get("license")
    return str(data.get("license_name") or name) if name else None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file that is not ours. Code inside a pickle is refused, not run."""
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        # Training scripts of the field store their arguments, which are plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            node = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        if "weights_only" in first or "weights_only" in str(error):
            first = "it is no file of tensors and plain values; what else it holds is not run"
        raise ValueError(f"{path} cannot be read as weights: {first}") from error
    for name in ("model", "model_state", "state_dict", "module"):
        if isinstance(node, dict) and isinstance(node.get(name), dict):
            node = node[name]
    named = node.items() if isinstance(node, dict) else []
    tensors = {name: value for name, value in named if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no named tensors")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def md5(path: Path) -> str:
    """The MD5 sum of a file, by which published weights are known under any name."""
    total = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            total.update(block)
    return total.hexdigest()
