"""Training a detector as a user does it: from a checkpoint, from scratch, killed, shared out."""

import json
import sys
from pathlib import Path

import pytest
import torch

import maskedae
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.cli import main
from maskedae.detection.detector import Detector
from maskedae.zoo import create_model

sys.path.append(str(Path(__file__).parents[1]))
from boxing import CLASSES, DETECT, write_boxes  # noqa: E402
from training import agree, killed, rows, same, torchrun, weights, write_recipe  # noqa: E402
from training import maskedae as command_line  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures with boxes, and a run on them from scratch."""
    folder = tmp_path_factory.mktemp("detection")
    write_boxes(folder / "boxes")
    recipe = write_recipe(folder / "tiny.yaml", DETECT)
    data = ["--data.root", str(folder / "boxes")]
    command = ["detect", str(recipe), "--init", "none", *data, "--out"]
    (folder / "said.txt").write_text(command_line(*command, str(folder / "whole")))
    return folder, command


def test_a_run(place):
    folder, _ = place
    said = (folder / "said.txt").read_text()
    assert "parts     encoder" in said and "canvas    64 x 64" in said
    counts = json.loads((folder / "boxes/train.json").read_text())["annotations"]
    reds = sum(one["category_id"] == 3 for one in counts)
    assert f"boxes of each: red {reds}, blue {len(counts) - reds}" in said
    assert "pictures without boxes" in said and "a tenth from epoch 3 on" in said
    found = rows(folder / "whole")
    assert [row["epoch"] for row in found if "AP" in row] == [0, 2, 4]
    learned = next(row for row in found if "loss" in row)
    parts = [learned[name] for name in ("objectness", "proposal", "class", "box")]
    assert learned["loss"] == pytest.approx(sum(parts), rel=1e-4)
    assert len(list((folder / "whole/pictures").glob("*.png"))) == 3
    model = maskedae.load(folder / "whole")
    assert isinstance(model, Detector) and model.classes == CLASSES
    rates = [row["lr"] for row in found if "lr" in row]
    assert rates[-1] == pytest.approx(max(rates) / 10)
    fresh = create_model("mae_vit_tiny_patch16", **{**SMALL, "size": (64, 64)}).state_dict()
    name = "encoder.positions.table"  # which pre-training leaves as they are
    assert not torch.equal(weights(folder / "whole")[name], fresh[name])


def test_a_run_repeats_from_its_own_recipe(place, tmp_path):
    folder, _ = place
    again = ["detect", str(folder / "whole/config.yaml"), "--out", str(tmp_path / "again")]
    assert main(again) == 0
    assert same(folder / "whole", tmp_path / "again")


def test_killed_at_random_moments(place):
    folder, command = place
    out = folder / "killed"
    extra = [*command, str(out), "--resume", "--train.save_every_steps=1"]
    assert killed(5, out, extra) >= 2
    assert same(folder / "whole", out)
    first, second = (
        [row.get("AP") for row in rows(run) if "AP" in row] for run in (folder / "whole", out)
    )
    assert first == second


def test_a_batch_may_be_divided(place, tmp_path):
    """Accumulated or on two processes, with pictures of any sizes, some without boxes."""
    folder, command = place
    brief = ["--train.epochs=1", "--train.warmup_epochs=0", "--train.log_every_steps=1"]
    assert main([*command, str(tmp_path / "whole"), *brief]) == 0
    assert main([*command, str(tmp_path / "parts"), *brief, "--train.accumulate=2"]) == 0
    torchrun(*command, str(tmp_path / "shared"), *brief)
    agree(tmp_path / "parts", tmp_path / "shared")
    whole, *others = (rows(tmp_path / run) for run in ("whole", "parts", "shared"))
    for other in others:
        for first, second in zip(whole, other, strict=True):
            for name in {"loss", "grad_norm", "objectness", "AP"} & first.keys():
                assert first[name] == pytest.approx(second[name], rel=1e-3), name


SMALL = {"size": (32, 48), "patch": (8, 8), "width": 32, "depth": 2, "heads": 2}
BRIEF = ["--train.epochs=1", "--train.warmup_epochs=0", "--train.samples_per_epoch=4"]


@pytest.fixture
def started(place, tmp_path, capsys):
    """Trains for a step at a learning rate of 0; returns what was said, and the weights."""

    def start(init, *more):
        out = tmp_path / f"from-{init.name}"
        rest = ["--init", str(init), "--out", str(out), "--train.base_lr=0", *BRIEF, *more]
        assert main([*place[1][:2], *place[1][4:6], *rest]) == 0
        return capsys.readouterr().out, weights(out)

    return start


def test_from_an_encoder_of_another_size(started, tmp_path):
    model = create_model("mae_vit_tiny_patch16", **SMALL, decoder_depth=1)
    model.save_pretrained(tmp_path / "mae")
    said, found = started(tmp_path / "mae")
    assert "100.0% of the encoder's parameters filled" in said
    assert "resized: encoder.positions from (4, 6) to (8, 8)" in said
    name = "encoder.blocks.0.attn.qkv.weight"
    assert torch.equal(found[name], model.state_dict()[name])
    assert maskedae.load(tmp_path / "from-mae").encoder.size == (64, 64)


def test_from_a_classifier(started, tmp_path):
    encoder = create_model("mae_vit_tiny_patch16", **SMALL).encoder
    classifier = Classifier(encoder, Answers("class", ("a", "b")))
    classifier.save_pretrained(tmp_path / "classifier")
    _, found = started(tmp_path / "classifier")
    name = "blocks.1.mlp.fc1.weight"
    assert torch.equal(found[f"encoder.{name}"], encoder.state_dict()[name])
    assert not [name for name in found if name.startswith("encoder.head")]


def test_from_a_hierarchical_encoder(place, tmp_path, capsys):
    settings = {"size": (64, 64), "width": 16, "stages": (1, 1, 1, 1), "decoder_depth": 1}
    create_model("hiera_tiny_224", **settings).save_pretrained(tmp_path / "hiera")
    mine = {**DETECT, "model": {"name": "hiera_tiny_224", "size": [64, 64]}}
    recipe = write_recipe(tmp_path / "hiera.yaml", mine)
    rest = ["--init", str(tmp_path / "hiera"), "--out", str(tmp_path / "run"), *BRIEF]
    assert main(["detect", str(recipe), *place[1][4:6], *rest]) == 0
    assert "100.0% of the encoder's parameters filled" in capsys.readouterr().out


def test_a_detector_goes_on_where_classes_are_the_same(place, started, tmp_path):
    folder, _ = place
    before = weights(folder / "whole")
    said, found = started(folder / "whole")
    assert f"{len(before)} of {len(before)} tensors of a detector go on" in said
    assert all(torch.equal(found[name], before[name]) for name in before)


def test_a_detector_lends_all_but_the_names_where_they_are_not(place, started, tmp_path):
    folder, _ = place
    other = write_boxes(tmp_path / "other")
    labels = other / "train.json"
    labels.write_text(labels.read_text().replace('"red"', '"green"'))
    (other / "val.json").unlink()
    before = weights(folder / "whole")
    _, found = started(folder / "whole", "--data.root", str(other))
    fresh = [name for name in before if not torch.equal(found[name], before[name])]
    assert fresh and all("_predictor." in name for name in fresh)


def test_masks(tmp_path):
    write_boxes(tmp_path / "boxes", masks=True)
    recipe = write_recipe(tmp_path / "tiny.yaml", DETECT, look_every_epochs=1)
    command = ["detect", str(recipe), "--init", "none", "--data.root", str(tmp_path / "boxes")]
    command += [*BRIEF, "--out", str(tmp_path / "run"), "--detect.masks=true"]
    assert main([*command, "--data.masks=true"]) == 0
    found = rows(tmp_path / "run")
    assert {"AP", "mask AP"} <= found[-1].keys() | found[-2].keys()
    assert any("mask" in row for row in found if "loss" in row)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--train.compile=true", "pictures of one size"),
        ("--detect.masks=true", "--data.masks=true"),
        ("--model.size=[60,64]", "would fit"),
        ("--train.drops=[3,4]", "shares of the training"),
        ("--train.min_lr=1e-6", "set one"),
        ("--model.size=[4,64,64]", "pictures"),
    ],
)
def test_what_cannot_be_is_refused_in_words(place, tmp_path, capsys, option, reason):
    _, command = place
    assert main([*command, str(tmp_path / "run"), option]) == 1
    said = capsys.readouterr().err
    assert reason in said and "Traceback" not in said


def test_other_commands_point_to_the_right_one(place, tmp_path, capsys):
    folder, command = place
    recipe, run = command[1], str(folder / "whole")
    boxes = ["--data.root", str(folder / "boxes/train")]
    for other in ("pretrain", "finetune", "bench"):
        assert main([other, recipe, "--init", "none"]) == 1
        assert f"maskedae detect {Path(recipe).stem}" in capsys.readouterr().err
    assert main(["detect", "finetune_tiny_32px", "--init", "none"]) == 1
    assert "maskedae finetune" in capsys.readouterr().err
    assert main(["finetune", "finetune_small_folder", "--init", run, *boxes]) == 1
    assert "holds a detector" in capsys.readouterr().err
    features = str(tmp_path / "features.npz")
    for arguments in (["probe", run], ["embed", run, "--out", features], ["retrieve", run]):
        assert main([*arguments, *boxes]) == 1
        assert "holds a detector" in capsys.readouterr().err
    assert main(["reconstruct", run, str(folder / "boxes/train")]) == 1
    assert "detector" in capsys.readouterr().err
