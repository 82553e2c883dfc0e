"""Equal to the official CAV-MAE (Gong et al. 2023): a value computed with its code."""

import math
import sys
from pathlib import Path

import pytest
import torch

from maskedae import create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.masking import Mask
from maskedae.models.layouts.cav_mae import OFFICIAL
from maskedae.pairs import Pair

sys.path.append(str(Path(__file__).parents[1]))
from golden import fill  # noqa: E402

NAME, PARTS = "cav_mae_vit_base", ("weight", "bias")


def waves(*shape):
    values = torch.sin(0.001 * torch.arange(math.prod(shape), dtype=torch.float64))
    return values.float().view(shape)


def order(batch, patches):
    """Patches in the order of noise that a formula tells."""
    rows = torch.arange(patches) * 37 + torch.arange(batch)[:, None] * 11
    return (rows % patches).argsort(dim=1)


def masks(batch):
    """Three quarters are hidden; officially, sounds are numbered band by band."""
    found = order(batch, 512)
    sound = found % 64 * 8 + found // 64
    return (
        Mask(sound[:, :128], sound[:, 128:]),
        Mask(*order(batch, 196).tensor_split([49], dim=1)),
    )


@torch.no_grad()
@pytest.mark.parametrize("lacking", [False, True])
def test_published_losses(lacking):
    model = create_model(NAME)
    theirs = OFFICIAL.to_theirs(model.state_dict())
    tables = {name: table.clone() for name, table in theirs.items() if "pos_embed" in name}
    fill(theirs, amplitude=0.02, first=0)
    ours, left_out = OFFICIAL.to_ours({**theirs, **tables})
    assert len(left_out) == (11 + 11 + 8) * 8
    model.load_state_dict(ours)
    model.encoder.lacking = lacking
    there = torch.ones(2, dtype=torch.bool)
    signal = Pair(waves(2, 1024, 128)[:, None], waves(2, 3, 224, 224)[:, :, None], there, there)
    out = model(signal, (masks(2),))
    assert out.metrics["audio"].item() == pytest.approx(1.196508, abs=2e-6)
    assert out.metrics["video"].item() == pytest.approx(1.236994, abs=2e-6)
    assert 0.01 * out.metrics["inter"].item() == pytest.approx(0.0069315, abs=1e-7)
    assert out.loss.item() == pytest.approx(2.440433, abs=2e-6)


def test_parameter_counts():
    model = create_model(NAME)
    whole = OFFICIAL.to_theirs(model.state_dict())
    answers = Answers("classes", tuple(map(str, range(527))))
    tuned = OFFICIAL.to_theirs(Classifier(model.encoder, answers).state_dict())
    count = [sum(x.numel() for x in state.values()) / 1e6 for state in (whole, tuned)]
    assert count == pytest.approx([191.04, 164.91], abs=0.005)
    gone = {name for name in whole if "decoder" in name or name == "mask_token"}
    assert tuned.keys() - whole.keys() == {f"mlp_head.{i}.{p}" for i in "01" for p in PARTS}
    assert whole.keys() - tuned.keys() == gone
    assert {"blocks_a.10.norm1_v.bias", "blocks_u.0.norm2_v.weight", "modality_a"} <= whole.keys()
    assert {"decoder_blocks.7.norm2_a.bias", "decoder_modality_v", "decoder_pred_v.bias"} <= gone
