"""The top-level folders must stay links inside the package, and must never shadow others."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECONDS = """
from time import perf_counter
import torch
start = perf_counter()
import maskedae
print(perf_counter() - start)
"""


@pytest.mark.parametrize("folder", ["models", "datasets", "recipes"])
def test_folder(folder):
    assert (ROOT / "maskedae" / folder).resolve() == ROOT / folder
    assert (ROOT / folder).is_dir()
    assert not (ROOT / folder / "__init__.py").exists(), "a package here shadows Hugging Face's"
    assert find_spec(f"maskedae.{folder}")


@pytest.mark.parametrize("file", ["conftest.py", "__init__.py", "tests/__init__.py"])
def test_root_stays_off_the_path(file):
    assert not (ROOT / file).exists(), "pytest would put the root on sys.path"


def seconds_to_import():
    python = [sys.executable, "-c", SECONDS]
    return float(subprocess.run(python, check=True, capture_output=True, text=True).stdout)


def test_import_adds_little_to_that_of_torch():
    # The best of three, and no more than are needed.
    assert any(seconds_to_import() < 1.5 for _ in range(3))
