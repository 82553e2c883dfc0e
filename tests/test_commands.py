"""Every command, as a user types it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from PIL import Image

from maskedae import create_model, list_models
from maskedae.cli import COMMANDS, main
from maskedae.datasets import digits
from maskedae.masking import RandomMasker
from maskedae.models.layouts.mae_official import OFFICIAL
from maskedae.recipe import (
    find_recipe,
    make,
    parse,
    read_recipe,
    recipe_names,
    recipe_parser,
    task_of,
)
from maskedae.reconstruction import imagine_row, note

sys.path.append(str(Path(__file__).parent))
from training import write_pictures, write_recipe  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run with labels."""
    folder = tmp_path_factory.mktemp("run")
    write_pictures(folder / "pictures")
    recipe = write_recipe(folder / "tiny.yaml", epochs=1)
    data = ["--data.root", str(folder / "pictures")]
    assert main(["pretrain", str(recipe), *data, "--out", str(folder / "run")]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    return folder


def test_usage(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in COMMANDS)
    assert main(["pretrian"]) == 2
    assert "did you mean pretrain" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    try:
        status = main([name, "--help"])
    except SystemExit as left:
        status = left.code
    assert status == 0 and "usage" in capsys.readouterr().out.lower()


def test_models(capsys):
    assert main(["models", "*mae_*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    base = next(line for line in lines if line.startswith("mae_vit_base_patch16")).split()
    assert "85.8" in base and "111.9" in base
    assert all(any(line.startswith(name) for line in lines) for name in list_models("*mae_*"))
    assert main(["models", "resnet*"]) == 1


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_reads_and_states_command_cost_and_result(name):
    path = find_recipe(name)
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert all(any(f"# {word}:" in line for line in header) for word in ("Command", "Cost"))
    assert any("# Result:" in line for line in header)
    node = yaml.safe_load(path.read_text())
    task = task_of(node)
    model = read_recipe(path, task).get("model", {}).get("name", "mae_vit_tiny_patch16")
    parser = recipe_parser(model, "maskedae", task)
    settings = parse(parser, path, [] if task == "pretrain" else ["--init=none"])
    with torch.device("meta"):
        values = {k: v for k, v in vars(settings.model).items() if k != "name"}
        assert create_model(model, **values).noise_size > 0
    assert make(parser, settings).train.epochs > 0


def test_recipes_are_listed_printed_and_copied(tmp_path, capsys):
    assert main(["recipes"]) == 0
    said = capsys.readouterr().out
    assert {"quickstart", "mae_tiny_32px", "mae_small_folder"} <= set(said.split())
    assert all(f"mae_vit_{size}_imagenet" in said for size in ("base", "large", "huge"))
    copy = tmp_path / "mine.yaml"
    assert main(["recipes", "quickstart", "--copy", str(copy)]) == 0
    assert copy.read_text() == find_recipe("quickstart").read_text()
    assert main(["recipes", "quickstart", "--copy", str(copy)]) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["pretrain", str(copy), "--print_config"]) == 0


def test_reconstruct(run, tmp_path, capsys):
    out = tmp_path / "grid.png"
    (run / "pictures/a/broken.png").write_bytes(b"")
    command = ["reconstruct", str(run / "run"), str(run / "pictures/a"), "--out", str(out)]
    assert main([*command, "--most", "40"]) == 0
    said = capsys.readouterr().out
    assert "broken.png: empty file" in said and str(out) in said
    with Image.open(out) as picture:
        wide = picture.width
    assert main([*command, "--mask_ratio", "0.5", "--most=2"]) == 0
    with Image.open(out) as picture:
        assert picture.width < wide
    (run / "pictures/a/broken.png").unlink()


def test_reconstruct_with_other_masks(run, tmp_path, capsys):
    out = tmp_path / "grid.png"
    drawn = np.zeros((40, 40), np.uint8)
    drawn[:20] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    command = ["reconstruct", str(run / "run"), str(run / "pictures/a/000.png"), "--out", str(out)]
    mask = ["--masker=maskedae.pictures.picture_masker", f"--masker.path={tmp_path / 'mask.png'}"]
    assert main([*command, *mask]) == 0
    assert main([*command, "--masker=BlockMasker", "--masker.smallest=2"]) == 0
    assert main([*command, "--oracle"]) == 0
    assert main([*command, "--masker=GridMasker"]) == 0
    assert main([*command, "--masker=GridMasker", "--mask_ratio=0.5"]) == 1
    assert "has no ratio" in capsys.readouterr().err


def test_encoder_only_files_are_refused_with_the_reason(run, tmp_path, tiny, capsys):
    encoder = create_model("mae_vit_base_patch16", **tiny).encoder
    state = OFFICIAL.to_theirs({f"encoder.{k}": v for k, v in encoder.state_dict().items()})
    torch.save({"model": state}, tmp_path / "encoder.pth")
    assert main(["reconstruct", str(tmp_path / "encoder.pth"), str(run / "pictures")]) == 1
    assert "holds an encoder only" in capsys.readouterr().err


def test_pictures_never_show_hidden_pixels(tiny):
    """Changing what is hidden changes the original in the figure, and nothing else but the loss."""
    model = create_model("mae_vit_base_patch16", **tiny).eval()
    image = torch.randn(1, 3, 32, 32)
    first = imagine_row(model, image, "x", [RandomMasker(0.5)], seed=1)
    other = torch.where(first[1].signal.isnan(), torch.randn(3, 32, 32), image)
    second = imagine_row(model, other, "x", [RandomMasker(0.5)], seed=1)
    assert not first[0].signal.equal(second[0].signal)
    for a, b in zip(first[1:], second[1:], strict=True):
        assert a.signal.nan_to_num().equal(b.signal.nan_to_num())
    leaking = imagine_row(model, other, "x", [RandomMasker(0.5)], seed=1, oracle=True)
    assert not leaking[2].signal.equal(second[2].signal)
    assert "TRUE" in note(model, oracle=True) and "not used" in note(model, oracle=False)


def test_probe(run, tmp_path, capsys):
    (run / "pictures/a/broken.png").write_bytes(b"")
    command = ["probe", str(run / "run"), "--data.root", str(run / "pictures"), "--seeds", "2"]
    assert main([*command, "--out", str(tmp_path / "probe"), "--k", "1", "500"]) == 0
    said = capsys.readouterr().out
    assert "broken.png: empty file" in said and str(tmp_path / "probe") in said
    node = json.loads((tmp_path / "probe/scores.json").read_text())
    assert list(node["candidates"]) == ["trained", "random weights", "bare values"]
    for found in node["candidates"].values():
        scores = found["scores"]
        assert {"kNN, k = 1", "linear probe", "k-means ACC", "RankMe", "dispersion"} <= set(scores)
        assert len(scores["low-shot, 5 per class"]["draws"]) == 2
        assert scores["linear probe"]["value"] == found["linear"]["chosen"]["held_out"]
    assert len(node["candidates"]["trained"]["linear"]["grid"]) == 26
    assert node["skipped"][0]["reason"] == "empty file" and len(node["skipped"]) == 1
    again = [*command, "--out", str(tmp_path / "probe")]
    assert main([*again, "--layers", "0"]) == 0 and "broken.png" in capsys.readouterr().out
    assert main([*again, "--pool", "class"]) == 1
    assert "features of other pools" in capsys.readouterr().err
    Image.new("RGB", (40, 40)).save(run / "pictures/a/broken.png")
    assert main(again) == 1
    assert "features of other files; --overwrite" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0 and "broken.png" not in capsys.readouterr().out
    (run / "pictures/a/broken.png").unlink()
    with Image.open(tmp_path / "probe/bars.png") as picture:
        assert min(picture.size) > 400


def test_probe_without_labels(run, tmp_path, capsys):
    flat = ["--data.root", str(run / "pictures/a"), "--out", str(tmp_path)]
    assert main(["probe", str(run / "run"), *flat]) == 0
    said = capsys.readouterr().out
    assert "only scores without labels" in said and "RankMe" in said and "kNN" not in said


def test_quickstart_s_digits(tmp_path):
    digits.write_pictures(tmp_path)
    train, val = (list((tmp_path / part).rglob("*.png")) for part in ("train", "val"))
    assert (len(train), len(val)) == (1437, 360)
    with Image.open(train[0]) as picture:
        assert picture.size == (32, 32) and picture.mode == "L"
        assert np.ptp(np.array(picture)) > 200
