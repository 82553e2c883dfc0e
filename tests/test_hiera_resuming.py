"""A hierarchical encoder with dropped paths ends with the same weights, however it was trained."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from maskedae.cli import main
from maskedae.datasets.films.writing import write_film
from maskedae.stepping import Stepper

sys.path.append(str(Path(__file__).parent))
from training import agree, same, torchrun, write_pictures  # noqa: E402

TINY = ["--model.width=8", "--model.heads=1", "--model.stages=[1, 1, 2]"]
TINY += ["--model.decoder_width=16", "--model.decoder_depth=1", "--model.decoder_heads=2"]
BRIEF = ["--train.epochs=2", "--train.warmup_epochs=1", "--train.batch_size=4", "--train.workers=0"]
BRIEF += ["--train.device=cpu", "--train.save_every_steps=1", "--train.trackers=[]"]
BRIEF += ["--train.drop_path=0.3", "--train.look_every_epochs=2"]
SIZES = {
    "pictures": ["--model.size=[32, 24]", "--model.kernel=[3, 3]", "--model.stride=[2, 2]"],
    "films": ["--model.size=[4, 16, 24]", "--model.kernel=[3, 3, 3]", "--model.stride=[2, 2, 2]"],
}
RECIPES = {"pictures": "hiera_tiny_32px", "films": "hiera_tiny_64px"}
TUNED = {"pictures": "finetune_small_folder", "films": "finetune_small_films"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Noise of two kinds, as pictures and as films, and uninterrupted runs on them."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    write_pictures(folder / "pictures/train", count=24)
    for number in range(16):
        film = rng.integers(0, 255, (12, 20, 28, 3), np.uint8)
        write_film(folder / f"films/train/{number % 2}/{number}.mp4", film, 10.0)
    for kind in RECIPES:
        assert main([*pretraining(folder, kind), str(folder / kind / "whole")]) == 0
    return folder


def pretraining(folder, kind):
    """A command, but for where its run is to be."""
    root = ["--data.root", str(folder / kind / "train"), "--data.held_out_share=0.1"]
    ratio = ["--masker.ratio=0.7"]
    return ["pretrain", RECIPES[kind], *root, *TINY, *SIZES[kind], *ratio, *BRIEF, "--out"]


def tuning(folder, kind):
    """The same for what comes after."""
    root = ["--data.root", str(folder / kind / "train"), "--data.held_out_share=0.1"]
    init = ["--init", str(folder / kind / "whole")]
    return ["finetune", TUNED[kind], *init, *root, *BRIEF, "--out"]


def stop_at(monkeypatch, number):
    """Let a training be asked to end at a step."""
    take = Stepper.take

    def stop(self, step, *rest):
        if step == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, step, *rest)

    monkeypatch.setattr(Stepper, "take", stop)


@pytest.mark.parametrize("kind", RECIPES)
@pytest.mark.parametrize("command", [pretraining, tuning])
def test_stopped_and_accumulated(place, tmp_path, monkeypatch, capsys, command, kind):
    command, whole = command(place, kind), place / kind / "whole"
    if command[0] == "finetune":
        whole = tmp_path / "whole"
        assert main([*command, str(whole)]) == 0
    stop_at(monkeypatch, 2)
    assert main([*command, str(tmp_path / "stopped")]) == 0
    assert "stopped and saved" in capsys.readouterr().out
    assert not same(whole, tmp_path / "stopped")
    monkeypatch.undo()
    assert main([*command, str(tmp_path / "stopped"), "--resume"]) == 0
    assert same(whole, tmp_path / "stopped")
    assert main([*command, str(tmp_path / "shared"), "--train.accumulate=2"]) == 0
    agree(whole, tmp_path / "shared")
    assert main([*command, str(tmp_path / "other"), "--train.drop_path=0"]) == 0
    assert not same(whole, tmp_path / "other")


def test_two_processes(place, tmp_path):
    torchrun(*pretraining(place, "films"), str(tmp_path / "shared"))
    agree(place / "films/whole", tmp_path / "shared")
