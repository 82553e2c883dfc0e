"""Statistics are those of what a recipe makes of samples."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "audio"))
import written  # noqa: E402

from maskedae.cli import main  # noqa: E402
from maskedae.datasets.audio.reading import read  # noqa: E402
from maskedae.datasets.sounds import Sounds  # noqa: E402
from maskedae.doctor.inspection import Inspector  # noqa: E402
from maskedae.doctor.preparing import preparation  # noqa: E402

SOUNDS = "maskedae.datasets.sounds.Sounds"
PREPARED = {"rate": 8000, "mels": 64, "frame_length": 20.0, "channel": "left"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name, seconds, rate in (("a.wav", 1.3, 16000), ("b.flac", 0.4, 44100)):
        written.write(tmp_path / "data" / name, written.tones(seconds, rate), rate)
    return tmp_path / "data"


def write_recipe(path, settings, kind=SOUNDS):
    path.write_text(yaml.safe_dump({"data": {"class_path": kind, "init_args": settings}}))
    return path


def statistics(folder, settings):
    """Mean and deviation of what a model would see of whole sounds, if they were 0 and a half."""
    data = Sounds(mean=[0.0], std=[0.5], **settings)
    sounds = [read(str(p), data.fbank.rate, channel=data.channel) for p in folder.iterdir()]
    values = torch.cat([data.signal(sound[None, None]).flatten().double() for sound in sounds])
    return [round(values.mean().item(), 3)], [round(values.std(correction=0).item(), 3)]


@pytest.mark.parametrize("settings", [PREPARED, {"rate": 8000, "mels": 64}, {"frame_shift": 40.0}])
def test_numbers_are_those_of_what_a_model_sees(folder, tmp_path, capsys, settings):
    recipe = write_recipe(tmp_path / "r.yaml", settings)
    command = ["doctor", str(folder), "--stats", "--workers=1"]
    assert main(command) == 0
    assert "128 bands at 16000 Hz, 25 ms every 10 ms, mean of channels" in capsys.readouterr().out
    # What the first check has found is of no use to the second, and the other way round.
    assert main([*command, "--write", str(recipe)]) == 0
    assert "2 files to read" in capsys.readouterr().out
    written_there = yaml.safe_load(recipe.read_text())["data"]["init_args"]
    mean, std = statistics(folder, settings)
    assert written_there["mean"] == pytest.approx(mean, abs=2e-3)
    assert written_there["std"] == pytest.approx(std, abs=2e-3)
    facts = tmp_path / "facts.json"
    assert main([*command, "--recipe", str(recipe), "--json", str(facts)]) == 0
    assert "2 files are as an earlier check has read them" in capsys.readouterr().out
    found = json.loads(facts.read_text())["kinds"]["sound"]
    assert [round(value, 4) for value in found["mean"]] == written_there["mean"]


def test_recipes_say_how_samples_are_prepared(tmp_path):
    known = {**PREPARED, "short": "tile", "mean": [1.0, 2.0]}
    path = write_recipe(tmp_path / "r.yaml", {**known, "frame_shift": None})
    assert preparation(path) == ("sounds", PREPARED)
    stamps = {Inspector(("sounds",), True, settings).stamp() for settings in ({}, PREPARED)}
    assert len(stamps) == 2
    images = write_recipe(path, {"flip": 0.0}, "maskedae.datasets.images.Images")
    assert preparation(images) == ("images", {})
    for settings in ({"rate": "quick"}, {"mels": -1}):
        with pytest.raises(ValueError, match=f"(?s){path}.*{next(iter(settings))}"):
            preparation(write_recipe(path, settings))


def test_recipes_without_statistics_are_refused(folder, capsys):
    with pytest.raises(SystemExit):
        main(["doctor", str(folder), "--recipe", "audiomae_tiny_1s"])
    assert "need DIR and --stats" in capsys.readouterr().err
    assert main(["doctor", str(folder), "--stats", "--recipe", "audiomae_tiny_2s"]) == 1
    assert "did you mean audiomae_tiny_" in capsys.readouterr().err


def test_films_are_sounds_where_no_films_are_wanted(tmp_path):
    (tmp_path / "data").mkdir()
    written.film(tmp_path / "data/film.mkv", written.tones(1.0), seconds=1.0)
    facts = tmp_path / "facts.json"
    for kind in ("sound", "film"):
        only = ["--kind=sounds"] if kind == "sound" else []
        command = ["doctor", str(tmp_path / "data"), "--json", str(facts), "--workers=1", *only]
        assert main(command) == 0
        assert list(json.loads(facts.read_text())["kinds"]) == [kind]
