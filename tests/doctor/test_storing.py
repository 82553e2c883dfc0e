"""Statistics find their way into a recipe, and nothing else of it changes."""

import pytest
import yaml
from PIL import Image

from maskedae.cli import main
from maskedae.commands import doctor
from maskedae.doctor.preparing import preparation
from maskedae.doctor.storing import changed, write_statistics

IMAGES = "maskedae.datasets.images.Images"
VALUES = {"mean": "[-4.2677]", "std": "[4.5690]"}
FACTS = {"kinds": {"image": {"mean": [0.25, 0.25], "std": [0.5, 0.5]}}}
HEAD = f"# Paper: x\nmodel: {{name: y}}\ndata:\n  class_path: {IMAGES}"
TEXTS = {
    "both": HEAD + "  # kind\n  init_args:\n    flip: 0.5\n    mean: [0.1, 0.2]  # ours\n"
    "    std: [1, 2]\n\n# what follows\ntrain: {epochs: 3}\n",
    "one": HEAD
    + "\n  init_args:\n    # of the crops\n    scale: [0.2, 1]\n    std: null\ntrain: {}\n",
    "none": HEAD + "\n  init_args:\n    flip: 0.5  # half\n",
    "lists": HEAD + "\n  init_args:\n    mean:\n    - 0.1\n    - 0.2\n    # std\n    std:\n"
    "      - 1\n\n\n# what follows\ntrain: {}\n",
    "nothing": HEAD + "\n  init_args:\n    mean:\n    std:  # none\n    flip: 0.5\ntrain: {}\n",
    "flow": HEAD + "\n  init_args: {flip: 0.5, std: [1]}  # some\ntrain: {}\n",
    "empty": HEAD + "\n  init_args: {}\n",
    "null": HEAD + "\n  init_args: null  # none\ntrain: {}\n",
    "nothing at all": HEAD + "\n  init_args:\ntrain: {}\n",
    "lacking": HEAD + "  # kind\ntrain: {}\n",
    "lacking, at the end": HEAD,
    "one line": f"model: {{name: y}}\ndata: {{class_path: {IMAGES}}}  # kind\ntrain: {{}}\n",
    "JSON": f'{{"model": {{}}, "data": {{"class_path": "{IMAGES}", "init_args": {{"flip": 1}}}}}}',
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("case", TEXTS)
def test_nothing_but_the_statistics_changes(tmp_path, case, end):
    text = TEXTS[case].replace("\n", end)
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xef\xbb\xbf" * (case == "both") + text.encode())
    assert preparation(path) == ("images", {})
    said = write_statistics(path, FACTS)
    new = path.read_bytes().decode("utf-8-sig")
    before, after = yaml.safe_load(text), yaml.safe_load(new)
    arguments = before["data"].get("init_args") or {}
    expected = {**arguments, "mean": [0.25], "std": [0.5]}
    assert after == {**before, "data": {**before["data"], "init_args": expected}}
    assert f"mean [0.2500], before {arguments.get('mean')}" in said
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in new.splitlines() if "#" in line] == comments
    assert new.count("\n") == new.count(end)
    again = new.replace(end, "\n")
    assert changed(again, {"mean": "[0.2500]", "std": "[0.5000]"}) == again


def test_lines_that_hold_no_statistics_stay_as_they_are():
    old, new = TEXTS["both"].splitlines(), changed(TEXTS["both"], VALUES).splitlines()
    pairs = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    assert pairs == [
        ("    mean: [0.1, 0.2]  # ours", "    mean: [-4.2677]  # ours"),
        ("    std: [1, 2]", "    std: [4.5690]"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: [", "not YAML"),
        ("epochs: 3\n", "not a recipe"),
        (f"data: {IMAGES}\n", "not a recipe"),
        ("data:\n  class_path: torch.Tensor\n", "its data are torch.Tensor; .* images"),
        ("data:\n  class_path: maskedae.datasets.nothing.X\n", "its data are maskedae.*nothing"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, text, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        preparation(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ValueError, match="there is no such file; .*copy one"):
        preparation(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    "text",
    [
        f"known: &known [1]\ndata:\n  class_path: {IMAGES}\n  init_args:\n    mean: *known\n",
        f"more: &more {{mean: [1]}}\ndata:\n  class_path: {IMAGES}\n  init_args:\n    <<: *more\n",
    ],
)
def test_odd_recipes_stay_whole(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    try:
        write_statistics(path, FACTS)
    except ValueError as error:
        assert "by hand:\n  mean: [0.2500]\n  std: [0.5000]" in str(error)
        assert path.read_text() == text
    assert yaml.safe_load(path.read_text())["data"]["class_path"] == IMAGES


@pytest.mark.parametrize("kinds", [{}, {"a": FACTS["kinds"]["image"], "b": {"mean": [0.0]}}])
def test_statistics_of_no_kind_or_of_several_are_not_written(tmp_path, kinds):
    (tmp_path / "r.yaml").write_text(TEXTS["both"])
    with pytest.raises(ValueError, match=f"statistics of {len(kinds)} kinds"):
        write_statistics(tmp_path / "r.yaml", {"kinds": kinds})
    flat = {"image": {"mean": [0.5], "std": [0.00001]}}
    with pytest.raises(ValueError, match=r"deviation of \[0.0000\]"):
        write_statistics(tmp_path / "r.yaml", {"kinds": flat})
    assert (tmp_path / "r.yaml").read_text() == TEXTS["both"]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for level in (0, 255):
        Image.new("RGB", (4, 4), (level,) * 3).save(tmp_path / "data" / f"{level}.png")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(TEXTS["both"])
    command = ["doctor", str(tmp_path / "data"), "--stats", "--workers=1", "--write", str(recipe)]
    assert main(command) == 0
    assert "mean [0.5000], before [0.1, 0.2], std [0.5000]" in capsys.readouterr().out
    assert recipe.read_text() == changed(TEXTS["both"], {"mean": "[0.5000]", "std": "[0.5000]"})
    assert main([*command, "--kind=videos"]) == 1
    assert "is for images: leave --kind=videos out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        doctor.main(["doctor", "--write", str(recipe)])
    films = tmp_path / "films.yaml"
    films.write_text(TEXTS["both"].replace(IMAGES, "maskedae.datasets.videos.Videos"))
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.txt").touch()
    assert main(["doctor", str(tmp_path / "text"), "--stats", "--write", str(films)]) == 1
    assert "looked for" in capsys.readouterr().err
