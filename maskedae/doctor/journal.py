"""What was found before: a file in the user's cache, so that long checks can be taken up again."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any


def cache_folder() -> Path:
    """Where programs of this user leave what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskedae"


class Journal:
    """Records of files, one JSON line each, that outlive a kill at any moment.

    `stamp` says who makes the records: those of another stamp are forgotten.
    """

    def __init__(self, root: str, stamp: str, fresh: bool = False) -> None:
        name = hashlib.blake2b(os.fsencode(os.path.abspath(root)), digest_size=16).hexdigest()
        self.path = cache_folder() / "doctor" / f"{name}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lines: dict[str, bytes] = {}
        head = json.dumps({"stamp": stamp}).encode() + b"\n"
        with open(self.path, "a+b") as file:
            file.seek(0)
            same = file.readline() == head
            file.truncate(0 if fresh or not same else len(head) + self._read(file.readlines()))
            if fresh or not same:
                file.write(head)
        self.file = open(self.path, "a", buffering=1)  # noqa: SIM115  line by line, to __exit__

    def _read(self, lines: list[bytes]) -> int:
        """Take in what was written before; return its length without a torn last line."""
        whole = [line for line in lines if line.endswith(b"\n")]
        for line in whole:
            with suppress(ValueError):  # a machine that lost its power leaves zeros
                self.lines[json.loads(line)["path"]] = line
        return sum(map(len, whole))

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def recall(self, path: str) -> dict[str, Any] | None:
        """The record of a file, if it has not changed since."""
        if path not in self.lines:
            return None
        record = json.loads(self.lines[path])["record"]
        try:
            return record if record["signature"] == signature(path) else None
        except OSError:
            return None

    def note(self, path: str, record: dict[str, Any]) -> None:
        """Remember the record of a file."""
        self.file.write(json.dumps({"path": path, "record": record}) + "\n")


def signature(path: str) -> list[int]:
    """What differs when a file has changed: bytes, and time of change in nanoseconds."""
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]
