"""Equal to the official Audio-MAE (Huang et al. 2022): values computed with its code."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from maskedae import create_model, list_models
from maskedae.answers import Answers
from maskedae.bands import BandMasker
from maskedae.classifier import Classifier
from maskedae.codes import sincos
from maskedae.flops import encoder_flops
from maskedae.masking import RandomMasker
from maskedae.models.layouts.audiomae import OFFICIAL
from maskedae.zoo import model_config

sys.path.append(str(Path(__file__).parents[1]))
from golden import fill  # noqa: E402

NAME = "audiomae_vit_base_patch16"


def sounds(batch):
    values = torch.sin(0.001 * torch.arange(batch * 1024 * 128, dtype=torch.float64))
    return values.float().view(batch, 1, 1024, 128)


def noise(batch, patches):
    rows = torch.arange(patches) * 37 + torch.arange(batch)[:, None] * 11
    return rows % patches / patches


def bands(batch):
    """Noise of a BandMasker: that of slots first, that of bands last."""
    return torch.cat([noise(batch, 64), torch.zeros(batch, 440), noise(batch, 8)], dim=1)


@pytest.fixture(scope="module", params=["local", "global"])
def filled(request):
    model = create_model(NAME, decoder=request.param).eval()
    fill(OFFICIAL.to_theirs(model.state_dict()), amplitude=0.02, first=0)
    return model, request.param


EXPECTED = {
    "local": (1.102194, [-0.35717, -0.02878, 0.33745]),
    "global": (1.249029, [-0.37524, 0.02722, 0.42154]),
}


@torch.no_grad()
def test_loss_and_predictions(filled):
    model, kind = filled
    loss, values = EXPECTED[kind]
    out = model(sounds(2), noise=noise(2, 512))
    assert out.loss.item() == pytest.approx(loss, abs=2e-6)
    first = out.mask.visible[0].sort().values
    assert len(first) == 102 and first[:3].tolist() == [0, 1, 2] and first[3] > 7
    whole = model.decoder.imagine(
        model.encoder.forward_features(sounds(2), out.mask.visible), out.mask
    )
    assert_close(whole[0, 0, :3], torch.tensor(values), atol=1e-5, rtol=0)
    hidden = out.mask.hidden.unsqueeze(-1).expand(-1, -1, 256)
    assert_close(out.prediction, whole.gather(1, hidden), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("filled", ["local"], indirect=True)
def test_loss_behind_bands(filled):
    model, _ = filled
    mask = BandMasker(0.7, 0.3)(2, (64, 8), noise=bands(2))
    assert mask.visible.shape == (2, 95) and mask.hidden.shape == (2, 417)
    assert model(sounds(2), mask=mask).loss.item() == pytest.approx(1.101974, abs=2e-6)


@torch.no_grad()
def test_logits():
    answers = Answers("classes", tuple(f"class {number}" for number in range(527)))
    model = Classifier(create_model(NAME).encoder, answers).eval()
    fill(OFFICIAL.to_theirs(model.state_dict()), amplitude=0.02, first=0)
    expected = torch.tensor([-0.138024, 0.012322, 0.159592, 0.055899])
    assert_close(model(sounds(1))[0, :4], expected, atol=2e-6, rtol=0)
    mask = BandMasker(0.3, 0.3)(1, (64, 8), noise=bands(1))
    assert mask.visible.shape == (1, 220)
    expected = torch.tensor([-0.135240, 0.016702, 0.158282, 0.051079])
    assert_close(model(sounds(1), visible=mask.visible)[0, :4], expected, atol=2e-6, rtol=0)


def test_parameter_counts():
    with torch.device("meta"):
        model = create_model(NAME)
        state = model.state_dict()
        classifier = Classifier(model.encoder, Answers("classes", tuple(map(str, range(527)))))
    classifier.requires_grad_(True)
    assert len(state) == 430
    assert sum(tensor.numel() for tensor in state.values()) == 136_992_768
    trained = [p for p in classifier.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == 85_659_407


# Width, depth and heads as published, and multiply-adds of the encoder in 10^9.
SIZES = [("small", 384, 12, 6, None), ("base", 768, 12, 12, 48.6), ("large", 1024, 24, 16, None)]


@pytest.mark.parametrize(("size", "width", "depth", "heads", "operations"), SIZES)
def test_sizes(size, width, depth, heads, operations):
    c = model_config(f"audiomae_vit_{size}_patch16")
    assert (c.width, c.depth, c.heads) == (width, depth, heads) and c.shape == (1, 1024, 128)
    build = {kind: create_on_meta(size, kind) for kind in ("local", "global")}
    for kind, model in build.items():
        assert model.encoder.grid == (64, 8) and model.masker == RandomMasker(0.8)
        attention = model.decoder.blocks[0].attn
        assert (attention.proj.in_features, attention.heads) == (512, 16)
        assert len(model.decoder.blocks) == {"local": 16, "global": 8}[kind]
        assert model.decoder.head.out_features == 256
    if operations:
        found = encoder_flops(lambda: create_on_meta(size, "local")) / 2e9
        assert found == pytest.approx(operations, rel=0.01)


def create_on_meta(size, kind):
    with torch.device("meta"):
        return create_model(f"audiomae_vit_{size}_patch16", decoder=kind)


def test_overlapping_patches_are_as_many_as_published_and_numbered_rightly():
    with torch.device("meta"):
        model = create_model(NAME, stride=10)
    assert model.encoder.grid == (101, 12) and model.encoder.size == (1024, 128)
    # What is known of the larger encoder: 130.5 x 10^9 multiply-adds.
    found = encoder_flops(lambda: create_model(NAME, stride=10)) / 2e9
    assert found == pytest.approx(130.5, rel=0.01)
    small = create_model(NAME, stride=10, size=(46, 26), width=32, depth=1, heads=2)
    assert small.encoder.positions.table[0, 1:].equal(sincos((4, 2), 32))


def test_position_table():
    """Published row n is the code of (n % 64, n // 64); its place is (n // 8, n % 8)."""
    table = create_model(NAME, depth=1, decoder_depth=1).state_dict()["encoder.positions.table"][0]
    assert table.shape == (513, 768) and (table[0] == 0).all()
    rates = 10000 ** (-torch.arange(192, dtype=torch.float64) / 192)
    for n in (0, 7, 8, 63, 64, 511):
        angles = torch.cat([n % 64 * rates, n // 64 * rates]).view(2, 192)
        code = torch.cat([angles.sin(), angles.cos()], dim=1).flatten()
        assert_close(table[1 + n], code.float(), atol=1e-6, rtol=0)
    other = create_model(NAME, depth=1, decoder_depth=1, positions="corrected")
    assert other.encoder.positions.table[0, 1:].equal(sincos((64, 8), 768))
    assert other.decoder.positions.table[0, 1:].equal(sincos((64, 8), 512))


def test_initialisation():
    model = create_model(NAME, depth=2, decoder_depth=2)
    for name, tensor in OFFICIAL.to_theirs(model.state_dict()).items():
        if "norm" in name:
            assert (tensor == (1 if name.endswith("weight") else 0)).all()
        elif name.endswith("tau"):
            assert (tensor == 1).all()
        elif name in ("cls_token", "mask_token"):
            assert tensor.std().item() == pytest.approx(0.02, rel=0.1)
        elif name == "patch_embed.proj.bias":
            assert 0.95 / 16 < tensor.abs().max() <= 1 / 16
        elif name.endswith("bias"):
            assert (tensor == 0).all()
        elif "pos_embed" not in name:
            rows, columns = tensor.flatten(1).shape
            limit = math.sqrt(6 / (rows + columns))
            assert limit * 0.98 < tensor.abs().max() <= limit * (1 + 1e-6)
            assert tensor.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.04)


def test_names_are_the_official_ones():
    with torch.device("meta"):
        names = set(OFFICIAL.to_theirs(create_model(NAME).state_dict()))
    block = "decoder_blocks.15."
    assert {f"{block}attn.tau", f"{block}attn.meta_mlp.fc1.weight", f"{block}mlp.fc2.bias"} <= names
    assert {"decoder_pos_embed", "decoder_pred.weight", "blocks.11.attn.qkv.bias"} <= names
    assert {"cls_token", "mask_token", "patch_embed.proj.weight", "norm.weight"} <= names


def test_there_are_those_of_the_paper():
    assert len(list_models("audiomae_*")) == 3
