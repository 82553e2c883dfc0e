"""The quick start with sound: every objective trained in turn, and told beside chance."""

import pytest

from maskedae.commands import miniature
from maskedae.commands.pretrain import main as pretrain
from maskedae.commands.quickstart import main

SMALL = ["--train.epochs=1", "--train.batch_size=5", "--train.workers=0", "--train.trackers=[]"]
SMALL += ["--model.width=16", "--model.depth=1", "--model.heads=2", "--train.look_every_epochs=1"]
SMALL += ["--model.decoder_width=8", "--model.decoder_heads=2", "--model.audio_size=[64,64]"]


def test_every_objective_in_turn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(miniature, "TRAIN", 5)
    monkeypatch.setattr(miniature, "HELD_OUT", 11)
    given, out = [], tmp_path / "out"

    def train(arguments):
        given.append(arguments)
        return pretrain([*arguments, *SMALL])

    assert miniature.run_ablation(out, train) == 0
    assert [arguments[0] for arguments in given] == ["quickstart_av"] * 3 + ["quickstart_av_stage2"]
    assert given[3][-2:] == ["--teacher", str(out / "3-intra")]
    watched = [set(rows(out / step.folder)) & {"inter", "intra"} for step in miniature.STEPS]
    assert watched == [set(), {"inter"}, {"inter", "intra"}, {"inter", "intra"}]
    table = capsys.readouterr().out.split("11 held-out films")[1]
    assert "9.1%" in table and "45.5%" in table  # by chance
    assert all(step.what in table for step in miniature.STEPS) and "random weights" in table


def rows(folder):
    """Names of all numbers that a run wrote."""
    return {name for row in miniature.Run(folder).metrics() for name in row}


def test_a_training_that_was_stopped_ends_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(miniature, "TRAIN", 5)
    monkeypatch.setattr(miniature, "HELD_OUT", 11)
    assert miniature.run_ablation(tmp_path / "out", lambda _: 3) == 3
    assert "held-out films found" not in capsys.readouterr().out


def test_nothing_is_replaced(tmp_path):
    with pytest.raises(ValueError, match="another --out keeps it"):
        main(["av", "--out", str(tmp_path)])
