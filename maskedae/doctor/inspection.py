"""Read a file in full and say what it is: every file of `datasets/` that can brings its way.

Such a file has EXTENSIONS, `sniff(head)` for files without extension, and `inspect(path, sums)`,
which raises BadSample or reports: the `kind` of sample, text to count by, numbers and lists of
numbers that have a range, `warnings`, and if asked the `sums` that mean and deviation come from.
It may have

    ALONE                the extensions where no other kind is wanted, as in training
    LEAVES               those of which, again alone, a folder is a sample
    LAYOUTS              what opens roots of forms of its own
    PREPARED             names of settings of its data that sums depend on; `inspect` takes them
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import Any

from maskedae.data import BadSample
from maskedae.doctor.journal import signature
from maskedae.hints import nearest
from maskedae.scanning import HEAD, Wanted

DECODERS = ("torch", "torchvision", "torchaudio", "pillow", "av", "soundfile")
CHUNK = 2**20  # bytes read at a time
SAID = 1000  # bytes of what a decoder says that are kept


@cache
def dataset_files() -> dict[str, ModuleType]:
    """Every file of `datasets/` that can inspect a sample, by its name.

    Last come those without extensions of their own: each of theirs is another's, too.
    """
    names = sorted(entry.name for entry in files("maskedae.datasets").iterdir())
    stems = [name.removesuffix(".py") for name in names if name.endswith(".py")]
    modules = {stem: import_module(f"maskedae.datasets.{stem}") for stem in stems}
    able = {"EXTENSIONS", "sniff", "inspect"}
    found = {stem: module for stem, module in modules.items() if able <= set(dir(module))}
    return dict(sorted(found.items(), key=lambda item: not item[1].EXTENSIONS))


def choose(name: str | None) -> tuple[str, ...]:
    """Names of the files of `datasets/` to ask: all, or one. Raises ValueError."""
    known = list(dataset_files())
    if name is None:
        return tuple(known)
    if name not in known:
        raise ValueError(f"no kind of data is called {name}; {nearest(name, known)}")
    return (name,)


@dataclass(frozen=True)
class Inspector:
    """Reads files of some kinds of data; where several take a file, the first is asked."""

    kinds: tuple[str, ...]
    sums: bool = False
    settings: dict[str, Any] = field(default_factory=dict)  # for `inspect`; then of one kind

    def wanted(self) -> Wanted:
        """Which files are samples."""
        modules = [dataset_files()[kind] for kind in self.kinds]
        extensions = frozenset[str]().union(*(self._extensions(module) for module in modules))
        # Where pictures are samples, a folder of them is no film.
        alone = modules if len(modules) == 1 else []
        leaves = frozenset[str]().union(*(getattr(module, "LEAVES", ()) for module in alone))
        return Wanted(
            extensions,
            lambda head: any(module.sniff(head) for module in modules),
            leaves=leaves,
            layouts=tuple(
                layout for module in modules for layout in getattr(module, "LAYOUTS", ())
            ),
        )

    def _extensions(self, module: ModuleType) -> frozenset[str]:
        alone = getattr(module, "ALONE", None) if len(self.kinds) == 1 else None
        return frozenset(module.EXTENSIONS) if alone is None else alone

    def modules(self) -> list[str]:
        """What it needs to be imported: all that `dataset_files` would, within a file's time."""
        return [__name__, *(module.__name__ for module in dataset_files().values())]

    def stamp(self) -> str:
        """Name what the findings depend on, apart from the files."""
        paths = [Path(str(dataset_files()[kind].__file__)) for kind in self.kinds]
        code = hashlib.blake2b(b"".join(path.read_bytes() for path in paths), digest_size=8)
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        return " ".join([*self.kinds, *settings, code.hexdigest(), *map(version, DECODERS)])

    def __call__(self, path: str) -> dict[str, Any]:
        """Report on one file; `bad` says why it cannot be read.

        With a `signature` the report holds as long as the file stays as it is.
        """
        try:
            found: dict[str, Any] = {"signature": signature(path)}
            head, found["hash"] = digest(path)
        except OSError as error:
            return {"bad": error.strerror or str(error)}
        try:
            with overheard() as lines:
                report = self._module(path, head).inspect(path, sums=self.sums, **self.settings)
            return found | report | {"warnings": [*report["warnings"], *lines]}
        except BadSample as reason:
            return found | {"bad": str(reason)}
        except Exception as error:  # ours, or memory that ran out: named, and tried again next time
            return {"bad": f"{type(error).__name__}: {error}"}

    def _module(self, path: str, head: bytes) -> ModuleType:
        extension = os.path.splitext(path)[1].lower()
        for module in (dataset_files()[kind] for kind in self.kinds):
            if extension in self._extensions(module) or (not extension and module.sniff(head)):
                return module
        if os.path.isdir(path):
            return dataset_files()[self.kinds[0]]
        raise BadSample(f"no kind of data that is known: {extension or 'no extension'}")


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Collect what decoders write in C, past Python, to the standard error of the process."""
    lines: list[str] = []
    with TemporaryFile() as file:
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            said = file.read(SAID).decode(errors="replace").splitlines()
            lines += dict.fromkeys(line.strip() for line in said if line.strip())


def digest(path: str) -> tuple[bytes, str]:
    """The first bytes of a file, and a hash of all; a pipe, or a folder, has neither."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        return b"", ""
    whole = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        head = file.read(HEAD)
        whole.update(head)
        while chunk := file.read(CHUNK):
            whole.update(chunk)
    return head, whole.hexdigest()
