"""Fine-tuning as a user runs it: from a checkpoint, from scratch, killed, shared out, scored."""

import csv
import json
import os
import sys
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

import maskedae
from maskedae.checkpoints import write_weights
from maskedae.classifier import Classifier
from maskedae.cli import main

sys.path.append(str(Path(__file__).parent))
from training import (  # noqa: E402
    FINETUNE,
    killed,
    rows,
    same,
    stopped,
    torchrun,
    weights,
    write_pictures,
    write_recipe,
)
from training import maskedae as command_line  # noqa: E402

SMALL = ["--model.size=[32,32]", "--model.patch=[8,8]", "--model.width=32", "--model.depth=2"]
SMALL = ["--model.name=mae_vit_tiny_patch16", *SMALL, "--model.heads=2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures, a pre-trained encoder and a fine-tuned classifier, with an average of weights."""
    folder = tmp_path_factory.mktemp("finetuning")
    write_pictures(folder / "pictures")
    data = ["--data.root", str(folder / "pictures")]
    first = write_recipe(folder / "pretrain.yaml", epochs=1)
    second = write_recipe(folder / "finetune.yaml", FINETUNE, ema=0.9)
    command_line("pretrain", str(first), *data, "--out", str(folder / "pre"))
    command = ["finetune", str(second), "--init", str(folder / "pre"), *data, "--out"]
    (folder / "said.txt").write_text(command_line(*command, str(folder / "whole")))
    return folder, command


def test_a_run(place, tmp_path):
    folder, _ = place
    said = (folder / "said.txt").read_text()
    assert "tensors matched" in said and "2 classes of" in said and "order" in said
    assert "always answering" in said and "warning" not in said
    scored = [row for row in rows(folder / "whole") if "acc1" in row]
    assert [row["epoch"] for row in scored] == [0, 2, 4]
    assert scored[-1]["acc1"] == 1.0  # noise of two brightnesses is easy to tell apart
    assert len(list((folder / "whole/pictures").glob("*.png"))) == 3
    again = ["finetune", str(folder / "whole/config.yaml"), "--out", str(tmp_path / "again")]
    assert main(again) == 0
    assert same(folder / "whole", tmp_path / "again")


def test_killed_at_random_moments(place):
    folder, command = place
    out = folder / "killed"
    extra = [*command, str(out), "--resume", "--train.save_every_steps=1"]
    assert killed(3, out, extra) >= 5
    assert same(folder / "whole", out)


def test_a_run_goes_on_without_what_it_started_from(place, tmp_path):
    folder, command = place
    out = tmp_path / "run"
    moved = folder / "moved"
    interrupted = [*command, str(out), "--resume"]
    stopped(12, *interrupted)
    (folder / "pre").rename(moved)
    try:
        again = ["finetune", str(out / "config.yaml"), "--out", str(out), "--resume"]
        assert main(again) == 0
        assert same(folder / "whole", out)
        assert main([*command, str(tmp_path / "new")]) == 1
    finally:
        moved.rename(folder / "pre")


@pytest.mark.parametrize("norm", [[], ["--finetune.pool=class", "--finetune.batch_norm=true"]])
def test_two_processes_do_as_one(place, tmp_path, norm):
    """Samples are mixed in pairs that do not depend on how a batch is divided."""
    folder, command = place
    if not norm:
        one, two = folder / "whole", tmp_path / "two"
        torchrun(*command, str(two))
    else:  # batch norm does see how it is divided, as published
        one, two = tmp_path / "one", tmp_path / "two"
        assert main([*command, str(one), *norm, "--train.accumulate=2"]) == 0
        torchrun(*command, str(two), *norm)
    first, second = weights(one), weights(two)
    trained = [
        name for name in first if not name.endswith(("running_mean", "running_var", "tracked"))
    ]
    for name in trained:
        torch.testing.assert_close(second[name], first[name], rtol=1e-5, atol=1e-6, msg=name)
    if not norm:
        pairs = zip(rows(one), rows(two), strict=True)
        assert all(a.get("acc1") == b.get("acc1") for a, b in pairs)


def test_scores_are_those_of_the_weights_that_are_saved(place, tmp_path):
    """Also with batch norm, of which every process has statistics of its own."""
    folder, command = place
    norm = ["--finetune.pool=class", "--finetune.batch_norm=true", "--train.ema=null"]
    torchrun(*command, str(tmp_path / "run"), *norm, "--train.base_lr=0.2")
    assert main(["evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "e")]) == 0
    found = json.loads((tmp_path / "e/scores.json").read_text())["scores"]
    last = [row for row in rows(tmp_path / "run") if "acc1" in row][-1]
    assert found["val_loss"] == pytest.approx(last["val_loss"], rel=1e-5)


def test_mixing_takes_pairs(place, tmp_path, capsys):
    _, command = place
    assert main([*command, str(tmp_path / "run"), "--train.batch_size=9"]) == 1
    assert "does not divide into pairs" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_evaluation_counts_every_sample_once(place, tmp_path):
    folder, _ = place
    (folder / "pictures/a/broken.png").write_bytes(b"no picture")
    command = ["evaluate", str(folder / "whole"), "--split=train", "--out"]
    assert main([*command, str(tmp_path / "one")]) == 0
    said = torchrun(*command, str(tmp_path / "two"))
    assert said.count("broken.png") == 1
    one, two = ((tmp_path / name / "predictions.csv").read_text() for name in ("one", "two"))
    assert one == two
    (folder / "pictures/a/broken.png").unlink()
    lines = list(csv.DictReader(one.splitlines()))
    paths = [line["path"] for line in lines]
    assert len(paths) == len(set(paths)) and len(paths) % 2 == 1
    scores = json.loads((tmp_path / "one/scores.json").read_text())
    right = sum(line["truth"] == line["answer1"] for line in lines)
    assert scores["scores"]["acc1"] == pytest.approx(right / len(lines))
    assert scores["samples"] == len(lines)
    assert sum(map(sum, scores["confusion"])) == len(lines)
    assert (tmp_path / "one/answers.png").stat().st_size > 1000


def test_predict(place, tmp_path, capsys):
    folder, _ = place
    files = [str(folder / "pictures/a/000.png"), str(folder / "pictures/b/001.png")]
    (tmp_path / "bad.png").write_bytes(b"")
    command = ["predict", str(folder / "whole"), *files, str(tmp_path / "bad.png")]
    assert main([*command, "--json", str(tmp_path / "out.jsonl")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{files[0]}: a ") and said[1].startswith(f"{files[1]}: b ")
    assert said[2].startswith("skipped") and "empty file" in said[2]
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sum(written[0]["answers"].values()) == pytest.approx(1)
    assert main(["predict", str(folder / "pre"), files[0]]) == 1
    assert "maskedae finetune RECIPE --init" in capsys.readouterr().err


def test_what_is_saved_is_the_average(place, tmp_path):
    folder, command = place
    out = tmp_path / "run"
    step = ["--train.epochs=1", "--train.batch_size=40", "--train.warmup_epochs=0"]
    assert main([*command, str(out), *step]) == 0
    memory, saved = load_file(out / "checkpoints/last/optimizer.safetensors"), weights(out)
    raw = {k.removeprefix("raw."): v for k, v in memory.items() if k.startswith("raw.")}
    assert raw.keys() == saved.keys()
    name = "encoder.blocks.0.mlp.fc1.weight"
    before = weights(folder / "pre")[name]
    assert not raw[name].equal(before)
    torch.testing.assert_close(saved[name], 0.9 * before + 0.1 * raw[name])
    assert main([*command, str(tmp_path / "plain"), *step, "--train.ema=null"]) == 0
    assert raw[name].equal(weights(tmp_path / "plain")[name])


def test_from_scratch_and_to_another_size(place, tmp_path, capsys):
    folder, command = place
    recipe = write_recipe(tmp_path / "f.yaml", FINETUNE, epochs=1)
    data = ["--data.root", str(folder / "pictures")]
    start = ["finetune", str(recipe), *data, "--out"]
    assert main([*start, str(tmp_path / "scratch"), "--init=none", *SMALL]) == 0
    assert main([*start, str(tmp_path / "none"), "--init=none"]) == 1
    assert "names no model" in capsys.readouterr().err
    assert main([*start, str(tmp_path / "none")]) == 1
    assert "--init none for scratch" in capsys.readouterr().err
    wider = [*start, str(tmp_path / "wide"), "--init", str(folder / "pre")]
    assert main([*wider, "--model.size=[32,48]"]) == 0
    assert "from (4, 4) to (4, 6)" in capsys.readouterr().out
    model = maskedae.load(tmp_path / "wide")
    assert isinstance(model, Classifier) and model.encoder.grid == (4, 6)
    assert model(torch.randn(1, 3, 32, 48)).shape == (1, 2)


def test_words_are_not_taken_for_files(place, tmp_path, monkeypatch):
    """A folder named like a setting changes nothing; places in a recipe become absolute."""
    folder, _ = place
    (tmp_path / "class").mkdir()
    (tmp_path / "none").mkdir()
    (tmp_path / "pictures").symlink_to(folder / "pictures")
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tmp_path / "f.yaml", FINETUNE, epochs=1)
    start = ["finetune", str(recipe), "--init=none", "--data.root=pictures", *SMALL]
    assert main([*start, "--out=run"]) == 0
    stored = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert stored["init"] == "none" and stored["data"]["init_args"]["labels"] == "class"
    assert stored["data"]["init_args"]["root"] == str(tmp_path / "pictures")


def test_a_file_does_not_choose_the_code_that_reads_data(place, tmp_path, capsys):
    folder, _ = place
    (tmp_path / "trap.py").write_text("raise SystemExit('trapped')")
    model = maskedae.load(folder / "whole")
    recipe = {**model.recipe, "data": {"class_path": "trap.Data"}}
    write_weights(tmp_path / "model.safetensors", model.state_dict(), recipe)
    sys.path.insert(0, str(tmp_path))
    try:
        picture = str(folder / "pictures/a/000.png")
        assert main(["predict", str(tmp_path / "model.safetensors"), picture]) == 0
    finally:
        sys.path.remove(str(tmp_path))
    assert "not opened at a checkpoint's word" in capsys.readouterr().err
    assert "trap" not in sys.modules


def test_the_recipe_of_another_model_is_refused(place, tmp_path, capsys):
    folder, _ = place
    command = ["finetune", "mae_finetune_vit_base_imagenet", "--init", str(folder / "pre")]
    assert main([*command, "--data.root", str(folder / "pictures")]) == 1
    assert "--model.name=mae_vit_tiny_patch16" in capsys.readouterr().err
    assert main(["pretrain", "finetune_tiny_32px"]) == 1
    assert "maskedae finetune finetune_tiny_32px" in capsys.readouterr().err


def test_frozen_trains_nothing_but_the_head(place, tmp_path):
    folder, command = place
    probe = ["--finetune.frozen=true", "--finetune.pool=class", "--finetune.batch_norm=true"]
    probe += ["--train.optimizer=lars", "--train.ema=null", "--train.epochs=10"]
    probe += ["--train.layer_decay=null"]
    probe += ["--finetune.mixup=0", "--finetune.cutmix=0", "--finetune.smoothing=0"]
    out = tmp_path / "probe"
    assert main([*command, str(out), *probe, "--train.base_lr=100"]) == 0
    before, after = weights(folder / "pre"), weights(out)
    kept = [k for k in before if k.startswith("encoder.")]
    assert kept and all(after[k].equal(before[k]) for k in kept)
    losses = [row["val_loss"] for row in rows(out) if "acc1" in row]
    assert losses[-1] < losses[0] - 0.05
    assert after["encoder.head.norm.running_var"].ne(1).all()
    model = maskedae.load(out)
    assert model.encoder.head.batch_norm and model.encoder.head.pool == "class"


def test_a_head_goes_on_where_classes_are_the_same(place, tmp_path, capsys):
    folder, _ = place
    recipe = write_recipe(tmp_path / "f.yaml", FINETUNE, epochs=1, base_lr=0.0)
    start = ["finetune", str(recipe), "--init", str(folder / "whole"), "--data.root"]
    assert main([*start, str(folder / "pictures"), "--out", str(tmp_path / "same")]) == 0
    assert "its head goes on" in capsys.readouterr().out
    assert same(folder / "whole", tmp_path / "same")
    write_pictures(tmp_path / "others")
    (tmp_path / "others/b").rename(tmp_path / "others/c")
    assert main([*start, str(tmp_path / "others"), "--out", str(tmp_path / "other")]) == 0
    head = weights(tmp_path / "other")["encoder.head.linear.weight"]
    assert head.abs().max() < 1e-3


def write_list(folder, path, label):
    lines = [f"{picture}\t{label(picture)}" for picture in sorted(folder.rglob("*.png"))]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_several_classes_at_a_time(place, tmp_path):
    folder, _ = place
    label = {"a": "dark | noise", "b": "bright;noise"}
    listed = write_list(folder / "pictures", tmp_path / "l.txt", lambda p: label[p.parent.name])
    recipe = write_recipe(tmp_path / "f.yaml", FINETUNE, epochs=6)
    command = ["finetune", str(recipe), "--init", str(folder / "pre"), "--data.root", str(listed)]
    command += ["--data.val_root", str(listed)]  # the share held out depends on absolute paths
    assert main([*command, "--data.labels=classes", "--out", str(tmp_path / "run")]) == 0
    scores = [row["map"] for row in rows(tmp_path / "run") if "map" in row]
    losses = [row["val_loss"] for row in rows(tmp_path / "run") if "map" in row]
    assert scores[-1] == 1 and losses[-1] < 0.6 < 0.69 < losses[0]
    model = maskedae.load(tmp_path / "run")
    assert model.answers.classes == ("bright", "dark", "noise") and model.answers.kind == "classes"
    assert main(["evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "e")]) == 0
    line = next(csv.DictReader((tmp_path / "e/predictions.csv").open()))
    assert set(line["truth"].split("|")) in ({"dark", "noise"}, {"bright", "noise"})
    assert 0 <= float(line["p(dark)"]) <= 1


def test_values(place, tmp_path, capsys):
    folder, _ = place
    listed = write_list(
        folder / "pictures", tmp_path / "l.txt", lambda p: 1000 + 200 * (p.parent.name == "b")
    )
    recipe = write_recipe(tmp_path / "f.yaml", FINETUNE, epochs=6)
    command = ["finetune", str(recipe), "--init", str(folder / "pre"), "--data.root", str(listed)]
    command += ["--data.val_root", str(listed)]
    command += ["--data.labels=value", "--finetune.mixup=0", "--finetune.cutmix=0", "--out"]
    assert main([*command, str(tmp_path / "run")]) == 0
    scores = [row for row in rows(tmp_path / "run") if "r2" in row]
    assert scores[-1]["r2"] > 0.8 and scores[-1]["mae"] < 40 and scores[0]["r2"] < 0.2
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(folder / "pictures/b/001.png")]) == 0
    assert 1100 < float(capsys.readouterr().out.rsplit(" ", 1)[1]) < 1300
    listed.write_text(listed.read_text().replace("1000", "many"))
    assert main([*command, str(tmp_path / "bad")]) == 1
    assert "'many' is no number" in capsys.readouterr().err


def test_statistics_come_with_the_checkpoint(place, tmp_path, capsys):
    folder, _ = place
    recipe = write_recipe(tmp_path / "p.yaml", epochs=1)
    out = str(tmp_path / "pre")
    seen = ["--data.root", str(folder / "pictures"), "--data.mean=[0.1]", "--data.std=[0.4]"]
    assert main(["pretrain", str(recipe), *seen, "--out", out]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    second = write_recipe(tmp_path / "f.yaml", FINETUNE)
    capsys.readouterr()
    assert main(["finetune", str(second), "--init", out, "--print_config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["data"]["init_args"]["mean"] == [0.1] and shown["model"]["width"] == 32
    other = ["finetune", str(second), "--init", out, "--data.mean=[0.3]", "--print_config"]
    assert main(other) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["init_args"]["mean"] == [0.3]


def test_classes_are_matched_by_name(place, tmp_path, capsys):
    folder, _ = place
    some = tmp_path / "some"
    (some / "b").mkdir(parents=True)
    (some / "zebra").mkdir()
    for number in (1, 3):
        picture = Image.open(folder / f"pictures/b/{number:03d}.png")
        picture.save(some / f"b/{number}.png")
        picture.save(some / f"zebra/{number}.png")
    command = ["evaluate", str(folder / "whole"), "--split=train", "--data.root", str(some)]
    assert main([*command, "--data.held_out_share=0"]) == 1
    assert "does not know 1 of 2 classes, zebra" in capsys.readouterr().err
    listed = tmp_path / "list.txt"
    listed.write_text(f"{some}/b/1.png\tb\n{some}/b/3.png\tb\n")
    command[-1] = str(listed)
    assert main([*command, "--data.held_out_share=0"]) == 0
    assert " 2 " in capsys.readouterr().out


def test_one_class_is_an_alarm(place, tmp_path, capsys):
    folder, command = place
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{p}\ta\n" for p in sorted((folder / "pictures/a").iterdir())))
    alone = [*command, str(tmp_path / "run"), "--data.root", str(listed)]
    assert main(alone) == 1
    assert "are of one class, a" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_all_of_a_folder_that_is_named_is_scored(place, tmp_path, capsys):
    folder, command = place
    write_pictures(tmp_path / "other", count=10)
    root = ["--data.root", str(tmp_path / "other")]
    assert main(["evaluate", str(folder / "whole"), *root, "--out", str(tmp_path / "e")]) == 0
    assert json.loads((tmp_path / "e/scores.json").read_text())["samples"] == 10
    assert f"10 samples, from {tmp_path}/other/a/000.png" in capsys.readouterr().out
    assert main(["evaluate", str(folder / "whole"), *root, "--out", str(tmp_path / "e")]) == 1
    assert "holds scores; --overwrite" in capsys.readouterr().err
    held = ["--data.val_root", str(folder / "pictures"), "--train.epochs=1"]
    assert main([*command, str(tmp_path / "run"), *held]) == 0
    assert main(["evaluate", str(tmp_path / "run"), *root]) == 0
    assert "10 samples" in capsys.readouterr().out


def test_an_encoder_for_other_channels(place, tmp_path, capsys):
    _, command = place
    out = tmp_path / "gray"
    assert main([*command, str(out), "--model.channels=1", "--train.epochs=1"]) == 0
    said = capsys.readouterr().out
    assert "100.0% of the encoder" in said and "decoder" not in said
    model = maskedae.load(out)
    assert not model.training and model(torch.randn(1, 1, 32, 32)).shape == (1, 2)


def test_odd_names_of_classes(place, tmp_path, capsys):
    folder, _ = place
    for old, new in (("a", b"a$^$b"), ("b", b"c\xe9t")):
        (tmp_path / "odd").mkdir(exist_ok=True)
        os.symlink(folder / "pictures" / old, os.fsencode(tmp_path / "odd") + b"/" + new)
    recipe = write_recipe(tmp_path / "f.yaml", FINETUNE, epochs=1)
    start = ["finetune", str(recipe), "--init", str(folder / "pre"), "--out", str(tmp_path / "run")]
    assert main([*start, "--data.root", str(tmp_path / "odd")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "e")]) == 0
    assert main(["predict", str(tmp_path / "run"), str(folder / "pictures/a/000.png")]) == 0


def test_weights_that_are_no_numbers_are_refused(place, tmp_path, capsys):
    folder, _ = place
    model = maskedae.load(folder / "whole")
    state = dict(model.state_dict())
    state["encoder.embed.bias"] = state["encoder.embed.bias"] * torch.nan
    write_weights(tmp_path / "model.safetensors", state, model.recipe)
    assert main(["predict", str(tmp_path / "model.safetensors"), "x.png"]) == 1
    assert "not finite, in encoder.embed.bias" in capsys.readouterr().err
