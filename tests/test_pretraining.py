"""What a user meets while training: bad files, bad numbers, a full disk, wrong words."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image

from maskedae import checkpoints, launching
from maskedae.cli import main
from maskedae.pretraining import Pretraining

sys.path.append(str(Path(__file__).parent))
from training import weights, write_pictures, write_recipe  # noqa: E402


@pytest.fixture
def place(tmp_path):
    write_pictures(tmp_path / "pictures")
    recipe = write_recipe(tmp_path / "tiny.yaml")
    data = ["--data.root", str(tmp_path / "pictures")]
    return tmp_path, ["pretrain", str(recipe), *data, "--out", str(tmp_path / "run")]


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_folder(place, capsys):
    folder, command = place
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "lr        0.000313 = 0.01 x 8 / 256" in said and "ETA" in said
    run = folder / "run"
    logged = [row for row in rows(run) if "loss" in row]
    for name in ("baseline", "lr", "samples_per_second", "wait", "skipped", "grad_norm"):
        assert all(name in row for row in logged)
    assert [row["epoch"] for row in rows(run) if "knn" in row] == [0, 2, 4]
    assert len(list((run / "pictures").glob("*.png"))) == 3
    assert list((run / "curves").rglob("events*"))
    # The stored config runs as it is, to the same weights.
    again = ["pretrain", str(run / "config.yaml"), "--out", str(folder / "again")]
    assert main(again) == 0
    a, b = weights(run), weights(folder / "again")
    assert all(a[name].equal(b[name]) for name in a)


def test_bad_files_are_replaced_named_and_counted(place, capsys):
    folder, command = place
    for number in range(3):
        (folder / f"pictures/a/bad{number}.png").write_bytes(b"not a picture")
    assert main([*command, "--data.max_bad_share=0.2"]) == 0
    lines = (folder / "run/skipped.jsonl").read_text().splitlines()
    skipped = [json.loads(line) for line in lines]
    named = {Path(row["file"]).name for row in skipped}
    assert named <= {"bad0.png", "bad1.png", "bad2.png"} and len(named) == len(skipped) > 0
    assert all(row["reason"] for row in skipped)
    assert [row for row in rows(folder / "run") if "loss" in row][-1]["skipped"] == len(named)
    assert f"skipped {len(named)}" in capsys.readouterr().out


def test_too_many_bad_files_end_the_run_with_examples(place, capsys):
    folder, command = place
    for path in sorted((folder / "pictures/a").glob("*.png"))[:20]:
        path.write_bytes(b"")
    assert main(command) == 1
    message = capsys.readouterr().err
    assert "data.max_bad_share allows 0.05" in message and "empty" in message
    assert "maskedae doctor" in message
    assert weights(folder / "run")  # what was learned until then is saved


def test_no_readable_file_ends_the_run(place, capsys):
    folder, command = place
    for path in folder.glob("pictures/*/*.png"):
        path.write_bytes(b"")
    assert main([*command, "--data.max_bad_share=1"]) == 1
    assert "no readable sample" in capsys.readouterr().err


def spoil(monkeypatch, first, last):
    """Make the loss of some steps not a number."""
    loss, calls = Pretraining.loss, [0]

    def spoiled(self, model, signal, batch):
        value, metrics = loss(self, model, signal, batch)
        calls[0] += 1
        return value * (torch.nan if first <= calls[0] <= last else 1), metrics

    monkeypatch.setattr(Pretraining, "loss", spoiled)


def test_steps_that_are_not_finite_are_skipped_and_counted(place, monkeypatch):
    folder, command = place
    spoil(monkeypatch, 4, 6)
    assert main(command) == 0
    last = [row for row in rows(folder / "run") if "loss" in row][-1]
    assert last["nonfinite"] == 3
    assert all(tensor.isfinite().all() for tensor in weights(folder / "run").values())


def test_a_step_that_is_not_finite_elsewhere_is_skipped_here_too(place, monkeypatch):
    """What each process would decide for itself would part their weights."""
    folder, command = place
    reduce, calls = Accelerator.reduce, [0]

    def spoiled(self, value, how):
        calls[0] += 1  # twice a step: the loss, and what is told of it
        return reduce(self, value, how) * (torch.nan if calls[0] == 7 else 1)

    monkeypatch.setattr(Accelerator, "reduce", spoiled)
    assert main(command) == 0
    assert [row for row in rows(folder / "run") if "loss" in row][-1]["nonfinite"] == 1


def test_processes_that_found_different_checkpoints_end(place, monkeypatch, capsys):
    folder, command = place
    monkeypatch.setattr(launching, "gather_object", lambda steps: [*steps, 5])
    assert main(command) == 1
    assert (
        "of different steps" in capsys.readouterr().err
        and not (folder / "run/metrics.jsonl").exists()
    )


def test_too_many_of_them_in_a_row_end_the_run(place, monkeypatch, capsys):
    folder, command = place
    spoil(monkeypatch, 12, 999)
    assert main([*command, "--train.max_nonfinite=4"]) == 1
    message = capsys.readouterr().err
    assert "not finite 4 steps in a row, up to step 15" in message
    assert ".png" in message and "checkpoints/last" in message
    state = json.loads((folder / "run/checkpoints/last/state.json").read_text())
    assert state["step"] == 10 and state["nonfinite"] == 0


def test_a_full_disk_loses_nothing(place, monkeypatch, capsys):
    folder, command = place
    write, calls = checkpoints.save_file, [0]

    def full(*args, **kwargs):
        calls[0] += 1
        if calls[0] > 3:
            raise OSError(28, "No space left on device")
        write(*args, **kwargs)

    monkeypatch.setattr(checkpoints, "save_file", full)
    assert main(command) == 1
    assert "No space left" in capsys.readouterr().err
    assert json.loads((folder / "run/checkpoints/last/state.json").read_text())["step"] == 5
    monkeypatch.undo()
    AcceleratorState._reset_state(reset_partial_state=True)
    assert main([*command, "--resume"]) == 0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--train.epoch=3"], "did you mean train.epochs"),
        (["--data.rot=x"], "did you mean root"),
        (["--masker.ratios=0.5"], "did you mean ratio"),
        (["--model.sise=32"], "did you mean model.size"),
        (["--model.name=mae_vit_tyni_patch16"], "did you mean mae_vit_tiny_patch16"),
        (["--train.batch_size=999"], "batch_size=32 would fit"),
        (["--train.accumulate=3"], "does not divide into 1 processes x 3"),
        (["--masker.ratio=0.99"], "leaves 0 of 16 patches visible"),
        (["--model.patch=[7, 7]"], r"do not tile a signal of (32, 32); (35, 35) would fit"),
        (["--resume", "--overwrite"], "give one of them"),
    ],
)
def test_wrong_words_are_told_before_anything_is_written(place, capsys, extra, message):
    folder, command = place
    assert main([*command, *extra]) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "run/config.yaml").exists()


def test_empty_and_wrong_folders(place, capsys):
    folder, command = place
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts/a.txt").write_text("text")
    for root in ("empty", "texts", "nothing"):
        assert main([*command, "--data.root", str(folder / root)]) == 1
        assert str(folder / root) in capsys.readouterr().err
    assert not (folder / "run").exists() or not (folder / "run/config.yaml").exists()


def test_one_class_only_is_told(place, capsys):
    folder, command = place
    for path in (folder / "pictures/b").glob("*.png"):
        path.unlink()
    assert main([*command, "--train.epochs=1"]) == 0
    assert "no kNN score" in capsys.readouterr().out


def test_other_channels_and_sizes_go_through(tmp_path):
    for number in range(16):
        path = tmp_path / f"pictures/{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGBA", (50 + number, 40), (number, 2 * number, 3 * number, 200)).save(path)
    for channels in (1, 4):
        recipe = write_recipe(tmp_path / "tiny.yaml", epochs=1)
        command = ["pretrain", str(recipe), "--data.root", str(tmp_path / "pictures")]
        command += ["--model.size=[24, 40]", f"--model.channels={channels}"]
        assert main([*command, "--out", str(tmp_path / f"run{channels}")]) == 0
        AcceleratorState._reset_state(reset_partial_state=True)


def test_print_config_runs_nothing(place, capsys):
    folder, command = place
    assert main([*command, "--print_config", "--train.epochs=7"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["train"]["epochs"] == 7
    assert not (folder / "run").exists()


def test_compiled_in_one_graph(place):
    """No graph breaks, no recompilation: either would raise here."""
    import shutil

    if not shutil.which("c++") and not shutil.which("g++"):
        pytest.skip("compiling for a CPU needs a C++ compiler")
    folder, command = place
    torch.compiler.reset()  # what others have compiled would be compiled again
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert main([*command, "--train.compile=true", "--train.epochs=1"]) == 0
    assert main([*command[:-1], str(folder / "plain"), "--train.epochs=1"]) == 0
    a, b = weights(folder / "run"), weights(folder / "plain")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "extra", [["--train.batch_size=0"], ["--train.save_every_steps=0"], ["--data.eval_crop=2"]]
)
def test_overwriting_with_settings_that_do_not_fit_keeps_the_run(place, extra):
    folder, command = place
    assert main([*command, "--train.epochs=1"]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    before = weights(folder / "run")
    assert main([*command, "--overwrite", *extra]) == 1
    after = weights(folder / "run")
    assert all(before[name].equal(after[name]) for name in before)


def test_a_folder_that_was_only_begun_is_taken_up(place):
    folder, command = place
    (folder / "run").mkdir()
    (folder / "run/.config.yaml.draft").write_text("model:")
    assert main([*command, "--resume", "--train.epochs=1"]) == 0
    assert (folder / "run/skipped.jsonl").read_text() == ""


def test_files_of_other_names_cannot_be_resumed(place, capsys):
    folder, command = place
    assert main([*command, "--train.epochs=1"]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    first = sorted((folder / "pictures/a").glob("*.png"))[0]
    first.rename(first.with_name("other.png"))
    assert main([*command, "--train.epochs=1", "--resume"]) == 1
    assert "other names" in capsys.readouterr().err


def test_bad_held_out_files_are_named_and_stop_nothing(tmp_path):
    write_pictures(tmp_path / "pictures/train")
    (tmp_path / "pictures/val/a").mkdir(parents=True)
    (tmp_path / "pictures/val/a/bad.png").write_text("text")
    recipe = write_recipe(tmp_path / "tiny.yaml", epochs=1)
    command = ["pretrain", str(recipe), "--data.root", str(tmp_path / "pictures"), "--out"]
    assert main([*command, str(tmp_path / "run")]) == 0
    assert "bad.png" in (tmp_path / "run/skipped.jsonl").read_text()


def test_the_best_checkpoint_exists_and_follows_the_score(place):
    folder, command = place
    assert main(command) == 0
    best = folder / "run/checkpoints/best/state.json"
    assert json.loads(best.read_text())["best"] is not None


def test_unknown_keys_in_a_recipe_are_errors_with_the_nearest(place, capsys):
    folder, command = place
    recipe = folder / "tiny.yaml"
    recipe.write_text(recipe.read_text().replace("epochs: 4", "epochz: 4"))
    assert main(command) == 1
    assert "did you mean train.epochs" in capsys.readouterr().err
    recipe.write_text("model: [")
    assert main(command) == 1
    assert "is not YAML" in capsys.readouterr().err


def test_half_precision_on_a_cpu(place, capsys):
    folder, command = place
    assert main([*command, "--train.precision=fp16"]) == 1
    assert "fp16 needs a GPU" in capsys.readouterr().err
    AcceleratorState._reset_state(reset_partial_state=True)
    assert main([*command, "--train.precision=bf16", "--train.epochs=1"]) == 0
    assert all(tensor.dtype is torch.float32 for tensor in weights(folder / "run").values())
