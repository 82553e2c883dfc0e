"""Equal to the fine-tuned MAViL (Huang et al. 2023): values computed with its authors' code."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from maskedae import create_model, list_models
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.flops import encoder_flops
from maskedae.masking import RandomMasker
from maskedae.models.layouts.mavil import OFFICIAL
from maskedae.pairs import Pair, PairMasker
from maskedae.zoo import model_config

sys.path.append(str(Path(__file__).parents[1]))
from golden import fill  # noqa: E402

NAME = "mavil_vit_base"
ANSWERS = Answers("classes", tuple(f"class {number}" for number in range(527)))


def signal(*shape):
    values = torch.sin(0.001 * torch.arange(math.prod(shape), dtype=torch.float64))
    return values.float().view(shape)


@torch.no_grad()
def test_logits():
    encoder = create_model(NAME, fusion_depth=3, decoder_depth=1).encoder
    model = Classifier(encoder, ANSWERS).eval()
    named = OFFICIAL.to_theirs(model.state_dict())
    assert sum(tensor.numel() for tensor in named.values()) == 194_561_807
    # All are filled, codes of places, too, which `fill` would spare.
    fill({k: v.requires_grad_() for k, v in named.items()}, amplitude=0.02, first=0)
    there = torch.ones(1, dtype=torch.bool)
    pair = Pair(signal(1, 1, 1024, 128), signal(1, 3, 8, 224, 224), there, there)
    expected = torch.tensor([-0.448708, 0.567276, -0.545592, 0.539328])
    for encoder.lacking in (False, True):
        assert_close(model(pair)[0, :4], expected, atol=2e-6, rtol=0)


def test_names_are_the_official_ones():
    with torch.device("meta"):
        model = create_model(NAME)
        names = set(OFFICIAL.to_theirs(model.state_dict()))
        tuned = set(OFFICIAL.to_theirs(Classifier(model.encoder, ANSWERS).state_dict()))
    assert {"fc_norm_av.weight", "head_av.bias", "pos_embed_v", "cls_token_v"} <= tuned
    assert {
        "blocks_av.1.mlp.fc2.bias",
        "patch_embed_v.proj.bias",
        "blocks_v.11.norm1.bias",
    } <= tuned
    assert not any(name.startswith(("norm", "decoder")) for name in tuned)
    assert {"norm_v.weight", "mask_token_v", "decoder_embed_v.bias", "decoder_pos_embed_v"} <= names
    assert {"decoder_blocks_v.7.norm1.bias", "decoder_norm_v.bias", "decoder_pred_v.bias"} <= names


def millions(part):
    return sum(parameter.numel() for parameter in part.parameters()) / 1e6


def test_sizes():
    with torch.device("meta"):
        model = create_model(NAME)
    encoder = model.encoder
    for part, decoder in zip(encoder.parts, model.decoder.values(), strict=True):
        assert (len(decoder.blocks), decoder.blocks[0].attn.heads) == (8, 16)
        # What is known of each: 86 and 27 million.
        assert millions(part) == pytest.approx(86, abs=1)
        assert millions(decoder) == pytest.approx(26.5, abs=1)
    assert encoder.grids == [(64, 8), (4, 14, 14)] and encoder.fusion.depth == 2
    assert model.masker == PairMasker(RandomMasker(0.8), RandomMasker(0.8))
    assert model.decoder["video"].head.out_features == 1536
    found = encoder_flops(lambda: create_model(NAME, modality="a")) / 2e9
    assert found == pytest.approx(48.6, rel=0.01)


def test_there_are_those_of_the_paper_and_two_like_them():
    assert len(list_models("mavil_*")) == 3
    assert model_config("mavil_vit_large").depth == 24
