import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from maskedae.cli import main
from maskedae.doctor.box_census import find_tables
from maskedae.doctor.sheet import cells_of

sys.path.append(str(Path(__file__).parents[1]))
from making_boxes import WRITERS, coco, picture, write_coco, write_table, write_voc  # noqa: E402


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def check(root, *more):
    """Have a folder checked; the exit status and all facts."""
    file = root.parent / "facts.json"
    status = main(["doctor", str(root), "--workers", "1", "--json", str(file), *more])
    return status, json.loads(file.read_text())


@pytest.mark.parametrize("write", WRITERS)
def test_every_form_is_known(tmp_path, capsys, write):
    write(tmp_path / "set") if write is not write_table else write_some(tmp_path / "set")
    status, facts = check(tmp_path / "set")
    said = capsys.readouterr().out
    assert status == 0 and "boxes: 2 classes" in said and "dog  train 2" in said
    assert "3 boxes on 3 pictures, 1 pictures without boxes" in said
    assert facts["boxes"]["faults"] == [] and facts["files"] == {"train": 3, "held_out": 0}
    train = facts["boxes"]["splits"]["train"]
    assert train["sizes"] == {"small": 2, "medium": 1, "large": 0}
    assert train["boxes of a picture"] == {"min": 0, "median": 1, "max": 2}
    assert train["width x height"][0] == {"min": 10, "median": 10, "max": 40}
    assert train["share of the picture"]["max"] == 1
    assert "labels: none" not in said


def write_some(root):
    root.mkdir()
    write_table(root)


def test_faults_are_named(tmp_path, capsys):
    root = tmp_path / "set"
    for name in ("a", "b", "extra"):
        picture(root / "train" / f"{name}.png", (40, 31) if name == "b" else (40, 30))
    rows = [(1, [1, 1, 0, 5], 10), (1, [1, 1, 5, 5], 10), (2, [1, 1, 5, 5], 99)]
    files = [("a.png", 40, 30), ("b.png", 40, 30), ("gone.png", 40, 30)]
    content = coco(files, [*rows, (1, [1, 1, 9, 9], 10)], ["cat", "owl"])
    content["annotations"][-1] |= {"iscrowd": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    (root / "train.json").write_text(json.dumps(content))
    picture(root / "val" / "v.png")
    held = coco([("v.png", 40, 30)], [(1, [1, 1, 9, 9], 10)], ["owl"])
    (root / "val.json").write_text(json.dumps(held))
    status, facts = check(root)
    said = capsys.readouterr().out
    assert status == 1
    reasons = {Path(item["path"]).name: item["reason"] for item in facts["bad"]}
    assert reasons == {
        "gone.png": "No such file or directory",
        "b.png": "40 x 31 pixels, but 40 x 30 by its labels",
    }
    found = {item["fault"]: item["files"] for item in facts["boxes"]["faults"]}
    assert found == {
        "boxes of no area": [str(root / "train" / "a.png")],
        "boxes of an unknown class": [str(root / "train" / "b.png")],
        "pictures that no label tells of": [str(root / "train" / "extra.png")],
    }
    assert "    1 boxes of no area: train/a.png\n" in said and "1 crowds, 1 masks" in said
    assert facts["boxes"]["odd"] == [
        "train: no box of owl, which the other split has",
        "held_out: no box of cat, which the other split has",
    ]
    assert check(root)[1]["bad"] == facts["bad"]  # also when files were read before


def test_a_sheet(tmp_path, capsys):
    write_coco(tmp_path / "set")
    write_coco(tmp_path / "set", "val")
    (tmp_path / "set" / "val" / "a.png").write_text("broken")
    sheet = tmp_path / "sheet.png"
    assert check(tmp_path / "set", "--sheet", str(sheet))[0] == 1
    assert "5 pictures drawn in" in capsys.readouterr().out
    with Image.open(sheet) as image:
        assert image.width > 1000 and len(image.getcolors(2**24)) > 5
    before = sheet.read_bytes()
    assert main(["doctor", str(tmp_path / "set"), "--sheet", str(sheet)]) == 1
    assert "is there already" in capsys.readouterr().err and sheet.read_bytes() == before
    assert (
        main(["doctor", str(tmp_path / "set" / "train"), "--sheet", str(tmp_path / "b.png")]) == 1
    )
    assert "has none" in capsys.readouterr().err


def test_pictures_of_a_sheet_are_evenly_taken(tmp_path):
    lines = ["path,x1,y1,x2,y2,label"] + [f"{number:02d}.png,1,1,9,9,a" for number in range(23)]
    for number in range(23):
        picture(tmp_path / f"{number:02d}.png")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    tables, _ = find_tables(str(tmp_path), ("boxes",))
    names = [cell[0] for cell in cells_of(tables.train, "train", 12)]
    assert names == [f"train: {number:02d}.png" for number in range(0, 23, 2)]


def test_statistics_and_kinds(tmp_path, capsys):
    write_voc(tmp_path / "set")
    status, facts = check(tmp_path / "set", "--stats")
    assert status == 0 and len(facts["kinds"]["image"]["mean"]) == 3
    assert "boxes" in check(tmp_path / "set", "--stats", "--kind", "boxes")[1]
    assert "boxes" not in check(tmp_path / "set", "--kind", "images")[1]


def test_statistics_go_into_a_recipe(tmp_path):
    write_coco(tmp_path / "set")
    Image.new("RGB", (40, 30)).save(tmp_path / "set" / "train" / "a.png")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("data:\n  class_path: maskedae.datasets.boxes.Boxes\n")
    assert check(tmp_path / "set", "--stats", "--write", str(recipe))[0] == 0
    assert "mean: [0.2353, 0.3137, 0.5229]" in recipe.read_text()


def test_classes_in_folders_have_no_boxes(tmp_path):
    for name in ("cat/a.png", "dog/b.png"):
        picture(tmp_path / "set" / name)
    (tmp_path / "set" / "labels.csv").write_text("path,label\ncat/a.png,cat\n")
    (tmp_path / "set" / "annotations.json").write_text("[1]")
    status, facts = check(tmp_path / "set")
    assert status == 0 and "boxes" not in facts and len(facts["labels"]["classes"]) == 2
    assert facts["notes"] == []
    (tmp_path / "set" / "train.json").write_text('{"lines": 1}\n{"of": "JSON"}\n')
    status, facts = check(tmp_path / "set")
    assert status == 0 and "train.json: not JSON" in facts["notes"][0]
    assert main(["doctor", str(tmp_path / "set"), "--kind", "boxes"]) == 1
    assert check(tmp_path / "set" / "labels.csv")[1]["files"]["train"] == 1


def test_real_cells(shared, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    root = str(shared / "detection" / "bccd")
    assert main(["doctor", root, "--workers", "1", "--sheet", str(sheet)]) == 0
    said = capsys.readouterr().out
    assert "3,941 boxes on 292 pictures" in said and "945 boxes on 72 pictures" in said
    assert "16 pictures drawn" in said and sheet.exists()
