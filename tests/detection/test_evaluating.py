"""A trained detector at work, as a user sees it: its scores, what it finds on pictures."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskedae.cli import main
from maskedae.detection.scoring import average_precision
from maskedae.viewing import load_with_report

sys.path.append(str(Path(__file__).parents[1]))
from boxing import DETECT, write_boxes  # noqa: E402
from training import rows, torchrun, write_recipe  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures with boxes and masks, and a detector that has learned a little of them."""
    folder = tmp_path_factory.mktemp("evaluating")
    write_boxes(folder / "boxes", masks=True)
    recipe = write_recipe(folder / "tiny.yaml", DETECT, epochs=16, look_every_epochs=16)
    command = ["detect", str(recipe), "--init", "none", "--data.root", str(folder / "boxes")]
    command += ["--data.masks=true", "--detect.masks=true", "--train.drop_path=0"]
    assert main([*command, "--out", str(folder / "run")]) == 0
    return folder


def test_scores_are_those_of_the_run_and_of_the_file_that_is_written(place, tmp_path, capsys):
    last = next(row for row in reversed(rows(place / "run")) if "AP" in row)
    assert main(["evaluate", str(place / "run"), "--out", str(tmp_path / "e")]) == 0
    said = capsys.readouterr().out
    assert "class" in said and "red" in said and "nan" not in said and "-1" not in said
    facts = json.loads((tmp_path / "e/scores.json").read_text())
    assert facts["pictures"] == 4 and facts["skipped"] == 0
    for name, value in facts["scores"].items():
        assert value == pytest.approx(last[name], abs=1e-9), name
    assert {"AP", "AP50", "mask AP"} <= facts["scores"].keys() and "APl" not in facts["scores"]
    assert {*facts["by_class"]["red"]} == {"there", "boxes", "masks"}
    truth = json.loads((place / "boxes/val.json").read_text())
    found = json.loads((tmp_path / "e/predictions.json").read_text())
    again = average_precision(truth, found)
    assert again.whole["AP"] == pytest.approx(last["AP"], abs=1e-6)
    with Image.open(tmp_path / "e/found.png") as picture:
        assert picture.width > 900
    assert main(["evaluate", str(place / "run"), "--out", str(tmp_path / "e")]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_two_processes_score_every_picture_once(place, tmp_path):
    assert main(["evaluate", str(place / "run"), "--out", str(tmp_path / "one")]) == 0
    torchrun("evaluate", str(place / "run"), "--out", str(tmp_path / "two"))
    one, two = (json.loads((tmp_path / n / "scores.json").read_text()) for n in ("one", "two"))
    assert one["pictures"] == two["pictures"]
    for name in one["scores"]:
        assert one["scores"][name] == pytest.approx(two["scores"][name], abs=1e-6)


def test_other_data(place, tmp_path, capsys):
    """All that is named is scored; classes are matched by name; unknown ones are refused."""
    other = write_boxes(tmp_path / "other", counts=(6, 3))
    labels = other / "train.json"
    node = json.loads(labels.read_text())
    node["categories"] = [{"id": 8, "name": "blue"}, {"id": 2, "name": "red"}]
    node["categories"].append({"id": 0, "name": "nothing has it"})
    for one in node["annotations"]:
        one["category_id"] = {3: 2, 4: 8}[one["category_id"]]
    labels.write_text(json.dumps(node))
    (other / "val.json").unlink()
    command = ["evaluate", str(place / "run"), "--data.root", str(other), "--data.masks=false"]
    assert main([*command, "--out", str(tmp_path / "e")]) == 0
    facts = json.loads((tmp_path / "e/scores.json").read_text())
    assert facts["pictures"] == 6
    found = json.loads((tmp_path / "e/predictions.json").read_text())
    assert {one["category_id"] for one in found} <= {2, 8}
    labels.write_text(labels.read_text().replace('"red"', '"green"'))
    capsys.readouterr()
    assert main(command) == 1
    assert "does not know 1 of" in capsys.readouterr().err


def test_pictures_that_cannot_be_read_are_named_and_not_scored(place, tmp_path, capsys):
    other = write_boxes(tmp_path / "other", counts=(5, 1))
    (other / "train/001.png").write_bytes(b"")
    (other / "val.json").unlink()
    command = ["evaluate", str(place / "run"), "--data.root", str(other), "--data.masks=false"]
    assert main([*command, "--out", str(tmp_path / "e")]) == 0
    assert "001.png: empty file" in capsys.readouterr().out
    facts = json.loads((tmp_path / "e/scores.json").read_text())
    assert (facts["pictures"], facts["skipped"]) == (4, 1)


def test_predict(place, tmp_path, capsys, monkeypatch):
    """Pictures keep their size and are never replaced, whatever files are called."""
    monkeypatch.chdir(tmp_path)
    write_boxes(tmp_path / "a", counts=(3, 1))
    source = tmp_path / "a/train"
    large = Image.open(source / "000.png").resize((700, 500))
    (tmp_path / "b").mkdir()
    large.save(tmp_path / "b/000.png")
    (source / "broken.png").write_bytes(b"")
    command = ["predict", str(place / "run"), str(source), str(tmp_path / "b")]
    assert main([*command, "--json", "found.jsonl", "--min_score", "0.05"]) == 0
    said = capsys.readouterr().out
    assert "broken.png: empty file" in said and "wrote predicted: 4 picture(s)" in said
    assert {path.name for path in (tmp_path / "predicted").iterdir()} == {
        "000.png",
        "000-2.png",
        "001.png",
        "002.png",
    }
    lines = [json.loads(line) for line in Path("found.jsonl").read_text().splitlines()]
    assert {len(lines), len({line["file"] for line in lines})} == {4}
    big = next(line for line in lines if line["file"].endswith("b/000.png"))
    assert (big["width"], big["height"]) == (700, 500)
    boxes = [one for line in lines for one in line["boxes"]]
    assert boxes and {one["class"] for one in boxes} <= {"red", "blue"}
    assert all(
        one["score"] >= 0.05 and {*one} == {"class", "score", "box", "mask"} for one in boxes
    )
    assert all(one["mask"]["size"] == [500, 700] for one in big["boxes"])
    assert max(one["box"][2] for one in big["boxes"]) > 100
    with Image.open("predicted/000-2.png") as picture:
        assert picture.size == (700, 500)
    before = (source / "000.png").read_bytes()
    assert main([*command, "--out", str(source)]) == 1
    assert "would replace" in capsys.readouterr().err
    assert (source / "000.png").read_bytes() == before


def test_options_of_another_kind_of_model_are_refused(place, tmp_path, capsys):
    pictures = str(place / "boxes/val")
    assert main(["predict", str(place / "run"), pictures, "--min_score=2"]) == 1
    assert "--min_score" in capsys.readouterr().err


def test_a_picture_alone_and_in_a_batch(place):
    """Through the data, too: whatever is read with it, a picture has the same boxes."""
    from maskedae.boxed import Boxed
    from maskedae.datasets.boxes import Boxes

    model = load_with_report(place / "run").model
    data = Boxes(root=str(place / "boxes"), masks=True)
    source = data.source("held_out", (3, 64, 64), augment=False)
    parts = [source.read(index) for index in range(len(source))]
    with torch.no_grad():
        together = model(data.signal(Boxed.stack(parts)))
        for part, found in zip(parts, together, strict=True):
            (alone,) = model(data.signal(part))
            np.testing.assert_allclose(alone.boxes, found.boxes, atol=1e-4)
