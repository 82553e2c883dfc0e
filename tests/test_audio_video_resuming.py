"""Sound and picture, some of it absent: the same weights, stopped or not, on one process or two."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from maskedae import pretraining
from maskedae.cli import main
from maskedae.datasets.films.writing import write_film
from maskedae.datasets.scenes import RATE, SOUND_RATE, frames, scene, waveform
from maskedae.stepping import Stepper

sys.path.append(str(Path(__file__).parent))
from training import agree, rows, same, torchrun  # noqa: E402

TINY = ["--model.audio_size=[48, 32]", "--model.audio_patch=[16, 16]", "--data.mels=32"]
TINY += ["--model.video_size=[4, 16, 16]", "--model.video_patch=[2, 8, 8]", "--model.width=32"]
TINY += ["--model.depth=1", "--model.heads=2", "--model.decoder_width=16"]
TINY += ["--model.decoder_depth=1", "--model.decoder_heads=2"]
BRIEF = ["--train.epochs=2", "--train.warmup_epochs=1", "--train.batch_size=8", "--train.workers=0"]
BRIEF += ["--train.device=cpu", "--train.save_every_steps=1", "--train.trackers=[]"]
BRIEF += ["--train.drop_path=0.2", "--data.held_out_share=0", "--data.repeats=2"]
BRIEF += ["--train.log_every_steps=1", "--data.noise=30"]
TUNED = ["--finetune.dropout=0.3", "--finetune.mixup=0.8", "--data.mask_time=8", "--data.mels=32"]


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Films, every fourth without sound, and sounds without pictures; a run on them."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(16):
        drawn = scene(number)
        path = folder / f"films/{number % 2}/{number:02d}.mp4"
        if number % 4 == 1:
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path.with_suffix(".wav"), waveform(drawn), SOUND_RATE)
        else:
            sound = None if number % 4 == 2 else (waveform(drawn), SOUND_RATE)
            write_film(path, frames(drawn), RATE, sound=sound)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "PICTURES", 1)
        assert main([*first(folder), str(folder / "whole")]) == 0
        yield folder


def first(folder):
    """A command of the first stage, but for where its run is to be."""
    root = ["--data.root", str(folder / "films")]
    return ["pretrain", "mavil_tiny_64px", *root, *TINY, *BRIEF, "--out"]


def second(folder):
    """The same of the second, twice."""
    root = ["--data.root", str(folder / "films"), "--teacher", str(folder / "whole")]
    return [
        "pretrain",
        "mavil_tiny_64px_stage2",
        *root,
        *TINY,
        *BRIEF,
        "--iterations",
        "2",
        "--out",
    ]


def tuning(folder):
    """The same of fine-tuning."""
    init = ["--init", str(folder / "whole"), "--data.root", str(folder / "films")]
    return ["finetune", "finetune_tiny_audio_video", *init, *BRIEF, *TUNED, "--out"]


def stop_at(monkeypatch, number):
    """Let a training be asked to end at a step, counted over all trainings of a command."""
    take, taken = Stepper.take, []

    def stop(self, step, *rest):
        taken.append(step)
        if len(taken) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, step, *rest)

    monkeypatch.setattr(Stepper, "take", stop)


def go_on(monkeypatch, capsys, command, out, number):
    """Stop a command at a step, and let it go on."""
    with monkeypatch.context() as patch:
        stop_at(patch, number)
        assert main([*command, str(out)]) == 0
        assert "stopped and saved" in capsys.readouterr().out
    assert main([*command, str(out), "--resume"]) == 0


def test_the_first_stage_stopped(place, tmp_path, monkeypatch, capsys):
    go_on(monkeypatch, capsys, first(place), tmp_path / "stopped", 2)
    assert same(place / "whole", tmp_path / "stopped")
    steps = [row for row in rows(place / "whole") if "loss" in row]
    assert len(steps) == 4 and all(np.isfinite(row["loss"]) for row in steps)


def test_the_first_stage_on_two_processes(place, tmp_path):
    torchrun(*first(place), str(tmp_path / "shared"))
    agree(place / "whole", tmp_path / "shared")
    names = ("loss", "audio", "video", "inter", "intra", "baseline")
    one, two = (
        [[row[name] for name in names] for row in rows(run) if "loss" in row]
        for run in (place / "whole", tmp_path / "shared")
    )
    assert np.allclose(one, two, rtol=1e-5)


def test_iterations_stopped_and_on_two_processes(place, tmp_path, monkeypatch, capsys):
    assert main([*second(place), str(tmp_path / "whole")]) == 0
    # In the second of four steps of the second iteration.
    go_on(monkeypatch, capsys, second(place), tmp_path / "stopped", 6)
    torchrun(*second(place), str(tmp_path / "shared"))
    for folder in ("iteration-1", "iteration-2"):
        assert same(tmp_path / "whole" / folder, tmp_path / "stopped" / folder)
        agree(tmp_path / "whole" / folder, tmp_path / "shared" / folder)


def test_fine_tuning_stopped_and_accumulated(place, tmp_path, monkeypatch, capsys):
    command = tuning(place)
    assert main([*command, str(tmp_path / "whole")]) == 0
    go_on(monkeypatch, capsys, command, tmp_path / "stopped", 2)
    assert same(tmp_path / "whole", tmp_path / "stopped")
    assert main([*command, str(tmp_path / "shared"), "--train.accumulate=2"]) == 0
    agree(tmp_path / "whole", tmp_path / "shared")
    assert main([*command, str(tmp_path / "other"), "--finetune.mixup=0"]) == 0
    assert not same(tmp_path / "whole", tmp_path / "other")
