"""maskedae retrieve, as a user types it, on films of shapes that one hears."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskedae import create_model
from maskedae.checkpoints import write_weights
from maskedae.cli import main
from maskedae.datasets.audio_video import AudioVideo
from maskedae.datasets.films.writing import write_film
from maskedae.datasets.scenes import write_scenes
from maskedae.retrieval import both_ways, measure

sys.path.append(str(Path(__file__).parent))
from training import maskedae, torchrun  # noqa: E402

TINY = {"audio_size": (384, 64), "audio_patch": (16, 16), "width": 32, "depth": 1, "heads": 2}
TINY |= {"video_size": (4, 32, 32), "video_patch": (2, 8, 8), "fusion_depth": 1}
TINY |= {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
DATA = {
    "class_path": "maskedae.datasets.audio_video.AudioVideo",
    "init_args": {"mels": 64, "held_out_share": 0.5},
}


def write_model(path, seed, root=None, name="mavil_vit_small", **settings):
    """A checkpoint of random weights, that says it was trained on films of a root."""
    torch.manual_seed(seed)
    model = create_model(name, **(settings or TINY))
    data = {**DATA, "init_args": {**DATA["init_args"], "root": root}} if root else DATA
    write_weights(path, model.state_dict(), {**model.recipe, "data": data})
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Films, one silent and one broken among those held out, and checkpoints."""
    folder = tmp_path_factory.mktemp("retrieve")
    write_scenes(folder / "films", train=3, held_out=12)
    frames = np.random.default_rng(0).integers(0, 255, (32, 64, 64, 3), np.uint8)
    write_film(folder / "films/val/disc/silent.mp4", frames, 8.0)
    (folder / "films/val/disc/broken.mp4").write_bytes(b"no film" * 50)
    write_model(folder / "model.safetensors", 1, str(folder / "films"))
    write_model(folder / "fresh.safetensors", 0)
    return folder


def command(place, out, *more, model="model", root="films"):
    data = ["--data.root", str(place / root), "--batch_size", "4"]
    return ["retrieve", str(place / f"{model}.safetensors"), *data, "--out", str(out), *more]


def scores(out):
    return json.loads((out / "scores.json").read_text())


@pytest.fixture(scope="module")
def whole(place):
    """What one process wrote."""
    out = place / "whole"
    assert main(command(place, out)) == 0
    return out


def test_scores_are_those_of_the_encoder_s_vectors(place, whole):
    model, shape = write_model(place / "again.safetensors", 1), ((1, 384, 64), (3, 4, 32, 32))
    data, vectors = AudioVideo(root=str(place / "films/val"), held_out_share=0, mels=64), []
    source = data.source("train", shape, augment=False)
    for index in range(len(source)):
        if not re.search("silent|broken", source.name(index)):
            vectors.append(model.eval().encoder.vectors(data.signal(source.read(index))))
    found = scores(whole)["candidates"]["checkpoint"]
    both = both_ways(*(torch.cat(part).detach() for part in zip(*vectors, strict=True)))
    for way, places in zip(("audio to video", "video to audio"), both, strict=True):
        expected = measure(places)
        assert expected.at.keys() == {1, 5, 10} and len(places.level) == 12
        assert found[way].pop("median rank") == expected.median
        assert found[way] == {f"R@{k}": pytest.approx(v) for k, v in expected.at.items()}


def test_what_is_left_out_is_named_and_counted(place, tmp_path, capsys):
    assert main(command(place, tmp_path)) == 0
    said, node = capsys.readouterr().out, scores(tmp_path)
    assert "12 of 14 samples scored, held_out" in said
    assert "1 have no sound, 1 cannot be read" in said
    assert re.search("left out .*silent.mp4: no sound", said)
    assert re.search("left out .*broken.mp4: ", said)
    assert re.search(r"chance +8.3 +41.7 +83.3 +6.5 +8.3 +41.7 +83.3 +6.5", said)
    assert (node["samples"], node["scored"]) == (14, 12)
    assert [row["reason"] for row in node["lacking"]] == ["no sound"]
    assert node["skipped"][0]["name"].endswith("broken.mp4")
    assert node["data"]["held_out"] in said and node["preparation"]["mels"] == 64


def test_the_same_comes_out_twice_and_nothing_is_replaced(place, whole, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    assert before.keys() == {"scores.json", "neighbours.png"}
    assert main(command(place, whole)) == 1
    assert "--overwrite replaces them" in capsys.readouterr().err
    shutil.copytree(whole, tmp_path / "copy")
    assert main(command(place, tmp_path / "copy", "--overwrite", "--batch_size", "5")) == 0
    with (
        Image.open(tmp_path / "copy/neighbours.png") as one,
        Image.open(whole / "neighbours.png") as two,
    ):
        assert one.width > one.height and np.array_equal(one, two)
    assert scores(tmp_path / "copy") == json.loads(before["scores.json"])


def test_random_weights_are_always_the_same_ones(place, whole, tmp_path):
    assert main(command(place, tmp_path, model="fresh")) == 0
    fresh, other = scores(tmp_path)["candidates"], scores(whole)["candidates"]
    assert fresh["random init"] == fresh["checkpoint"] == other["random init"]
    assert other["checkpoint"] != other["random init"]


def test_two_processes_score_the_same(place, whole, tmp_path):
    said = torchrun(*command(place, tmp_path / "two"))
    assert said.count("random init") == 1
    found, expected = scores(tmp_path / "two"), scores(whole)
    for name in ("lacking", "skipped"):
        assert sorted(map(str, found.pop(name))) == sorted(map(str, expected.pop(name)))
    assert found == expected


def test_which_films_are_scored(place, tmp_path, capsys):
    # Of films that were not trained on, all; of those that were, what is held out.
    shutil.copytree(place / "films/val/ring", tmp_path / "others/ring")
    shutil.copytree(place / "films/val/cross", tmp_path / "others/cross")
    checkpoint = str(place / "model.safetensors")
    others = ["retrieve", checkpoint, "--data.root", str(tmp_path / "others")]
    assert main([*others, "--out", str(tmp_path / "all")]) == 0
    assert "4 of 4 samples scored, all" in capsys.readouterr().out
    chance = scores(tmp_path / "all")["candidates"]["chance"]
    assert chance["audio to video"] == {"R@1": 0.25, "median rank": 2.5}
    assert main([*others, "--data.held_out_share=0.75", "--out", str(tmp_path / "some")]) == 0
    assert re.search("(2 of 2|3 of 3) samples scored, held_out", capsys.readouterr().out)
    write_model(tmp_path / "trained.safetensors", 1, str(tmp_path / "others/ring"))
    alone = ["retrieve", str(tmp_path / "trained.safetensors"), "--out", str(tmp_path / "out")]
    alone += ["--data.root", str(tmp_path / "others/ring")]
    assert main(alone) == 1
    assert "nothing is held out" in capsys.readouterr().err
    assert main([*alone, "--split", "train"]) == 0
    assert "2 of 2 samples scored, train" in capsys.readouterr().out
    assert main(command(place, tmp_path / "few", "--per_class", "1")) == 0
    assert "4 of 5 samples scored, held_out" in capsys.readouterr().out
    assert scores(tmp_path / "few")["per_class"] == 1


def test_what_cannot_be_compared_is_told(place, tmp_path, capsys, tiny):
    write_model(tmp_path / "image.safetensors", 0, name="mae_vit_tiny_patch16", **tiny)
    assert main(["retrieve", str(tmp_path / "image.safetensors"), "--data.root", "x"]) == 1
    said = capsys.readouterr().err
    assert "sees signals of one kind" in said and "mavil_vit_base" in said
    for part in ("silent", "broken"):
        path = tmp_path / f"films/{part}.mp4"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(place / f"films/val/disc/{part}.mp4", path)
    arguments = ["--data.root", str(tmp_path / "films"), "--out", str(tmp_path / "out")]
    assert main(["retrieve", str(place / "model.safetensors"), *arguments]) == 1
    said = capsys.readouterr().err
    assert "0 of 2 samples have sound and pictures" in said
    assert "1 have no sound, 1 cannot be read" in said
    assert main(command(place, tmp_path / "out", "--layers", "1")) == 1
    assert "--layers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_comes_without_arguments(capsys):
    assert main(["retrieve"]) == 2 and main(["retrieve", "--help"]) == 0
    assert "--per_class" in capsys.readouterr().out
    assert "find films by their sound" in maskedae("--help")
