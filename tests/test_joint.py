"""Blocks in which two signals meet: who sees whom."""

import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from maskedae.joint import BottleneckBlocks, JointBlocks
from maskedae.transformer import Tower, set_checkpointing, set_drop_path

sys.path.append(str(Path(__file__).parent))
from pairing import KINDS  # noqa: E402

TOWER = Tower(width=16, depth=3, heads=2)


def blocks(kind):
    return JointBlocks(TOWER) if kind == "joint" else BottleneckBlocks(TOWER, 2)


@pytest.fixture(params=KINDS)
def fusion(request):
    return blocks(request.param).eval()


@pytest.fixture
def tokens():
    return torch.randn(3, 5, 16), torch.randn(3, 4, 16)


def test_there_is_an_output_after_every_block(fusion, tokens):
    found = fusion(*tokens)
    assert len(found) == fusion.depth == 3
    assert all([x.shape for x in both] == [(3, 5, 16), (3, 4, 16)] for both in found)


def test_both_learn_of_each_other(fusion, tokens):
    for side in tokens:
        side.requires_grad_()
    for mine, other in ((0, 1), (1, 0)):
        found = fusion(*tokens)
        # By a bottleneck, it takes two blocks.
        (grad,) = torch.autograd.grad(found[1][mine].square().sum(), tokens[other])
        assert (grad != 0).any(dim=-1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_block_is_enough_only_where_all_see_all(kind, tokens):
    tokens[1].requires_grad_()
    first = blocks(kind)(*tokens)[0][0].square().sum()
    (grad,) = torch.autograd.grad(first, tokens[1], allow_unused=True)
    assert (grad is not None and (grad != 0).any()) == (kind == "joint")


def test_what_is_absent_is_not_seen(fusion, tokens):
    x, y = tokens
    present = torch.tensor([True, True, False]), torch.tensor([False, True, False])
    before = fusion(x, y, present)[-1]
    other = torch.where(present[1].view(-1, 1, 1), y, torch.randn_like(y))
    after = fusion(x, other, present)[-1]
    assert_close(after[0][:2], before[0][:2])
    assert_close(after[1][1], before[1][1])
    assert all(side.isfinite().all() for side in after)
    # As if there had never been pictures.
    none = torch.tensor([True]), torch.tensor([False])
    assert_close(fusion(x[:1], y[:1, :0], none)[-1][0], before[0][:1], rtol=1e-4, atol=1e-5)
    # Where both are present, nothing is as if one might not be.
    assert_close(fusion(x, y)[-1][0][1], before[0][1])


def test_the_bottleneck_of_one_alone_is_its_own(tokens):
    fusion, heard = blocks("bottleneck").eval(), torch.ones(3, dtype=torch.bool)
    whole = torch.cat([tokens[0], fusion.tokens.expand(3, -1, -1)], dim=1)
    assert_close(fusion(*tokens, (heard, ~heard))[-1][0], fusion.audio(whole)[:, :-2])


def test_paths_are_dropped_by_noise(fusion, tokens):
    fusion.train()
    set_drop_path(fusion, 0.5)
    shape = 3, fusion.noise_size
    first, second = (fusion(*tokens, noise=torch.full(shape, n))[-1] for n in (0.0, 0.99))
    assert not first[0].allclose(second[0]) and not first[1].allclose(second[1])
    noise = torch.rand(shape)
    again = [fusion(*tokens, noise=noise)[-1][1] for _ in range(2)]
    assert again[0].equal(again[1])


def test_checkpointing_changes_no_gradient(fusion, tokens):
    fusion.train()
    kept = []
    for on in (False, True):
        set_checkpointing(fusion, on)
        fusion.zero_grad()
        sum(side.square().sum() for side in fusion(*tokens)[-1]).backward()
        kept.append([p.grad.clone() for p in fusion.parameters()])
    assert all(a.equal(b) for a, b in zip(*kept, strict=True))


def test_a_bottleneck_has_tokens():
    with pytest.raises(ValueError, match="0 tokens in the bottleneck; 1 or more would fit"):
        BottleneckBlocks(TOWER, 0)
