"""A training that draws some samples more often, as a user runs it."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from maskedae.cli import main
from maskedae.data import Source, Split
from maskedae.datasets.images import Images
from maskedae.loading import Samples

sys.path.append(str(Path(__file__).parent))
from training import (  # noqa: E402
    ONE_THREAD,
    RECIPE,
    same,
    stopped,
    torchrun,
    weights,
    write_pictures,
    write_recipe,
)


class Weighted(Images):
    """Pictures of which the first are drawn most often."""

    def source(self, split: Split, shape: tuple[int, ...], augment: bool) -> Source | None:
        source = super().source(split, shape, augment)
        if split == "train":
            first = float(os.environ.get("FIRST", "20"))
            source.weights = torch.linspace(first, 0, len(source), dtype=torch.float64)
        return source


@pytest.fixture
def command(tmp_path, monkeypatch):
    here = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setitem(ONE_THREAD, "PYTHONPATH", os.pathsep.join(filter(None, here)))
    write_pictures(tmp_path / "pictures")
    data = {"class_path": "test_weighted_training.Weighted", "init_args": {"held_out_share": 0.1}}
    recipe = {**RECIPE, "data": data}
    path = write_recipe(tmp_path / "r.yaml", recipe, samples_per_epoch=24, look_every_epochs=4)
    return ["pretrain", str(path), "--data.root", str(tmp_path / "pictures"), "--out"]


def test_weights_and_epochs_of_a_given_length(command, tmp_path, monkeypatch, capsys):
    drawn = list[tuple[int, int]]()
    read = Samples.__getitems__
    monkeypatch.setattr(Samples, "__getitems__", lambda s, d: drawn.extend(d) or read(s, d))
    assert main([*command, str(tmp_path / "whole")]) == 0
    state = json.loads((tmp_path / "whole/checkpoints/last/state.json").read_text())
    assert state["step"] == 4 * 24 // 8 and len(set(drawn)) == len(drawn) == 96
    counts = Counter(index for _, index in drawn)
    half = state["samples_of_source"] // 2
    assert sum(count for index, count in counts.items() if index < half) > 60
    stopped(5, *command, str(tmp_path / "out"))
    monkeypatch.setenv("FIRST", "30")
    assert main([*command, str(tmp_path / "out"), "--resume"]) == 1
    assert "or weights" in capsys.readouterr().err
    monkeypatch.delenv("FIRST")
    assert main([*command, str(tmp_path / "out"), "--resume"]) == 0
    assert same(tmp_path / "whole", tmp_path / "out")


def test_without_replacement_on_two_processes(command, tmp_path):
    once = ["--train.replacement=false", "--train.samples_per_epoch=32"]
    assert main([*command, str(tmp_path / "whole"), *once]) == 0
    torchrun(*command, str(tmp_path / "two"), *once)
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "two")
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-5, atol=1e-6, msg=name)
