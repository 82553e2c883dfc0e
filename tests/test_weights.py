"""Weights come in whole or not at all, from our folders and from the official files."""

import argparse
import pickle
import sys

import pytest
import torch
from torch.testing import assert_close

import maskedae
from maskedae.answers import Answers
from maskedae.checkpoints import write_weights
from maskedae.classifier import Classifier
from maskedae.models.layouts.mae_official import LINEAR_PROBE, OFFICIAL
from maskedae.weights import EncoderOnly, load_with_report

HEADS = {"heads": 4, "decoder_heads": 2}


@pytest.fixture
def model(tiny):
    return maskedae.create_model("mae_vit_base_patch16", **tiny).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32)


def official(model, path, drop=(), **extra):
    """Write a file as the official training script does, its arguments inside."""
    state = {
        k: v for k, v in OFFICIAL.to_theirs(model.state_dict()).items() if not k.startswith(drop)
    }
    args = argparse.Namespace(lr=1e-3, model="mae_vit_base_patch16", output_dir=None)
    torch.save({"model": {**state, **extra}, "args": args, "epoch": 3}, path)
    return path


def test_official_full_file(tmp_path, model, images):
    path = official(model, tmp_path / "mae_pretrain_vit_base_full.pth")
    loaded = load_with_report(path, **HEADS)
    noise = torch.rand(2, 16)
    assert_close(loaded.model(images, noise=noise), model(images, noise=noise))
    assert loaded.report.matched == len(model.state_dict()) and loaded.report.complete
    said = str(loaded.report)
    assert "(official MAE, encoder and decoder): " in said and "0 missing, 0 unexpected" in said
    assert loaded.report.renamed == len(model.state_dict()) and "100.0% of the encoder" in said


def test_export_to_the_official_layout_is_loss_free(tmp_path, model):
    state = OFFICIAL.to_theirs(model.state_dict())
    loaded = maskedae.load(official(model, tmp_path / "full.pth"), **HEADS)
    back = OFFICIAL.to_theirs(loaded.state_dict())
    assert back.keys() == state.keys() and all(back[k].equal(state[k]) for k in state)


def test_official_visualize_file_predicts_bare_pixels(tmp_path, model):
    path = official(model, tmp_path / "mae_visualize_vit_base.pth")
    loaded = load_with_report(path, **HEADS)
    assert not loaded.model.target.needs_statistics
    assert "not normalised" in str(loaded.report)


@torch.no_grad()
def test_official_linear_probe(tmp_path, model, images):
    probe = Classifier(model.encoder, Answers("class", ("a", "b")), "class", batch_norm=True).eval()
    probe.encoder.head.norm.running_mean.normal_()
    torch.save({"model": LINEAR_PROBE.to_theirs(probe.state_dict())}, tmp_path / "probe.pth")
    loaded = load_with_report(tmp_path / "probe.pth", heads=4)
    assert isinstance(loaded.model, Classifier) and "linear probe" in loaded.report.layout
    assert_close(loaded.model.eval()(images), probe(images))


def test_official_encoder_file(tmp_path, model, images, capsys):
    path = official(model, tmp_path / "base.pth", drop=("decoder", "mask_token"))
    loaded = maskedae.load(path, heads=4)
    assert isinstance(loaded, EncoderOnly)
    assert_close(loaded.encoder(images), model.encoder(images))
    assert "0 missing" in capsys.readouterr().err
    with pytest.raises(ValueError, match="holds an encoder only"):
        loaded(images)


def test_a_part_is_never_loaded_unnoticed(tmp_path, model):
    lost = official(model, tmp_path / "lost.pth", drop=("blocks.1.mlp",))
    with pytest.raises(ValueError, match=r"(?s)4 missing.*missing: encoder\.blocks\.1\.mlp"):
        maskedae.load(lost, **HEADS)
    extra = official(model, tmp_path / "extra.pth", mystery=torch.zeros(3))
    with pytest.raises(ValueError, match="unexpected: mystery"):
        maskedae.load(extra, **HEADS)
    loaded = load_with_report(extra, strict=False, **HEADS)
    assert loaded.report.unexpected == ["mystery"]
    with pytest.raises(
        ValueError, match=r"(?s)misshapen: decoder.head.*the encoder only would fit"
    ):
        maskedae.load(official(model, tmp_path / "whole.pth"), channels=1, **HEADS)


def test_positions_are_stretched_to_another_size_and_reported(tmp_path, model):
    path = official(model, tmp_path / "full.pth")
    loaded = load_with_report(path, size=(48, 64), **HEADS)
    assert loaded.model.encoder.grid == (6, 8)
    assert len(loaded.report.resized) == 2
    assert "encoder.positions from (4, 4) to (6, 8)" in loaded.report.resized[0]
    assert loaded.model(torch.randn(1, 3, 48, 64)).loss.isfinite()


def test_code_in_a_pickle_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    for name, content in {"a.pth": {"model": Trap()}, "b.pth": Trap()}.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match="cannot be read as weights"):
            maskedae.load(tmp_path / name)
    (tmp_path / "c.pth").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="cannot be read as weights"):
        maskedae.load(tmp_path / "c.pth")
    assert not (tmp_path / "trapped").exists()


def test_other_files_are_refused_with_what_they_hold(tmp_path):
    torch.save({"model": {"conv1.weight": torch.zeros(3)}}, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match="no layout known here; it holds conv1.weight"):
        maskedae.load(tmp_path / "resnet.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no named tensors"):
        maskedae.load(tmp_path / "list.pth")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(ValueError, match="text.safetensors"):
        maskedae.load(tmp_path / "text.safetensors")
    with pytest.raises(FileNotFoundError, match="nothing.pth does not exist"):
        maskedae.load(tmp_path / "nothing.pth")
    with pytest.raises(FileNotFoundError, match="or hf-hub:owner/name fits"):
        maskedae.load("owner/name")


def test_a_file_does_not_choose_code_to_run(tmp_path, tiny):
    model = maskedae.create_model("mae_vit_tiny_patch16", **tiny)
    config = {
        "model": {"name": "mae_vit_tiny_patch16", **tiny},
        "masker": {"class_path": "this.Module"},
        "data": {"class_path": "this.Module"},
    }
    write_weights(tmp_path / "model.safetensors", model.state_dict(), config)
    loaded = load_with_report(tmp_path / "model.safetensors")
    assert "this.Module is not rebuilt" in str(loaded.report) and "this" not in sys.modules


def test_our_own_file_rebuilds_its_model(tmp_path, tiny, images):
    model = maskedae.create_model("mae_vit_tiny_patch16", **tiny, normalize_target=False)
    config = {
        "model": {"name": "mae_vit_tiny_patch16", **tiny, "normalize_target": False},
        "masker": {"class_path": "maskedae.masking.RandomMasker", "init_args": {"ratio": 0.5}},
        "data": {"class_path": "maskedae.datasets.images.Images"},
        "train": {"epochs": 3},
    }
    write_weights(tmp_path / "model.safetensors", model.state_dict(), config)
    loaded = maskedae.load(tmp_path / "model.safetensors")
    noise = torch.rand(2, 16)
    assert loaded.masker == maskedae.RandomMasker(0.5)
    mask = loaded.draw_mask(2, noise=noise)
    assert_close(loaded(images, mask=mask), model(images, mask=mask))


@pytest.mark.parametrize("pool", ["mean", "class"])
def test_the_encoder_of_a_classifier(tmp_path, model, images, pool):
    classifier = Classifier(model.encoder, Answers("class", ("a", "b")), pool)
    norm = classifier.encoder.head.norm if pool == "mean" else classifier.encoder.norm
    torch.nn.init.normal_(norm.weight)
    expected = norm(classifier.encoder.blocks(classifier.encoder.tokens(images)))
    write_weights(tmp_path / "model.safetensors", classifier.state_dict(), classifier.recipe)
    loaded = maskedae.load(tmp_path / "model.safetensors", encoder_only=True)
    assert isinstance(loaded, EncoderOnly) and "head" not in loaded.recipe
    assert_close(loaded.encoder.forward_features(images), expected)
    write_weights(tmp_path / "again.safetensors", loaded.state_dict(), loaded.recipe)
    again = maskedae.load(tmp_path / "again.safetensors")
    assert_close(again.encoder(images), loaded.encoder(images))
