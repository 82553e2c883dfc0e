"""A training that is killed, stopped or moved to other processes ends with the same weights."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from maskedae.cli import main
from maskedae.stepping import Stepper

sys.path.append(str(Path(__file__).parent))
from training import (  # noqa: E402
    killed,
    maskedae,
    rows,
    same,
    stopped,
    torchrun,
    weights,
    write_pictures,
    write_recipe,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures and an uninterrupted run on them."""
    folder = tmp_path_factory.mktemp("runs")
    write_pictures(folder / "pictures")
    recipe = write_recipe(folder / "tiny.yaml")
    command = ["pretrain", str(recipe), "--data.root", str(folder / "pictures"), "--out"]
    maskedae(*command, str(folder / "whole"))
    return folder, command


def test_killed_at_random_moments(place):
    folder, command = place
    out = folder / "killed"
    extra = [*command, str(out), "--resume", "--train.save_every_steps=1"]
    assert killed(7, out, extra) >= 10
    assert same(folder / "whole", out)
    steps = [row["step"] for row in rows(out) if "loss" in row]
    assert steps == sorted(set(steps)) and steps[-1] == 24
    assert not list((out / "checkpoints").glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_end_in_good_order(place, tmp_path, monkeypatch, capsys, number):
    folder, command = place
    take = Stepper.take

    def interrupt(self, step, *rest):
        if step == 11:
            os.kill(os.getpid(), number)
        return take(self, step, *rest)

    monkeypatch.setattr(Stepper, "take", interrupt)
    assert main([*command, str(tmp_path / "run")]) == 0
    assert f"to go on: maskedae pretrain {tmp_path}/run/config.yaml" in capsys.readouterr().out
    state = json.loads((tmp_path / "run/checkpoints/last/state.json").read_text())
    assert state["step"] in (12, 13) and not state["finished"]
    monkeypatch.undo()
    again = ["pretrain", str(tmp_path / "run/config.yaml"), "--out", str(tmp_path / "run")]
    assert main([*again, "--resume"]) == 0
    assert same(folder / "whole", tmp_path / "run")


def test_resumed_on_two_processes_and_with_accumulation(place):
    """Order of data is the same, so weights agree but for the rounding of other sums."""
    folder, command = place
    out = folder / "moved"
    stopped(9, *command, str(out))
    assert json.loads((out / "checkpoints/last/state.json").read_text())["step"] in (10, 11)
    torchrun(*command, str(out), "--resume", "--train.accumulate=2")
    first, second = weights(folder / "whole"), weights(out)
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=1e-5, atol=1e-6, msg=name)
    assert [r["step"] for r in rows(out) if "loss" in r][-1] == 24


def test_readers_in_other_processes_change_nothing(place, tmp_path):
    folder, command = place
    assert main([*command, str(tmp_path / "run"), "--train.workers=2"]) == 0
    assert same(folder / "whole", tmp_path / "run")


def test_a_finished_run_resumes_to_itself(place, capsys):
    folder, command = place
    before = (folder / "whole/metrics.jsonl").read_bytes()
    assert main([*command, str(folder / "whole"), "--resume"]) == 0
    assert "resumed   at step 24 of 24" in capsys.readouterr().out
    assert (folder / "whole/metrics.jsonl").read_bytes() == before


def test_another_run_is_never_lost(place, tmp_path, capsys):
    folder, command = place
    before = weights(folder / "whole")
    assert main([*command, str(folder / "whole")]) == 1
    assert "holds another run; --resume" in capsys.readouterr().err
    assert main([*command, str(folder / "whole"), "--resume", "--train.base_lr=0.02"]) == 1
    assert "train.base_lr: 0.01 then, 0.02 now" in capsys.readouterr().err
    after = weights(folder / "whole")
    assert all(before[name].equal(after[name]) for name in before)
    (tmp_path / "mine.txt").write_text("not a run")
    assert main([*command, str(tmp_path)]) == 1
    assert "files that are not a run" in capsys.readouterr().err


def test_overwriting_begins_anew(place, tmp_path):
    folder, command = place
    out = tmp_path / "run"
    assert main([*command, str(out), "--train.epochs=1", "--train.seed=5"]) == 0
    assert main([*command, str(out), "--overwrite"]) == 0
    assert same(folder / "whole", out)
    assert rows(out)[0]["step"] == 0 and rows(out)[-1]["step"] == 24


def test_other_data_cannot_be_resumed(place, tmp_path, capsys):
    _, command = place
    write_pictures(tmp_path / "fewer", count=40)
    out = tmp_path / "run"
    assert main([*command, str(out), "--train.epochs=1"]) == 0
    command = [*command[:2], "--data.root", str(tmp_path / "fewer"), "--out", str(out)]
    assert main([*command, "--resume", "--train.epochs=1"]) == 1
    assert "was begun on" in capsys.readouterr().err
