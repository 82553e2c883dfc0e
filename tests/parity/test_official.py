"""Equal to the official implementation (He et al. 2021): values computed with its code."""

import math
import sys
from pathlib import Path

import pytest
import torch

from maskedae import create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.codes import sincos
from maskedae.models.layouts.mae_facts import find_size, measure
from maskedae.models.layouts.mae_official import OFFICIAL
from maskedae.optim import learning_rate
from maskedae.patches import patchify

sys.path.append(str(Path(__file__).parents[1]))
from golden import fill, images, noise  # noqa: E402


@pytest.fixture
def filled(tiny):
    def build(**overrides):
        model = create_model("mae_vit_base_patch16", **tiny, **overrides)
        fill(OFFICIAL.to_theirs(dict(model.named_parameters())))
        return model

    return build


@pytest.mark.parametrize(
    ("normalize", "loss"), [(False, 0.5083176493644714), (True, 0.9998936057090759)]
)
def test_loss(filled, normalize, loss):
    out = filled(normalize_target=normalize)(images(2, 3, 32, 32), noise=noise(2, 16))
    assert out.loss.item() == pytest.approx(loss, rel=1e-5)


def test_predictions_and_visible_patches(filled):
    model, x = filled(), images(2, 3, 32, 32)
    mask = model(x, noise=noise(2, 16)).mask
    assert [set(row.tolist()) for row in mask.visible] == [{0, 5, 7, 14}, {0, 2, 9, 11}]
    latent = model.encoder.forward_features(x, mask.visible)
    every = model.decoder.imagine(latent, mask)
    first = torch.tensor([0.0326394, -0.1113808, -0.1052240, 0.0453286])
    last = torch.tensor([-0.0461356, -0.1144423, -0.0228883])
    torch.testing.assert_close(every[0, 0, :4], first, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(every[1, 15, -3:], last, atol=1e-6, rtol=1e-5)
    prediction = model(x, mask=mask).prediction
    where = mask.hidden[1].tolist().index(15)
    torch.testing.assert_close(prediction[1, where, -3:], last, atol=1e-6, rtol=1e-5)


def test_patchify():
    values = [-0.9948314, 0.9407906, -0.1019457, -0.9965987, 0.9481827, -0.0781761]
    found = patchify(images(2, 3, 32, 32), (8, 8))[0, 5, :6]
    torch.testing.assert_close(found, torch.tensor(values), atol=1e-6, rtol=1e-6)


FINE_TUNED = [
    ("mean", 0, [-0.3202287, 0.3532847, -0.3505618, 0.3614467, -0.3762143]),
    ("mean", 1, [-0.2899390, 0.3267772, -0.3279268, 0.3427613, -0.3615423]),
    ("class", 0, [0.0140832, 0.0888202, -0.0273058, 0.1402877, -0.0694718]),
]


@pytest.mark.parametrize(("pool", "sample", "logits"), FINE_TUNED)
def test_classifier(tiny, pool, sample, logits):
    encoder = create_model("mae_vit_base_patch16", **tiny).encoder
    model = Classifier(encoder, Answers("class", tuple("abcde")), pool).requires_grad_(True)
    fill(OFFICIAL.to_theirs(dict(model.named_parameters())))
    found = model(images(2, 3, 32, 32))[sample]
    torch.testing.assert_close(found, torch.tensor(logits), atol=2e-6, rtol=1e-5)


SIZES = [
    ("mae_vit_base_patch16", 111_907_840, 111_655_680, 85_798_656, 254, 150),
    ("mae_vit_large_patch16", 329_541_888, 329_239_296, 303_301_632, 398, 294),
    ("mae_vit_huge_patch14", 657_074_508, 656_613_964, 630_764_800, 494, 390),
]


@pytest.mark.parametrize(("name", "whole", "trained", "encoder", "tensors", "alone"), SIZES)
def test_parameter_counts(name, whole, trained, encoder, tensors, alone):
    with torch.device("meta"):
        model = create_model(name)
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) == whole
    assert sum(p.numel() for p in parameters if p.requires_grad) == trained
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert (len(model.state_dict()), len(model.encoder.state_dict())) == (tensors, alone)


def test_position_table():
    rows = [
        [0, 0, 1, 1, 0, 0, 1, 1],
        [0.841471, 0.0099998, 0.5403023, 0.99995, 0, 0, 1, 1],
        [0.9092974, 0.0199987, -0.4161468, 0.9998, 0, 0, 1, 1],
        [0, 0, 1, 1, 0.841471, 0.0099998, 0.5403023, 0.99995],
    ]
    torch.testing.assert_close(sincos((3, 3), 8)[:4], torch.tensor(rows), atol=1e-6, rtol=1e-6)
    table = sincos((14, 14), 768).double()
    assert table.sum().item() == pytest.approx(69594.493859, abs=1e-3)
    assert table.abs().sum().item() == pytest.approx(84118.415693, abs=1e-3)
    values = [0.8414709848, 0.8152506497, 1.049139727e-4, 0.5403023059, 0]
    assert table[1, [0, 1, 191, 192, 384]].tolist() == pytest.approx(values, abs=1e-7)


RATES = [
    (0, 0),
    (0.5, 3e-5),
    (20, 1.2e-3),
    (39.5, 2.37e-3),
    (40, 2.4e-3),
    (420, 1.2e-3),
    (799.9, 1.02524e-10),
]


@pytest.mark.parametrize(("epoch", "rate"), RATES)
def test_learning_rate(epoch, rate):
    assert learning_rate(epoch, 2.4e-3, 0, 40, 800) == pytest.approx(rate, rel=1e-4, abs=1e-15)


def test_initialisation():
    model = create_model("mae_vit_base_patch16", depth=2, decoder_depth=1)
    named = OFFICIAL.to_theirs(dict(model.named_parameters()))
    for name, tensor in named.items():
        if "norm" in name:
            assert (tensor == (1 if name.endswith("weight") else 0)).all()
        elif name in ("cls_token", "mask_token"):
            assert tensor.std().item() == pytest.approx(0.02, rel=0.1)
        elif name == "patch_embed.proj.bias":
            limit = (3 * 16**2) ** -0.5
            assert limit * 0.95 < tensor.abs().max() <= limit
        elif name.endswith("bias"):
            assert (tensor == 0).all()
        elif tensor.requires_grad:
            # Xavier on the matrix as it is stored: queries, keys and values are one matrix.
            rows, columns = tensor.flatten(1).shape
            limit = math.sqrt(6 / (rows + columns))
            assert limit * 0.99 < tensor.abs().max() <= limit * (1 + 1e-6)
            assert tensor.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)


def test_official_names_round_trip(filled):
    state = filled().state_dict()
    back, left_out = OFFICIAL.to_ours(OFFICIAL.to_theirs(state))
    settings, rows = measure(back), back["encoder.positions.table"].shape[1]
    assert not left_out
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert find_size(rows, settings["patch"], []) == (32, 32) and settings["depth"] == 2
    assert settings["decoder_width"] == 16 and settings["decoder_depth"] == 1
