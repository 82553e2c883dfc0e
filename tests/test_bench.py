import json

import numpy as np
import pytest
from PIL import Image

import maskedae.bench
from maskedae.bench import flops
from maskedae.cli import main
from maskedae.recipe import find_recipe, make, model_of, parse, recipe_parser

TINY = [
    *("--model.width=32", "--model.depth=1", "--model.heads=2", "--model.decoder_width=16"),
    *("--model.decoder_depth=1", "--model.decoder_heads=2", "--train.device=cpu"),
    *("--train.precision=fp32", "--train.workers=0", "--train.batch_size=8"),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Small matrices and little time, in a folder in which nothing should be left."""
    monkeypatch.setitem(maskedae.bench.SQUARES, "cpu", (128, 256))
    monkeypatch.setattr(maskedae.bench, "BUDGET", 0.05)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def bench(tmp_path, *options, status=0):
    """Run the command; the numbers it wrote."""
    file = tmp_path / "bench.json"
    assert main(["bench", "quickstart", *TINY, "--json", str(file), *options]) == status
    return json.loads(file.read_text()) if not status else None


def pictures(folder, count=12):
    folder.mkdir()
    for number in range(count):
        pixels = np.full((40, 40), 20 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return str(folder)


def test_numbers_agree_with_each_other(tmp_path, capsys):
    facts = bench(tmp_path, "--steps", "1")
    assert facts["batch"] == 8 and facts["steps"] == 1 and facts["processes"] == 1
    assert facts["samples_per_second"] == pytest.approx(8 * facts["steps_per_second"])
    achieved = facts["training_flops"] * facts["samples_per_second"]
    assert facts["flops_per_second"] == pytest.approx(achieved)
    share = achieved / facts["peak_flops_per_second"]
    assert facts["share_of_peak"] == pytest.approx(share)
    assert 0 < share < 1.5
    assert facts["peak_memory"] > 2**20
    told = capsys.readouterr().out
    for word in ("samples/s", "GFLOPs a sample", "of peak", "GiB", "8 x 1 accumulated", "fp32"):
        assert word in told
    assert "verdict" not in told and "data_samples_per_second" not in facts


def test_a_step_is_the_accumulated_one(tmp_path):
    facts = bench(tmp_path, "--train.accumulate=4", "--steps", "2")
    assert (facts["batch"], facts["accumulate"], facts["steps"]) == (2, 4, 2)
    assert facts["samples_per_second"] == pytest.approx(8 * facts["steps_per_second"])
    achieved = facts["training_flops"] * facts["samples_per_second"]
    assert facts["flops_per_second"] == pytest.approx(achieved)


def test_without_a_number_of_steps_there_are_at_least_three(tmp_path):
    assert bench(tmp_path)["steps"] >= 3


@pytest.mark.parametrize(("options", "batch"), [((), 64), (("--batch", "3"), 3)])
def test_recipes_for_large_machines_are_tried_on_small_ones(tmp_path, options, batch):
    facts = bench(tmp_path, "--train.batch_size=4096", "--steps", "1", *options)
    assert facts["batch"] == batch


def test_data_are_timed_if_there_are_any(tmp_path, capsys):
    root = pictures(tmp_path / "pictures")
    facts = bench(tmp_path, "--data.root", root, "--steps", "2")
    data, model = facts["data_samples_per_second"], facts["samples_per_second"]
    assert facts["workers"] == 0
    assert data > 0 and facts["fed_samples_per_second"] > 0
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert f"bound by the {'model' if model < data else 'data'}" in verdict


def test_an_unreadable_sample_stops_nothing_and_nothing_but_them_is_told(tmp_path, capsys):
    options = ["--data.root", pictures(tmp_path / "pictures"), "--steps", "1"]
    broken = b"\x89PNG\r\n\x1a\n"
    (tmp_path / "pictures" / "0.png").write_bytes(broken)
    assert bench(tmp_path, *options)["data_samples_per_second"] > 0
    for file in (tmp_path / "pictures").iterdir():
        file.write_bytes(broken)
    bench(tmp_path, *options, status=1)
    assert "no readable sample" in capsys.readouterr().err


def test_the_slower_one_bounds_training():
    from maskedae.commands.bench import data_lines

    facts = {"workers": 2, "data_samples_per_second": 1240.0, "fed_samples_per_second": 300.0}
    told = data_lines(facts | {"samples_per_second": 310.0})
    assert told.endswith("the data feed 1,240 samples/s, the model takes 310: bound by the model")
    assert "bound by the data" in data_lines(facts | {"samples_per_second": 5000.0})


def test_nothing_is_left_behind(tmp_path):
    bench(tmp_path, "--data.root", pictures(tmp_path / "pictures"), "--steps", "1")
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--batch", "0"], "at least 1"),
        (["--steps", "-1"], "at least 1"),
        (["--train.bath_size=8"], "train.batch_size"),
        (["--data.root", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_told(tmp_path, capsys, options, reason):
    bench(tmp_path, "--steps=1", *options, status=1)
    assert reason in capsys.readouterr().err


def test_help_tells_the_options(capsys):
    assert main(["bench", "--help"]) == 0
    assert "--data.root DIR" in capsys.readouterr().out


def test_backward_costs_twice_as_much_as_forward():
    """All but the patch embedding, which hands no gradient to the pixels."""
    path = find_recipe("quickstart")
    parser = recipe_parser(model_of(path, TINY), "bench")
    recipe = make(parser, parse(parser, path, TINY))
    forward, training = flops(recipe)
    visible, values, width = 64 // 4, 4 * 4, 32
    assert training == 3 * forward - 2 * visible * values * width
