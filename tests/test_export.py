"""Exports open in the other library alone, and give there the numbers that they give here."""

import json
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
import transformers
from huggingface_hub import ModelCard
from onnxruntime import InferenceSession
from PIL import Image
from torch.testing import assert_close

from maskedae import RandomMasker, create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.cli import main
from maskedae.commands.export import TARGETS
from maskedae.datasets.images import Images
from maskedae.exporting.running import export
from maskedae.masking import take
from maskedae.weights import EncoderOnly, load_with_report

RECTANGLE = {"size": (24, 40), "patch": (8, 4), "channels": 2}


def shaken(model):
    """The model with biases, too, that differ from zero."""
    for name, parameter in model.named_parameters():
        if "positions" not in name:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture
def make(tiny):
    """Models of every kind, by kind."""

    def build(kind, **overrides):
        model = create_model("mae_vit_base_patch16", **{**tiny, **overrides})
        if kind == "encoder":
            return shaken(EncoderOnly(model.encoder, "here"))
        if kind in ("mean", "class"):
            return shaken(Classifier(model.encoder, Answers("class", ("a", "b", "c")), kind))
        if kind == "probe":
            probe = Classifier(model.encoder, Answers("class", ("a", "b", "c")), "class", True)
            probe.encoder.head.norm.running_mean.normal_()
            probe.encoder.head.norm.running_var.uniform_(0.5, 2)
            return shaken(probe)
        return shaken(model)

    return build


def signal(model):
    settings = model.recipe["model"]
    return torch.randn(2, settings["channels"], *settings["size"])


def result(model, x):
    """Logits where there are any, else tokens."""
    return model(x) if model.encoder.num_classes else model.encoder.forward_features(x)


@pytest.mark.parametrize("overrides", [{}, RECTANGLE])
@pytest.mark.parametrize("kind", ["whole", "encoder", "mean", "class", "probe"])
@torch.no_grad()
def test_timm_opens_it_in_both_ways(tmp_path, make, kind, overrides):
    model, x, lines = make(kind, **overrides), None, []
    assert export(model, "timm", tmp_path / "out", say=lines.append) < 1e-5
    for line in lines[-1].splitlines()[1:]:
        other = eval(line, {"timm": timm}).eval()
        x = signal(model)
        theirs = other(x) if model.encoder.num_classes else other.forward_features(x)
        assert_close(theirs, result(model, x), rtol=1e-5, atol=1e-5)
    other = timm.create_model(f"local-dir:{tmp_path / 'out'}")
    settings = timm.data.resolve_model_data_config(other)
    assert settings["input_size"] == x.shape[1:] and settings["interpolation"] == "bicubic"
    back = load_with_report(tmp_path / "out")
    if type(back.model) is Classifier:
        unlike = {"batch_norm": False, "dropout": 0.0}  # which files of timm do not tell
        assert back.model.description == model.description | unlike
    assert_close(result(back.model.eval(), x), result(model, x), rtol=1e-5, atol=1e-5)
    if x.shape[1] == 3:
        assert settings["mean"] == pytest.approx((0.485, 0.456, 0.406))
        assert settings["crop_pct"] == 0.875


@torch.no_grad()
def test_transformers_opens_an_autoencoder(tmp_path, make):
    model = make("whole", normalize_target=True)
    assert export(model, "transformers", tmp_path / "out") < 1e-5
    other = transformers.ViTMAEForPreTraining.from_pretrained(tmp_path / "out")
    x, noise = signal(model), torch.rand(2, 16)
    ours, theirs = model(x, noise=noise), other(x, noise=noise)
    assert_close(ours.loss, theirs.loss, rtol=1e-5, atol=1e-6)
    logits = take(theirs.logits, ours.mask.hidden)
    assert_close(ours.prediction, logits, rtol=1e-5, atol=1e-5)
    assert model.masker == RandomMasker(other.config.mask_ratio)


KINDS = [
    ("encoder", RECTANGLE, "ViTModel"),
    ("class", RECTANGLE, "ViTForImageClassification"),
    ("probe", {}, "ViTForImageClassification"),
    ("mean", {}, "BeitForImageClassification"),
]


@pytest.mark.parametrize(("kind", "overrides", "name"), KINDS)
@torch.no_grad()
def test_transformers_opens_the_rest(tmp_path, make, kind, overrides, name):
    model = make(kind, **overrides)
    assert export(model, "transformers", tmp_path / "out") < 1e-5
    other = getattr(transformers, name).from_pretrained(tmp_path / "out")
    x = signal(model)
    theirs = other(x).logits if kind != "encoder" else other(x).last_hidden_state
    assert_close(theirs, result(model, x), rtol=1e-5, atol=1e-5)
    if kind != "encoder":
        assert other.config.id2label == {0: "a", 1: "b", 2: "c"}
        auto = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out")
        assert type(auto).__name__ == name


def test_transformers_prepares_pictures_as_we_do(tmp_path, make):
    model = make("class")
    model.encoder.recipe["data"]["init_args"] = {"mean": [0.4] * 3, "std": [0.3] * 3}
    export(model, "transformers", tmp_path / "out")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
    data = Images(mean=[0.4] * 3, std=[0.3] * 3)
    rng = np.random.default_rng(0)
    # Where what is cut off is an odd number of pixels, theirs may lie one pixel further up or left.
    for sides in [(100, 71, 3), (50, 50, 3), (36, 72, 3), (20, 90, 3)]:
        picture = Image.fromarray(rng.integers(0, 255, sides, dtype=np.uint8))
        picture.save(tmp_path / "picture.png")
        pixels = data.files([str(tmp_path / "picture.png")], (3, 32, 32)).read(0)
        ours = data.signal(pixels)
        theirs = processor(picture, return_tensors="pt").pixel_values
        assert_close(theirs, ours, rtol=1e-4, atol=1e-4)


def test_what_transformers_cannot_hold_is_refused(tmp_path, make):
    with pytest.raises(ValueError, match=r"--finetune\.pool=class would fit"):
        export(make("mean", **RECTANGLE), "transformers", tmp_path / "out")
    with pytest.raises(ValueError, match="the encoder only would fit"):
        export(make("whole", **RECTANGLE), "transformers", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", ["whole", "encoder", "mean", "class"])
def test_official_files_come_back(tmp_path, make, kind):
    model = make(kind)
    assert export(model, "official", tmp_path / "model.pth") < 1e-5
    back = load_with_report(tmp_path / "model.pth", heads=4, **OPTIONS[kind]).model.state_dict()
    mine = model.state_dict()
    assert back.keys() == mine.keys() and all(back[k].equal(mine[k]) for k in mine)


OPTIONS = {"whole": {"decoder_heads": 2}, "encoder": {}, "mean": {}, "class": {}}


@pytest.mark.parametrize(("target", "name"), [("onnx", "model.onnx"), ("torch", "model.pt2")])
@pytest.mark.parametrize("kind", ["encoder", "mean"])
def test_graphs_run_without_us(tmp_path, make, target, name, kind):
    model = make(kind)
    assert export(model, target, tmp_path / "out") < 1e-4
    x = signal(model)
    torch.save((x, result(model, x).detach()), tmp_path / "pair.pt")
    code = f"""
import sys, torch
x, expected = torch.load({str(tmp_path / "pair.pt")!r})
for batch in (1, 2):
    if {target!r} == "onnx":
        import onnxruntime
        session = onnxruntime.InferenceSession({str(tmp_path / "out" / name)!r})
        found = torch.from_numpy(session.run(None, {{"signal": x[:batch].numpy()}})[0])
    else:
        found = torch.export.load({str(tmp_path / "out" / name)!r}).module()(x[:batch])
    torch.testing.assert_close(found, expected[:batch], rtol=1e-4, atol=1e-4)
assert not any(name.startswith("maskedae") for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    beside = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert beside["image_mean"] == pytest.approx([0.485, 0.456, 0.406])


def test_the_command(tmp_path, make, capsys):
    make("whole").save_pretrained(tmp_path / "run")
    assert {"timm", "transformers", "official"} <= set(TARGETS)
    given = ["export", str(tmp_path / "run"), "--to", "safetensors", "--out", str(tmp_path / "out")]
    assert main([*given, "--encoder_only"]) == 0
    assert "the largest difference is 0.0e+00" in capsys.readouterr().out
    assert isinstance(load_with_report(tmp_path / "out").model, EncoderOnly)
    assert main(given) == 1 and "--overwrite" in capsys.readouterr().err
    assert main([*given, "--overwrite"]) == 0


def test_an_export_in_place_of_another_leaves_nothing_of_it(tmp_path, make):
    export(make("mean"), "safetensors", tmp_path / "out")
    (tmp_path / "out/mine.txt").write_text("kept")
    export(make("class"), "torch", tmp_path / "out", overwrite=True)
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["README.md", "mine.txt", "model.pt2", "preprocessor_config.json"]
    card = (tmp_path / "out/README.md").read_text()
    assert "by softmax: one of these classes" in card and "2. c" in card
    for target, name in (("timm", "w.safetensors"), ("onnx", "f.pt2")):
        with pytest.raises(ValueError, match=f"is not written to a file such as {name}"):
            export(make("mean"), target, tmp_path / name)


@pytest.mark.parametrize("target", TARGETS)
def test_the_licence_goes_along(tmp_path, make, target):
    model = make("encoder")
    model.encoder.recipe["licence"] = "cc-by-nc-4.0"
    export(model, target, tmp_path / "out")
    assert ModelCard.load(tmp_path / "out" / "README.md").data.license == "cc-by-nc-4.0"
    if target == "official":
        assert torch.load(tmp_path / "out" / "model.pth")["licence"] == "cc-by-nc-4.0"
    if target == "onnx":
        session = InferenceSession(tmp_path / "out" / "model.onnx")
        assert session.get_modelmeta().custom_metadata_map["licence"] == "cc-by-nc-4.0"
        assert not (tmp_path / "out" / "model.onnx.data").exists()
    if target == "torch":
        words = {"licence": ""}
        torch.export.load(tmp_path / "out" / "model.pt2", extra_files=words)
        assert words["licence"] == "cc-by-nc-4.0"
    if target in ("timm", "transformers"):
        assert load_with_report(tmp_path / "out").recipe["licence"] == "cc-by-nc-4.0"


@pytest.mark.parametrize("kind", ["encoder", "class"])
def test_numbers_that_differ_are_not_written(tmp_path, make, monkeypatch, kind):
    model = make(kind)
    model.recipe["model"]["heads"] = 2
    if kind == "class":  # a head that has not learned much answers near zero
        model.encoder.head.linear.weight.data *= 1e-5
        model.encoder.head.linear.bias.data.zero_()
    with pytest.raises(ValueError, match="timm gives other numbers"):
        export(model, "timm", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.setattr("maskedae.exporting.running.find_spec", lambda _: None)
    lines = []
    assert export(model, "timm", tmp_path / "out", say=lines.append) is None
    assert lines[0] == "not checked: timm is not installed here"
