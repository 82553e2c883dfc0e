"""Features in parts on disk: each is whole or absent, and none is mixed with those of others."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from maskedae.checkpoints import sync, write_whole
from maskedae.loading import Skipped

KEY = "key.json"


class Part(NamedTuple):
    """Features of the samples of one batch."""

    indices: Tensor  # (n,) numbers of the samples within their split
    columns: dict[str, Tensor]  # each (n, ...) float32; none if no sample could be read
    skipped: list[Skipped]


class Parts:
    """A folder of parts, one for each batch, that all belong to one key.

    The key holds all that the features depend on, so that parts of another one are never mixed in.
    """

    def __init__(self, folder: Path, batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"a batch of {batch_size} holds nothing; 1 or more would fit")
        self.folder, self.batch_size = folder, batch_size

    def open(self, key: Mapping[str, Any], overwrite: bool = False) -> None:
        """Make the folder, or take it up again. Raises ValueError if it belongs to another key."""
        wanted = json.loads(json.dumps({**key, "batch_size": self.batch_size}))
        shutil.rmtree(self._gone, ignore_errors=True)
        known = self._key()
        if known is None and self.folder.exists() and any(self.folder.glob("[!.]*")):
            raise ValueError(f"{self.folder} holds files that are no features; take another --out")
        if known not in (None, wanted):
            assert known is not None
            if not overwrite:
                others = {name for name in {*known, *wanted} if known.get(name) != wanted.get(name)}
                raise ValueError(
                    f"{self.folder} holds features of other {', '.join(sorted(others))}; "
                    f"--overwrite starts over, another --out keeps them"
                )
            self.remove()
        self.folder.mkdir(parents=True, exist_ok=True)
        for draft in self.folder.glob(".*.draft"):
            draft.unlink()
        write_whole(self.folder / KEY, json.dumps(wanted, indent=1))

    def _key(self) -> dict[str, Any] | None:
        file = self.folder / KEY
        return json.loads(file.read_text()) if file.exists() else None

    @property
    def _gone(self) -> Path:
        return self.folder.with_name(f".gone-{self.folder.name}")

    def remove(self) -> None:
        """Take the folder out of sight in one step, then delete it."""
        self.folder.rename(self._gone)
        shutil.rmtree(self._gone)

    def path(self, split: str, number: int) -> Path:
        """Where a part lies."""
        return self.folder / f"{split}-{number:05d}.safetensors"

    def numbers(self, count: int) -> range:
        """Numbers of the parts of a split with so many samples."""
        return range(-(-count // self.batch_size))

    def samples(self, number: int, count: int) -> list[int]:
        """The samples of a part."""
        start = number * self.batch_size
        return list(range(start, min(start + self.batch_size, count)))

    def complete(self, counts: Mapping[str, int]) -> bool:
        """Whether every part of every split is there."""
        return all(
            self.path(split, number).exists()
            for split, count in counts.items()
            for number in self.numbers(count)
        )

    def write(self, split: str, number: int, part: Part) -> None:
        """Write a part under another name, flush it and rename it."""
        path = self.path(split, number)
        draft = path.with_name(f".{path.name}.draft")
        columns = {name: tensor.contiguous() for name, tensor in part.columns.items()}
        skipped = {"skipped": json.dumps(part.skipped)}
        try:
            save_file({"indices": part.indices, **columns}, draft, metadata=skipped)
            sync(draft)
            draft.replace(path)
        except Exception as error:
            draft.unlink(missing_ok=True)
            raise OSError(f"could not write {path}: {error}") from error

    def skipped(self, split: str, count: int) -> list[Skipped]:
        """What could not be read of a split."""
        found = list[Skipped]()
        for number in self.numbers(count):
            with safe_open(self.path(split, number), framework="pt") as file:
                found += [Skipped(*row) for row in json.loads(file.metadata()["skipped"])]
        return found

    def read(self, split: str, count: int) -> Iterator[Part]:
        """Read the parts of a split, one after the other."""
        for number in self.numbers(count):
            with safe_open(self.path(split, number), framework="pt") as file:
                columns = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                skipped = [Skipped(*row) for row in json.loads(file.metadata()["skipped"])]
            yield Part(columns.pop("indices"), columns, skipped)
