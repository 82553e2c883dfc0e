import sys
from importlib.metadata import PackageNotFoundError

import pytest
from packaging.requirements import Requirement

from maskedae.doctor import environment
from maskedae.doctor.environment import check, compiler, packages, short


def test_packages():
    found = {item.what: item for item in packages()}
    assert {"torch", "pillow", "scikit-learn", "xformers", "av"} <= set(found)
    assert all(item.state == "ok" for item in found.values() if item.required)
    assert found["torch"].required and not found["xformers"].required
    assert "ruff" not in found and "pytest" not in found


@pytest.mark.parametrize(
    ("requirement", "state", "detail"),
    [
        ("no-such-package", "missing", "not installed"),
        ("numpy>=99", "broken", "but >=99 is needed"),
        ("numpy", "ok", ""),
    ],
)
def test_check(requirement, state, detail):
    found = check(Requirement(requirement), "do that", required=True)
    assert found.state == state and detail in found.detail
    assert found.remedy == ("" if state == "ok" else "do that")


def test_a_package_that_fails_to_import(tmp_path, monkeypatch):
    (tmp_path / "falls_apart.py").write_text("raise RuntimeError('parts. Do not fit')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(environment, "version", lambda name: "1.0")
    found = check(Requirement("falls-apart"), "", required=True)
    assert found.state == "broken" and "1.0 fails to import: RuntimeError: parts" in found.detail


def test_a_checkout_that_is_not_installed(monkeypatch):
    def requires(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "requires", requires)
    assert packages()[-1].state == "broken" and "pip install" in packages()[-1].remedy


def test_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiler().state == "missing"
    false = tmp_path / "g++"
    false.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('one.cpp: error: no Python.h')")
    false.chmod(0o755)
    assert compiler().state == "broken" and "error: no Python.h" in compiler().detail
    false.write_text(f"#!{sys.executable}\n")
    assert compiler().state == "ok"


def test_short():
    place = "decode, /a/b.cpp:67, Unsupported file. Only these are supported.\nAnd so on"
    assert short(ValueError(place)) == "ValueError: decode, Unsupported file"
    assert short(KeyError()) == "KeyError:"
