"""Run folders: what a training leaves behind."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from maskedae.checkpoints import Checkpoints, write_whole
from maskedae.data import PLACES
from maskedae.loading import Skipped

# What a run writes; config.yaml, by which a run is known, first when it is made, last when deleted.
PARTS = ("metrics.jsonl", "skipped.jsonl", "pictures", "checkpoints", "curves", "config.yaml")
DRAFT = ".config.yaml.draft"

# Settings that may change when a run resumes: they do not change its numbers.
FREE = {
    "init",  # what a run started from is no longer needed
    "train.accumulate",
    "train.device",
    "train.checkpointing",
    "train.compile",
    "train.workers",
    "train.log_every_steps",
    "train.save_every_steps",
    "train.keep_every_epochs",
    "train.look_every_epochs",
    "train.max_nonfinite",
    "train.trackers",
    "data.init_args.max_bad_share",
    "data.init_args.timeout",
    "data.init_args.decoder",  # all show the same
    *(f"data.init_args.{name}" for name in PLACES),
}


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted names."""
    if not isinstance(node, dict):
        return {prefix: node}
    return {
        name: value
        for key, part in node.items()
        for name, value in flatten(part, f"{prefix}.{key}" if prefix else key).items()
    }


def finite(value: Any) -> Any:
    """What JSON has a word for: a number that is none becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Run:
    """A folder with config.yaml, metrics.jsonl, skipped.jsonl, pictures/ and checkpoints/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.pictures = folder / "pictures"
        self.skipped: dict[str, str] = {}  # name of a sample -> why it was skipped

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return (self.folder / "config.yaml").exists()

    def open(self, config: dict[str, Any], resume: bool, overwrite: bool) -> None:
        """Make the folder, or take it up again. Raises ValueError where that would lose a run."""
        if self.exists and resume:
            self._check_same(config)
        elif self.exists and not overwrite:
            raise ValueError(
                f"{self.folder} holds another run; --resume goes on with it, --overwrite deletes "
                f"it, another --out keeps it"
            )
        elif self.exists:
            self._clear()
        elif self.folder.is_dir() and any(p.name != DRAFT for p in self.folder.iterdir()):
            raise ValueError(f"{self.folder} holds files that are not a run; take another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        self.pictures.mkdir(exist_ok=True)
        self.checkpoints.folder.mkdir(exist_ok=True)
        (self.folder / "skipped.jsonl").touch()

    def _check_same(self, config: dict[str, Any]) -> None:
        old = flatten(yaml.safe_load((self.folder / "config.yaml").read_text()))
        new = flatten(config)
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        wrong = [name for name in changed if name not in FREE]
        if wrong:
            lines = [f"  {name}: {old.get(name)} then, {new.get(name)} now" for name in wrong]
            raise ValueError(
                f"{self.folder} was begun with other settings, so it cannot be resumed exactly:\n"
                + "\n".join(lines)
                + f"\nresume with {self.folder / 'config.yaml'} as recipe, or take another --out"
            )

    def _clear(self) -> None:
        for name in PARTS:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        path = self.folder / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def rewind(self, step: int) -> None:
        """Forget metrics past a step, which will be taken again."""
        metrics = self.folder / "metrics.jsonl"
        if metrics.exists():
            rows = [line for line in metrics.read_text().splitlines() if _step(line) <= step]
            write_whole(metrics, "".join(f"{row}\n" for row in rows))

    def remember_skipped(self) -> None:
        """Read what was skipped before."""
        skipped = self.folder / "skipped.jsonl"
        if skipped.exists():
            for line in skipped.read_text().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:  # the last line of a run that was killed as it wrote
                    continue
                self.skipped[row["file"]] = row["reason"]

    def log(self, row: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        self._append("metrics.jsonl", row)

    def skip(self, samples: list[Skipped], write: bool) -> None:
        """Remember samples that could not be used, and name each once in skipped.jsonl."""
        for name, reason in samples:
            if name not in self.skipped:
                self.skipped[name] = reason
                if write:
                    self._append("skipped.jsonl", {"file": name, "reason": reason})

    def _append(self, name: str, row: dict[str, Any]) -> None:
        row = {name: finite(value) for name, value in row.items()}
        line = json.dumps(row, ensure_ascii=True) + "\n"
        handle = os.open(self.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)


def _step(line: str) -> float:
    """The step of a line of metrics; a line cut short by a kill belongs to no step."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return float("inf")
