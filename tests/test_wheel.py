"""The wheel must hold what the links stand for, and work where there is no checkout."""

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
FILES = ["pyproject.toml", "setup.cfg", "README.md", "LICENSE"]
FOLDERS = ["maskedae", "models", "datasets", "recipes"]
CODE = {".py", ".yaml", ".yml"}


def run(*command, folder):
    # A PYTHONPATH could name the checkout.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, folder):
    # From a copy: what an earlier build left in the checkout would come along.
    copy = tmp_path_factory.mktemp("copy")
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, symlinks=True)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", copy, folder=folder)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel, folder):
    path = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", path, folder=folder)
    run(path / "bin" / "python", "-m", "pip", "install", "--no-deps", wheel, folder=folder)
    (packages,) = path.glob("lib/python*/site-packages")
    # The dependencies, but not our own editable install: .pth files do not nest.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return path


@pytest.mark.parametrize("name", FOLDERS)
def test_wheel_holds_every_file(wheel, name):
    inside = Path("maskedae") if name == "maskedae" else Path("maskedae", name)
    # rglob does not follow the links.
    files = [p.relative_to(ROOT / name) for p in (ROOT / name).rglob("*") if p.suffix in CODE]
    assert files
    assert {str(inside / file) for file in files} <= set(ZipFile(wheel).namelist())


def test_wheel_holds_nothing_else(wheel):
    tops = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert tops == {"maskedae", "maskedae-{}.dist-info".format(wheel.name.split("-")[1])}


def test_wheel_is_what_is_imported(environment, folder):
    python = environment / "bin" / "python"
    file = run(python, "-c", "import maskedae; print(maskedae.__file__)", folder=folder)
    assert Path(file).is_relative_to(environment)


@pytest.mark.parametrize("command", [["models", "mae_vit_tiny*"], ["recipes"]])
def test_command_works_without_a_checkout(environment, folder, command):
    assert run(environment / "bin" / "maskedae", *command, folder=folder)
