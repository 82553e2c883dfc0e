import csv
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from maskedae.cli import main
from maskedae.commands import doctor
from maskedae.doctor.environment import Finding

BAD = Path(__file__).parents[2] / "shared" / "data" / "bad_inputs"
BOMB = "bomb_12000x12000.png"  # takes seconds


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    for path in ("data/cat/1.png", "data/dog/2.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / path)
    return tmp_path / "data"


def test_a_healthy_folder(folder, capsys):
    assert main(["doctor", str(folder), "--stats", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "all 2 files can be read" in said and "mean: [0.0000]" in said
    assert "WARNING 1 in several classes" in said
    assert main(["doctor", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "2 files are as an earlier check has read them" in said and "to read" not in said
    assert main(["doctor", str(folder), "--fresh", "--workers", "1"]) == 0
    assert "2 files to read" in capsys.readouterr().out


def test_bad_files_and_odd_names(folder, tmp_path, capsys):
    name = os.fsdecode(b"\xff\n\x1b[31m.png")
    (folder / name).touch()
    os.mkfifo(folder / "pipe.png")
    file = tmp_path / "facts.json"
    assert main(["doctor", str(folder), "--json", str(file), "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "\\udcff\\n\\x1b[31m.png: empty file" in said and "1 of 3 files cannot be read" in said
    assert "pipe, socket or device 1" in said
    facts = json.loads(file.read_text())
    assert facts["bad"] == [{"path": str(folder / name), "reason": "empty file"}]
    assert len(facts["reports"]) == 3 and facts["kinds"]["image"]["count"] == 2


@pytest.mark.skipif(not BAD.is_dir(), reason=f"no test data at {BAD}")
def test_every_bad_file_is_named_and_no_other(tmp_path):
    with open(BAD / "manifest.csv", encoding="utf-8", newline="") as file:
        expected = {row["file"]: row["expected"] for row in csv.DictReader(file)}
    paths = [path for path in expected if path.startswith("images/") and BOMB not in path]
    (tmp_path / "list.txt").write_text("\n".join(str(BAD / path) for path in paths))
    facts = tmp_path / "facts.json"
    assert main(["doctor", str(tmp_path / "list.txt"), "--json", str(facts)]) == 1
    bad = {item["path"]: item["reason"] for item in json.loads(facts.read_text())["bad"]}
    for path in paths:
        if expected[path] == "ok":
            assert str(BAD / path) not in bad
        if expected[path].startswith("fail"):
            assert bad[str(BAD / path)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "does not exist"),
        (["."], "found nothing at all"),
        ([".", "--kind", "imges"], "did you mean images?"),
        ([".", "--json", "nowhere/a.json"], "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_checked(tmp_path, monkeypatch, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["doctor", *arguments]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_cache_that_cannot_be_written(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main(["doctor", str(folder), "--workers", "1"]) == 0
    assert "will not be remembered" in capsys.readouterr().out


def test_the_environment(tmp_path, capsys):
    assert main(["doctor", "--json", str(tmp_path / "facts.json")]) == 0
    assert "all that is required works" in capsys.readouterr().out
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert {"packages", "devices", "attention on cpu", "pictures"} <= set(facts)


def test_a_sick_environment(monkeypatch, capsys):
    sick = Finding("broken", "torch", "1.0 fails to import", "pip install torch", required=True)
    monkeypatch.setattr(doctor, "packages", lambda: [sick])
    monkeypatch.setattr(doctor, "compiler", lambda: Finding("missing", "compiler"))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "broken   torch     1.0 fails" not in said and "to add it: pip install torch" in said
    assert "required, but does not work: torch" in said


def test_ctrl_c(folder, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "read", interrupt)
    assert main(["doctor", str(folder)]) == 130
    assert "goes on from here" in capsys.readouterr().out
