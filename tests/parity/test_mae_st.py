"""Equal to the official spatiotemporal MAE (Feichtenhofer et al. 2022): values of its code."""

import math
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from maskedae import create_model
from maskedae.flops import encoder_flops
from maskedae.models.layouts.mae_st import OFFICIAL
from maskedae.models.mae_st import frames
from maskedae.optim import adamw
from maskedae.zoo import model_config

sys.path.append(str(Path(__file__).parents[1]))
from golden import fill, images, noise  # noqa: E402

NAME = "mae_st_vit_base_patch16"


@pytest.fixture
def filled(tiny_clips):
    def build(**overrides):
        settings = {**tiny_clips, "predicted_frames": "first_to_last", **overrides}
        model = create_model(NAME, **settings)
        fill(OFFICIAL.to_theirs(dict(model.named_parameters())))
        return model

    return build


@pytest.mark.parametrize(
    ("normalize", "loss"), [(False, 0.5426387190818787), (True, 1.0381731986999512)]
)
def test_loss(filled, normalize, loss):
    out = filled(normalize_target=normalize)(images(2, 3, 16, 32, 32), noise=noise(2, 128))
    assert out.loss.item() == pytest.approx(loss, rel=1e-5)


def test_predictions_and_visible_patches(filled):
    model, x = filled(), images(2, 3, 16, 32, 32)
    mask = model(x, noise=noise(2, 128)).mask
    seen = {0, 1, 19, 37, 38, 55, 56, 74, 92, 93, 110, 111}
    assert set(mask.visible[0].tolist()) == seen
    every = model.decoder.imagine(model.encoder.forward_features(x, mask.visible), mask)
    first = torch.tensor([-0.1983897, 0.0790874, 0.2961720])
    assert every.shape == (2, 128, 192)
    assert_close(every[0, 0, :3], first, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("choice", "last"), [("first_to_last", 15), ("every_second", 14)], ids=str)
def test_frames_that_are_predicted(choice, last):
    assert frames(model_config(NAME, predicted_frames=choice)) == (0, 2, 4, 6, 8, 10, 12, last)


@pytest.mark.parametrize("count", [2, 4, 8, 32, 64])
def test_frames_of_other_clips_are_those_of_the_repository(count):
    config = model_config(NAME, size=(count, 32, 32), predicted_frames="first_to_last")
    assert frames(config) == tuple(torch.linspace(0, count - 1, count // 2).long().tolist())


def test_only_predicted_frames_count(filled):
    model, x = filled(), images(1, 3, 16, 32, 32)
    mask = model.draw_mask(1, noise=noise(1, 128))
    before = model(x, mask=mask).loss
    hidden = torch.zeros(1, 128).scatter(1, mask.hidden, 1).view(8, 4, 4)
    places = hidden.repeat_interleave(8, 1).repeat_interleave(8, 2)  # (8, 32, 32)
    other, same = x.clone(), x.clone()
    other[0, :, 15] += torch.randn(3, 32, 32) * places[7]
    same[0, :, 14] += torch.randn(3, 32, 32) * places[7]
    assert model(same, mask=mask).loss == before != model(other, mask=mask).loss


# Encoder parameters in millions and multiply-adds in 10^9, as published.
SIZES = [("base", 87, 180), ("large", 304, 598), ("huge", 632, 1193)]


@pytest.mark.parametrize(("size", "millions", "operations"), SIZES)
def test_sizes(size, millions, operations):
    build = partial(create_model, f"mae_st_vit_{size}_patch16")
    with torch.device("meta"):
        model = build()
    assert abs(sum(p.numel() for p in model.encoder.parameters()) / 1e6 - millions) < 0.7
    attention = model.decoder.blocks[0].attn
    assert (attention.proj.in_features, len(model.decoder.blocks), attention.heads) == (512, 4, 16)
    assert model.decoder.head.out_features == 768 and model.noise_size == 1568
    assert encoder_flops(build) / 2e9 == pytest.approx(operations, rel=0.01)


def test_initialisation():
    model = create_model(NAME, size=(4, 64, 64), depth=2, decoder_depth=1)
    named = OFFICIAL.to_theirs(dict(model.named_parameters()))
    assert (named.pop("decoder_cls_token") == 0).all()
    for name, tensor in named.items():
        if "norm" in name:
            assert (tensor == (1 if name.endswith("weight") else 0)).all()
        elif "token" in name or "pos_embed" in name:
            assert tensor.std().item() == pytest.approx(0.02, rel=0.1)
        elif name == "patch_embed.proj.bias":
            limit = (3 * 2 * 16**2) ** -0.5
            assert limit * 0.95 < tensor.abs().max() <= limit
        elif name.endswith("bias"):
            assert (tensor == 0).all()
        else:  # queries, keys and values apart
            rows, columns = tensor.flatten(1).shape
            limit = math.sqrt(6 / (rows + columns))
            assert limit * 0.99 < tensor.abs().max() <= limit * (1 + 1e-6)
            assert tensor.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)


def test_tokens_and_positions_are_decayed_in_pre_training(tiny_clips):
    model = create_model(NAME, **tiny_clips)
    decayed = [g for g in adamw(model, 0.05, (0.9, 0.95)).param_groups if g["weight_decay"]]
    found = {parameter for group in decayed for parameter in group["params"]}
    assert found == {parameter for parameter in model.parameters() if parameter.ndim > 1}
    assert sum(parameter.ndim == 3 for parameter in found) == 9
