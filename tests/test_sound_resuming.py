"""Sounds that end early, augmented and mixed: the same weights, however a batch is divided."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

sys.path.append(str(Path(__file__).parent))
from training import agree, maskedae, same, stopped, torchrun  # noqa: E402

TINY = ["--model.size=[32, 32]", "--model.patch=[8, 8]", "--model.width=32", "--model.depth=2"]
TINY += ["--model.heads=2", "--model.decoder_width=16", "--model.decoder_depth=2"]
TINY += ["--model.decoder_heads=2", "--data.mels=32", "--data.grain=8", "--data.rate=8000"]
BRIEF = ["--train.epochs=2", "--train.warmup_epochs=1", "--train.batch_size=8", "--train.workers=0"]
BRIEF += ["--train.device=cpu", "--train.save_every_steps=1", "--data.roll=cyclic"]
BRIEF += ["--data.gain=true", "--data.noise=30", "--data.mask_time=8", "--data.mask_frequency=4"]
TUNED = ["--finetune.mixup=10", "--finetune.mix_share=0.5", "--data.balance=true"]
TUNED += ["--finetune.masker=maskedae.bands.BandMasker", "--finetune.masker.time=0.25"]
TUNED += ["--finetune.masker.frequency=0.25", "--train.samples_per_epoch=32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Sounds of two kinds and many lengths, and an uninterrupted run on them."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for number in range(24):
        path = folder / f"sounds/train/{int(number % 3 == 0)}/{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.standard_normal(int(rng.integers(900, 6000))) * 0.1, 8000)
    root = ["--data.root", str(folder / "sounds")]
    maskedae("pretrain", "audiomae_tiny_1s", *root, *TINY, *BRIEF, "--out", str(folder / "whole"))
    return folder, root


def test_pretraining_with_the_local_decoder(place):
    folder, root = place
    command = ["pretrain", "audiomae_tiny_1s", *root, *TINY, *BRIEF, "--out"]
    stopped(2, *command, str(folder / "stopped"))
    maskedae(*command, str(folder / "stopped"), "--resume")
    assert same(folder / "whole", folder / "stopped")
    torchrun(*command, str(folder / "shared"), "--train.accumulate=2")
    agree(folder / "whole", folder / "shared")


def test_fine_tuning_balanced_with_mixing_and_bands(place):
    folder, root = place
    command = ["finetune", "finetune_tiny_sounds", "--init", str(folder / "whole"), *root]
    command += [*BRIEF, *TUNED, "--out"]
    maskedae(*command, str(folder / "tuned"))
    stopped(3, *command, str(folder / "tuned_stopped"))
    maskedae(*command, str(folder / "tuned_stopped"), "--resume")
    assert same(folder / "tuned", folder / "tuned_stopped")
    torchrun(*command, str(folder / "tuned_shared"), "--train.accumulate=2")
    agree(folder / "tuned", folder / "tuned_shared")
