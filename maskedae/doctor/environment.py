"""What the installation brings, tried and not guessed: packages and a compiler.

Nothing here needs torch, so that it can be said that torch does not work.
"""

import os
import platform
import re
import shutil
import subprocess
import sysconfig
import textwrap
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from packaging.requirements import Requirement

from maskedae import __version__

State = Literal["ok", "missing", "broken"]
# Where a module is not called as its package.
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}
OPTIONAL = ("xformers", "av", "decord", "torchcodec", "soundfile")
DEVELOPMENT = "dev"  # an extra that users need not have
SOURCE = """#include <Python.h>
#include <omp.h>
#include <vector>
extern "C" int threads() { return std::vector<int>{omp_get_max_threads()}[0]; }
"""


class Finding(NamedTuple):
    """One thing that was tried."""

    state: State
    what: str
    detail: str = ""
    remedy: str = ""  # what the user can do
    required: bool = False


def short(error: BaseException) -> str:
    """The first sentence of an error."""
    text = re.sub(r"\S*\.cpp:\d+, ", "", str(error))  # a place in the sources of torch
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    sentence = lines[0].split(". ")[0] if lines else ""
    return textwrap.shorten(f"{type(error).__name__}: {sentence}", 160)


def packages() -> list[Finding]:
    """Try every package that maskedae needs or can use."""
    python = Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}")
    try:
        stated = requires("maskedae") or []
    except PackageNotFoundError:
        remedy = "pip install -e . in the checkout"
        return [python, Finding("broken", "maskedae", "is not installed", remedy, required=True)]
    found = [python, Finding("ok", "maskedae", __version__)]
    extras: dict[str, str] = {}
    for requirement in map(Requirement, stated):
        extra = re.search(r"extra == ['\"](\w+)", str(requirement.marker or ""))
        if extra is None:
            found.append(check(requirement, remedy=f"pip install '{requirement}'", required=True))
        elif extra[1] != DEVELOPMENT:
            extras[requirement.name] = extra[1]
    for name in dict.fromkeys([*extras, *OPTIONAL]):
        package = f"'maskedae[{extras[name]}]'" if name in extras else name
        found.append(check(Requirement(name), remedy=f"pip install {package}", required=False))
    return found


def check(requirement: Requirement, remedy: str, required: bool) -> Finding:
    """Look for a package, at its version, and import it."""
    name = requirement.name
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding("missing", name, "not installed", remedy, required)
    if not requirement.specifier.contains(found, prereleases=True):
        wrong = f"{found}, but {requirement.specifier} is needed"
        return Finding("broken", name, wrong, remedy, required)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(MODULES.get(name, name.replace("-", "_")))
    except Exception as error:  # whatever a package does when its parts do not fit
        again = f"pip install --force-reinstall --no-deps {name}"
        return Finding("broken", name, f"{found} fails to import: {short(error)}", again, required)
    return Finding("ok", name, found, required=required)


def compilers() -> Iterator[str]:
    """C++ compilers that can be found, first the one that torch.compile is told to take."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    return (path for name in names if name and (path := shutil.which(name)))


def compiler() -> Finding:
    """Try what torch.compile does on a CPU: build a library against Python's headers and OpenMP."""
    remedy = "install a C++ compiler and Python's headers, such as apt install g++ python3-dev"
    path = next(compilers(), None)
    if path is None:
        return Finding("missing", "C++ compiler", "none found: torch.compile will fail", remedy)
    headers = sysconfig.get_paths()["include"]
    with TemporaryDirectory() as folder:
        source = Path(folder, "one.cpp")
        source.write_text(SOURCE)
        command = [path, "-shared", "-fPIC", "-fopenmp", "-I", headers, str(source)]
        command += ["-o", str(source.with_suffix(".so"))]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        wrong = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
        return Finding("broken", "C++ compiler", f"{path}: {wrong.strip()}", remedy)
    detail = f"{path} builds a library, as torch.compile does (which itself is not tried)"
    return Finding("ok", "C++ compiler", detail)
