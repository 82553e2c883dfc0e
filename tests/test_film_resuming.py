"""Several clips of each film, on other processes or accumulated, give the same weights."""

import sys
from pathlib import Path

import numpy as np
import pytest

from maskedae.datasets.films.writing import write_film

sys.path.append(str(Path(__file__).parent))
from training import agree, maskedae, same, stopped, torchrun  # noqa: E402

TINY = ["--model.size=[4, 16, 16]", "--model.patch=[2, 8, 8]", "--model.width=32"]
TINY += ["--model.depth=2", "--model.heads=2", "--model.decoder_width=16"]
TINY += ["--model.decoder_depth=1", "--model.decoder_heads=2"]
BRIEF = ["--train.epochs=2", "--train.warmup_epochs=1", "--train.batch_size=8", "--train.workers=0"]
BRIEF += ["--train.device=cpu", "--data.repeats=2", "--train.save_every_steps=1"]
TUNED = ["--finetune.dropout=0.3", "--finetune.mixup=0.8", "--finetune.cutmix=1.0"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Films of two kinds, and an uninterrupted run on them."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    for number in range(24):
        film = rng.integers(0, 255, (12, 20, 24, 3), np.uint8)
        write_film(folder / f"films/train/{number % 2}/{number}.mp4", film, 10.0)
    root = ["--data.root", str(folder / "films")]
    maskedae("pretrain", "videomae_tiny_64px", *root, *TINY, *BRIEF, "--out", str(folder / "whole"))
    return folder, root


def test_pretraining(place):
    folder, root = place
    command = ["pretrain", "videomae_tiny_64px", *root, *TINY, *BRIEF, "--out"]
    stopped(2, *command, str(folder / "stopped"))
    maskedae(*command, str(folder / "stopped"), "--resume")
    assert same(folder / "whole", folder / "stopped")
    torchrun(*command, str(folder / "shared"), "--train.accumulate=2")
    agree(folder / "whole", folder / "shared")


def test_fine_tuning_with_mixing_and_dropout(place):
    folder, root = place
    command = ["finetune", "finetune_tiny_films", "--init", str(folder / "whole"), *root]
    command += [*BRIEF, *TUNED, "--out"]
    maskedae(*command, str(folder / "tuned"))
    torchrun(*command, str(folder / "tuned_shared"), "--train.accumulate=2")
    agree(folder / "tuned", folder / "tuned_shared")
