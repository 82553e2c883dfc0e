"""Weights of Audio-MAE come in and go out whole, and are not mistaken for those of images."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_for_hf
from torch.testing import assert_close

import maskedae
from maskedae import create_model
from maskedae.answers import Answers
from maskedae.bands import BandMasker
from maskedae.classifier import Classifier
from maskedae.exporting.running import export
from maskedae.models.layouts.audiomae import OFFICIAL, preprocessor
from maskedae.models.layouts.mae_official import OFFICIAL as IMAGES
from maskedae.positions import Positions
from maskedae.weights import EncoderOnly, layouts, load_with_report
from maskedae.zoo import model_config

SOUNDS, PICTURES = "audiomae_vit_base_patch16", "mae_vit_base_patch16"
SMALL = {"width": 32, "depth": 2, "heads": 4, "decoder_width": 16, "decoder_heads": 2}
SMALL |= {"size": (256, 128), "decoder_depth": 1}
HEADS = {"heads": 4, "decoder_heads": 2}
SEVERAL = Answers("classes", tuple(f"class {number}" for number in range(527)))
DATA = {
    "class_path": "maskedae.datasets.sounds.Sounds",
    "init_args": {"mean": [-4.2677393], "std": [4.5689974], "channel": "left", "short": "zeros"},
}


def model_of(kind, name=SOUNDS, **overrides):
    """A model whose biases, too, differ from zero."""
    model = create_model(name, **{**SMALL, **overrides})
    if kind == "encoder":
        model = EncoderOnly(model.encoder, "here")
    if kind == "classifier":
        model = Classifier(model.encoder, SEVERAL)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def equal(first, second):
    mine, theirs = first.state_dict(), second.state_dict()
    return mine.keys() == theirs.keys() and all(mine[k].equal(theirs[k]) for k in mine)


CASES = [
    ("whole", {}),
    ("whole", {"decoder": "global"}),
    ("whole", {"decoder": "global", "positions": "corrected"}),
    ("whole", {"size": (1024, 128), "stride": 10}),
    ("encoder", {"size": (1024, 128)}),
    ("classifier", {"size": (512, 128), "positions": "corrected"}),
    ("encoder", {"size": (1024, 128), "stride": 10}),
]


@pytest.mark.parametrize(("kind", "settings"), CASES)
@torch.no_grad()
def test_official_files_come_back(tmp_path, kind, settings):
    model = model_of(kind, **settings)
    assert export(model, "official", tmp_path / "model.pth") < 1e-5
    heads = HEADS if kind == "whole" else {"heads": 4}
    back = load_with_report(tmp_path / "model.pth", **heads)
    assert back.report.complete and back.report.filled == 1 and not back.report.resized
    assert type(back.model) is type(model) and equal(back.model, model)
    expected = model_config(SOUNDS, **{**SMALL, **settings})
    for name in ("size", "stride", "positions"):
        assert getattr(back.config, name) == getattr(expected, name)
    if kind == "whole":
        assert back.config.decoder == expected.decoder
    assert "official Audio-MAE" in back.report.layout and back.name.startswith("audiomae_")
    assert back.recipe["data"] == DATA and back.recipe["licence"] == "unknown"
    assert "data=mean and deviation of AudioSet" in str(back.report)


def test_names_of_heads_and_several_answers(tmp_path):
    model = model_of("classifier", size=(1024, 128))
    state = OFFICIAL.to_theirs(model.state_dict())
    assert {"fc_norm.weight", "head.bias"} <= state.keys() and "norm.weight" not in state
    torch.save({"model": state, "epoch": 1}, tmp_path / "finetuned.pth")
    back = load_with_report(tmp_path / "finetuned.pth", heads=4)
    assert back.recipe["head"]["pool"] == "mean" and back.model.answers == SEVERAL
    assert back.report.layout == "official Audio-MAE, fine-tuned"
    assert "head=several of AudioSet's classes" in str(back.report)


def test_shorter_sounds_take_the_first_positions(tmp_path):
    """Those of the file, whose frames are told by its rows."""
    model = model_of("whole", size=(1024, 128))
    torch.save({"model": OFFICIAL.to_theirs(model.state_dict())}, tmp_path / "pretrained.pth")
    back = load_with_report(tmp_path / "pretrained.pth", size=(512, 128), **HEADS)
    rows = back.model.encoder.positions.table
    assert rows.equal(model.encoder.positions.table[:, : 1 + 32 * 8])
    told = "encoder.positions from (64, 8) to (32, 8), first axis 64 -> 32, the first are kept"
    assert told in str(back.report)
    assert back.model(torch.randn(1, 1, 512, 128)).loss.isfinite()
    # Written again, it is known by its codes, which are those of the longer table.
    back.model.encoder.recipe = back.recipe
    export(back.model, "official", tmp_path / "short.pth")
    again = load_with_report(tmp_path / "short.pth", **HEADS)
    assert again.config.size == (512, 128) and equal(again.model, back.model)


def timm_model(**settings):
    args = {"img_size": (1024, 128), "in_chans": 1, "embed_dim": 32, "depth": 2, "num_heads": 4}
    args |= settings
    model = timm.create_model("vit_base_patch16_224", **args).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model, args


@pytest.mark.parametrize("size", [(1024, 128), (256, 128)])
@pytest.mark.parametrize("classes", [0, 527])
@torch.no_grad()
def test_timm_s_port_comes_in(tmp_path, size, classes):
    pool = {"global_pool": "avg"} if classes else {}
    other, args = timm_model(img_size=size, num_classes=classes, **pool)
    save_for_hf(other, tmp_path, model_args=args)
    loaded = load_with_report(tmp_path)
    assert loaded.report.complete and loaded.name.startswith("audiomae_")
    assert loaded.report.layout.startswith("timm's port of Audio-MAE")
    assert loaded.config.size == size and loaded.config.heads == 4 and loaded.recipe["data"] == DATA
    x = torch.randn(2, 1, *size)
    model = loaded.model.eval()
    if classes:
        assert model.answers.kind == "classes"
        assert_close(model(x), other(x), rtol=1e-5, atol=1e-5)
    found, expected = model.encoder.forward_features(x), other.forward_features(x)
    assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_timm_s_published_port_has_a_licence(tmp_path):
    other, _ = timm_model(num_classes=0)
    folder = tmp_path / "models--gaunernst--vit_base_patch16_1024_128.audiomae_as2m"
    folder.mkdir()
    save_file(other.state_dict(), folder / "model.safetensors")
    assert load_with_report(folder, heads=4).recipe["licence"] == "cc-by-nc-4.0"


@torch.no_grad()
def test_timm_opens_what_goes_out(tmp_path):
    model = model_of("classifier", size=(1024, 128))
    assert export(model, "timm", tmp_path / "out") < 1e-5
    back = load_with_report(tmp_path / "out")
    assert equal(back.model, model) and back.report.layout.startswith("timm's port")
    with pytest.raises(ValueError, match="no overlapping patches"):
        export(model_of("encoder", stride=10), "timm", tmp_path / "not")


KINDS = ["whole", "encoder", "classifier"]
SIZES = [(1024, 128), (512, 128), (64, 128)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_other_layout_takes_files_of_sounds(kind, size):
    state = OFFICIAL.to_theirs(model_of(kind, size=size, decoder="global").state_dict())
    fits = [layout for _, _, layout in layouts() if layout.fits(state)]
    assert fits[0] is OFFICIAL


PICTURED = [(128, 128), (224, 224), (256, 512), (1024, 1024), (96, 160)]


def table_of(size):
    """Codes that have not learned."""
    positions = Positions.sincos((size[0] // 16, size[1] // 16), 32, prefix=1)
    return {"positions.table": positions.table}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", PICTURED)
def test_files_of_images_of_one_channel_stay_images(size, channels):
    for kind in KINDS:
        model = model_of(kind, PICTURES, size=size, channels=channels, depth=1)
        model.encoder.load_state_dict(table_of(size), strict=False)
        state = IMAGES.to_theirs(model.state_dict())
        fits = [layout for _, _, layout in layouts() if layout.fits(state)]
        assert OFFICIAL not in fits and IMAGES in fits


def test_config_json_tells_images_from_sounds():
    state = {"patch_embed.proj.weight": torch.zeros(8, 1, 16, 16)}
    state["blocks.0.attn.qkv.weight"] = torch.zeros(24, 8)
    state["pos_embed"] = torch.ones(1, 513, 8)
    assert OFFICIAL.fits(state)  # 512 codes that have learned
    assert OFFICIAL.fits(state, {"model_args": {"img_size": [1024, 128]}})
    assert not OFFICIAL.fits(state, {"model_args": {"img_size": [256, 512]}})
    assert not OFFICIAL.fits(state, {"pretrained_cfg": {"input_size": [1, 256, 512]}})
    state["pos_embed"] = torch.ones(1, 257, 8)
    assert not OFFICIAL.fits(state)
    assert OFFICIAL.fits(state, {"pretrained_cfg": {"input_size": [1, 512, 128]}})


def test_other_bands_have_to_be_told(tmp_path):
    model = model_of("whole", size=(80, 48))
    state = OFFICIAL.to_theirs(model.state_dict())
    torch.save({"model": state}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="15 positions.*size=.frames, bands"):
        load_with_report(tmp_path / "a.pth", **HEADS)
    back = load_with_report(tmp_path / "a.pth", size=(80, 48), **HEADS)
    assert equal(back.model, model) and back.config.positions == "published"


@torch.no_grad()
def test_our_own_folders_come_back(tmp_path):
    model = create_model(SOUNDS, BandMasker(0.5, 0.25), **SMALL, stride=(12, 10)).eval()
    model.save_pretrained(tmp_path)
    back = maskedae.load(tmp_path)
    assert equal(back, model) and back.masker == model.masker and back.target == model.target
    node = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert node["feature_extractor_type"] == "ASTFeatureExtractor"


def test_the_preprocessor_is_one_of_transformers():
    from transformers import ASTFeatureExtractor

    recipe = {"model": {"size": [512, 64]}, "data": {"init_args": {"mean": [-6.0], "std": [3.0]}}}
    found = ASTFeatureExtractor(**preprocessor(recipe))
    assert (found.max_length, found.num_mel_bins, found.sampling_rate) == (512, 64, 16000)
    assert (found.mean, found.std) == (-6.0, 3.0)


def test_files_of_others_with_another_ending_are_found(tmp_path):
    model = model_of("whole")
    torch.save({"model": OFFICIAL.to_theirs(model.state_dict())}, tmp_path / "model.pyth")
    assert equal(load_with_report(tmp_path, **HEADS).model, model)


def test_a_setting_may_be_called_decoder(tmp_path):
    """Whoever starts from a file without its decoder may still say which one the model has."""
    model = model_of("whole")
    model.save_pretrained(tmp_path)
    loaded = load_with_report(tmp_path, with_decoder=False, decoder="global", size=(64, 128))
    assert isinstance(loaded.model, EncoderOnly) and loaded.report.complete
    assert loaded.config.decoder == "global" and loaded.model.encoder.grid == (4, 8)
