"""Fine-tuning once for every fold, with one command."""

import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

from maskedae.cli import main
from maskedae.datasets.images import Images
from maskedae.finetuning.folds import Fold, scored, summary
from maskedae.listing import Splits

sys.path.append(str(Path(__file__).parent))
from training import FINETUNE, ONE_THREAD, rows, same, stopped, write_pictures, write_recipe  # noqa: E402

SMALL = ["--model.size=[32,32]", "--model.patch=[8,8]", "--model.width=32", "--model.depth=1"]
SMALL = ["--model.name=mae_vit_tiny_patch16", *SMALL, "--model.heads=2", "--init=none"]


@dataclass(frozen=True)
class Folded(Images):
    """Pictures of which a third is held out, those of one fold."""

    fold: int | None = None

    @cached_property
    def splits(self):
        whole = Images(self.root, held_out_share=0.0).splits.train
        names = [Path(whole.path(index)).stem for index in range(len(whole))]
        held_out = np.array([int(name) // 2 % 3 == (self.fold or 1) - 1 for name in names])
        return Splits(whole.pick(~held_out), whole.pick(held_out))


@dataclass(frozen=True)
class Alike(Images):
    """Pictures that come in no folds, and do not say so."""

    fold: int | None = None


@pytest.fixture(autouse=True)
def modules_of_tests(monkeypatch):
    here = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setitem(ONE_THREAD, "PYTHONPATH", os.pathsep.join(filter(None, here)))


@pytest.fixture
def command(tmp_path):
    write_pictures(tmp_path / "pictures", count=48)
    data = {"class_path": "test_folds.Folded", "init_args": {"erasing": 0.25}}
    recipe = write_recipe(tmp_path / "r.yaml", {**FINETUNE, "data": data}, look_every_epochs=1)
    where = ["--data.root", str(tmp_path / "pictures"), "--out"]
    return ["finetune", str(recipe), *SMALL, *where]


def test_folds(command, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*command, str(out), "--folds", "3"]) == 0
    found = json.loads((out / "folds.json").read_text())
    assert found["score"] == "acc1" and [fold["fold"] for fold in found["folds"]] == [1, 2, 3]
    for fold in found["folds"]:
        scores = [row["acc1"] for row in rows(out / fold["run"]) if "acc1" in row]
        assert len(scores) == 5  # the first is of the weights before any step
        assert (fold["last"], fold["best"]) == (scores[-1], max(scores[1:]))
        assert scores[int(fold["best_epoch"])] == fold["best"]
    for what in ("last", "best"):
        values = [fold[what] for fold in found["folds"]]
        assert found[what] == {"mean": fmean(values), "spread": stdev(values)}
    said = capsys.readouterr().out
    assert "fold 3 of 3" in said and "mean" in said and "the one to report" in said
    held_out = [(out / f"fold-{n}/config.yaml").read_text().count(f"fold: {n}") for n in (1, 2, 3)]
    assert held_out == [1, 1, 1]
    assert main([*command, str(tmp_path / "alone"), "--data.fold=2"]) == 0
    assert same(out / "fold-2", tmp_path / "alone")
    assert main([*command, str(out), "--folds", "3"]) == 1
    assert "holds another run; --resume" in capsys.readouterr().err


def test_folds_go_on_where_they_were_stopped(command, tmp_path, capsys):
    assert main([*command, str(tmp_path / "whole"), "--folds=2"]) == 0
    resumed = [*command, str(tmp_path / "out"), "--folds=2", "--resume"]
    assert "stopped and saved" in stopped(7, *resumed)
    assert not (tmp_path / "out/folds.json").exists()
    assert main(resumed) == 0
    assert same(tmp_path / "whole/fold-1", tmp_path / "out/fold-1")
    assert same(tmp_path / "whole/fold-2", tmp_path / "out/fold-2")
    both = [(tmp_path / name / "folds.json").read_text() for name in ("whole", "out")]
    assert both[0] == both[1]


def test_what_is_overwritten_goes_on_with_what_is_new(command, tmp_path):
    assert main([*command, str(tmp_path / "whole"), "--folds=2"]) == 0
    command = [*command, str(tmp_path / "out"), "--folds=2"]
    assert main([*command, "--train.seed=1"]) == 0
    said = stopped(2, *command, "--overwrite")
    assert "the same command with --resume in place of --overwrite" in said
    assert main([*command, "--resume"]) == 0
    for fold in ("fold-1", "fold-2"):
        assert same(tmp_path / "whole" / fold, tmp_path / "out" / fold)


@pytest.mark.parametrize(
    ("folds", "place", "words"),
    [
        (2, "esc/audio", "data.fold is 1, and .*esc/audio come in no folds"),
        (4, "esc", "there is no fold 4; there are 1, 2, 3"),
    ],
)
def test_all_folds_are_opened_before_any_training(tmp_path, capsys, folds, place, words):
    (tmp_path / "esc/meta").mkdir(parents=True)
    names = [f"{fold}-{label}.wav" for fold in (1, 2, 3) for label in "ab"]
    lines = [f"{name},{name[0]},{int('b' in name)},{name[2]}" for name in names]
    head = "filename,fold,target,category"
    (tmp_path / "esc/meta/esc50.csv").write_text("\n".join([head, *lines]))
    for name in names:
        path = tmp_path / "esc/audio" / name[2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        (tmp_path / "esc/audio" / name).touch()
    root = ["--init=none", "--data.root", str(tmp_path / place), "--out", str(tmp_path / "out")]
    recipe = ["finetune", "finetune_tiny_sounds", "--model.name=audiomae_vit_small_patch16"]
    assert main([*recipe, *root, f"--folds={folds}"]) == 1
    assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_folds_that_make_no_sense(command, tmp_path, capsys):
    for extra, words in [
        (["--folds=0"], "1 or more"),
        (["--folds=2", "--data.fold=1"], "leave that one out"),
        (["--folds=2", "--data=maskedae.datasets.images.Images"], "knows no folds"),
        (["--folds=2", "--data=test_folds.Alike"], "data.fold=2 hold out the same samples"),
        (
            ["--folds=2", "--data=test_folds.Alike", "--data.held_out_share=0"],
            "data.fold=1: nothing with labels",
        ),
    ]:
        assert main([*command, str(tmp_path / "out"), *extra]) == 1
        assert words in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out/config.yaml").touch()
    assert main([*command, str(tmp_path / "out"), "--folds=2"]) == 1
    assert "holds a run of its own" in capsys.readouterr().err


def test_the_best_epoch_is_one_of_training(tmp_path):
    run = tmp_path / "fold-1"
    run.mkdir()
    found = [(0, 1.0), (4, 0.5), (8, 0.75), (12, None), (16, 0.625)]
    lines = [json.dumps({"step": step, "epoch": step / 4, "map": score}) for step, score in found]
    (run / "metrics.jsonl").write_text("\n".join(lines))
    assert scored(tmp_path, 1) == ("map", Fold(1, "fold-1", last=0.625, best=0.75, best_epoch=2))
    assert summary(tmp_path, 1)["last"] == {"mean": 0.625, "spread": 0.0}
    (run / "metrics.jsonl").write_text(lines[0])
    with pytest.raises(ValueError, match="fold-1 has no score: nothing with labels was held out"):
        scored(tmp_path, 1)
