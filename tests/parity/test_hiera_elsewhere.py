"""Equal to Hiera in timm, and to how transformers stretches its positions."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from timm.models.hiera import Hiera
from torch.testing import assert_close
from transformers import HieraConfig, HieraModel

from maskedae import create_model, load

sys.path.append(str(Path(__file__).parents[1]))
from hieras import classifier, official  # noqa: E402

SMALL = {"width": 16, "heads": 2, "stages": (1, 2, 1, 2)}
DECODER = {"decoder_width": 32, "decoder_depth": 2, "decoder_heads": 4}
SIZES = [(64, 96), (96, 96), (32, 160)]


def build(size, positions):
    return create_model("hiera_tiny_224", size=size, positions=positions, **SMALL, **DECODER)


def pair(size, positions):
    """A classifier of ours and timm's with the same weights, no bias of them zero."""
    ours = classifier(build(size, positions).encoder, 5).eval()
    windowed = positions == "windowed"
    theirs = Hiera(
        size,
        embed_dim=16,
        num_heads=2,
        stages=(1, 2, 1, 2),
        num_classes=5,
        abs_win_pos_embed=windowed,
        global_pos_size=tuple(side // 16 for side in size),
    ).eval()
    given = dict(theirs.named_parameters())
    mine = {
        "head." + name.replace("head.projection", "fc")
        if name.startswith(("norm.", "head."))
        else name: parameter
        for name, parameter in official(ours).items()
    }
    assert set(given) == set(mine)
    for name, parameter in mine.items():
        parameter.data.copy_(given[name].data + 0.1 * torch.randn_like(parameter))
        given[name].data.copy_(parameter.data)
    return ours, theirs


@pytest.mark.parametrize("positions", ["windowed", "published"])
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_logits_and_features_of_timm(size, positions):
    ours, theirs = pair(size, positions)
    x = torch.randn(2, 3, *size)
    assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    for options in ({}, {"indices": [0, 2]}, {"indices": 2}, {"indices": [1], "stop_early": True}):
        mine, others = (
            model.forward_intermediates(x, intermediates_only=True, **options)
            for model in (ours.encoder, theirs)
        )
        assert len(mine) == len(others)
        for a, b in zip(mine, others, strict=True):
            assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert ours.encoder.feature_info == theirs.feature_info


@pytest.mark.parametrize("size", [(128, 128), (64, 160)])
@torch.no_grad()
def test_published_positions_are_stretched_as_in_transformers(tmp_path, size):
    model = build((64, 64), "published")
    model.save_pretrained(tmp_path)
    stretched = load(tmp_path, size=size).encoder.positions()
    config = HieraConfig(embed_dim=16, image_size=[64, 64], depths=[1, 1, 1, 1])
    theirs = HieraModel(config, add_pooling_layer=False).embeddings
    table, grid = model.encoder.positions.table, tuple(side // 4 for side in size)
    expected = theirs.interpolate_pos_encoding(torch.empty(1, grid[0] * grid[1], 16), table, *size)
    assert_close(stretched, expected, rtol=0, atol=1e-6)
    picture = table.transpose(1, 2).reshape(1, 16, 16, 16)
    picture = F.interpolate(picture, grid, mode="bicubic", align_corners=False)
    assert_close(stretched, picture.flatten(2).transpose(1, 2), rtol=0, atol=1e-6)
