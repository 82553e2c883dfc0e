import pytest
import torch
from torch.testing import assert_close

from maskedae.attention import eager, set_kernel
from maskedae.models.hiera import MODELS
from maskedae.stages import Stages, UnitAttention, UnitBlock, pooled
from maskedae.transformer import set_checkpointing, set_drop_path


def stages(*depths):
    return Stages(8, 2, depths)


@pytest.mark.parametrize(
    ("depths", "within"),
    [
        ((2, 3, 16, 3), 6),
        ((1, 2, 7, 2), 4),
        ((2, 6, 36, 4), 9),
        ((2, 3, 1, 1), 6),
        ((2, 3, 2), 3),
        ((2, 3), 0),
    ],
)
def test_attention_is_within_units_until_they_have_been_pooled_twice(depths, within):
    with torch.device("meta"):
        found = [block.attn.within for block in Stages(16, 1, depths)]
    assert found == [True] * within + [False] * (sum(depths) - within)


def test_widths_and_heads_double():
    with torch.device("meta"):
        blocks = Stages(16, 1, (1, 2, 3))
    assert [block.attn.proj.out_features for block in blocks] == [16, 32, 32, 64, 64, 64]
    assert [block.attn.heads for block in blocks] == [1, 2, 2, 4, 4, 4]
    assert [block.proj is not None for block in blocks] == [False, True, False, True, False, False]
    assert blocks.width == 64
    assert all(config.width % config.heads == 0 for config in MODELS.values())


@pytest.mark.parametrize("share", [1, 4])
def test_attention_within_units_is_masked_attention_among_all(share):
    one, other = (UnitAttention(8, 16, 2, within) for within in (True, False))
    other.load_state_dict(one.state_dict())
    units = torch.arange(3).repeat_interleave(8 // share), torch.arange(3).repeat_interleave(8)
    apart = units[0][:, None] != units[1]
    bias = torch.zeros(apart.shape).masked_fill(apart, -torch.inf)
    other.kernel = lambda q, k, v, _: eager(q, k, v, bias)[0]
    x = torch.randn(2, 3, 8, 8)
    assert one(x, share).shape == (2, 3, 8 // share, 16)
    assert_close(one(x, share), other(x, share))


def test_units_do_not_see_each_other_where_attention_is_within():
    x = torch.randn(1, 4, 16, 8, requires_grad=True)
    stages(1, 1, 1, 1)(x, (1, 4))[-1][0, 2].square().sum().backward()
    assert (x.grad.abs().sum((0, 2, 3)) > 0).tolist() == [False, False, True, False]


def test_order_of_units_does_not_matter():
    x, order, blocks = torch.randn(2, 5, 16, 8), torch.randperm(5), stages(1, 2, 1)
    for a, b in zip(blocks(x, (1, 4, 4)), blocks(x[:, order], (1, 4, 4)), strict=True):
        assert_close(a[:, order], b)


@pytest.mark.parametrize("shares", [(1, 4, 4), (1, 4, 1), (1, 1, 1), (1, 4), (1,)])
def test_tokens_become_fewer_and_wider(shares):
    ends, tokens = stages(1, 2, 1)(torch.randn(2, 3, 16, 8), shares), 16
    assert len(ends) == len(shares)
    for stage, (x, share) in enumerate(zip(ends, shares, strict=True)):
        tokens //= share
        assert x.shape == (2, 3, tokens, 8 * 2**stage)


def test_where_tokens_widen_the_residual_is_of_normalised_ones():
    block = UnitBlock(8, 16, 2, True, 1e-6)
    for part in (block.attn.proj, block.mlp.fc2):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    x = torch.randn(2, 3, 8, 8)
    assert_close(block(x, 4), pooled(block.proj(block.norm1(x)), 4))
    assert_close(block(x, 4), block(100 * x, 4), atol=1e-4, rtol=1e-4)


def test_pooling_is_the_maximum_over_slices():
    x = torch.randn(2, 3, 8, 5)
    assert pooled(x, 1) is x
    assert pooled(x, 4).equal(x.view(2, 3, 4, 2, 5).amax(2))


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_checkpointing_changes_no_gradient(drop_path):
    blocks, x = stages(1, 2, 1), torch.randn(4, 3, 16, 8)
    set_drop_path(blocks, drop_path)
    noise, found = torch.rand(4, 8), []
    for on in (False, True):
        set_checkpointing(blocks, on)
        assert blocks.checkpointing == on
        blocks.zero_grad()
        blocks(x, (1, 4, 4), noise)[-1].square().sum().backward()
        found.append([parameter.grad.clone() for parameter in blocks.parameters()])
    assert all(a.equal(b) for a, b in zip(*found, strict=True))


def test_checkpointing_computes_activations_again():
    blocks, calls = stages(1, 2, 1), []
    blocks[1].register_forward_pre_hook(lambda *_: calls.append(1))
    set_checkpointing(blocks, True)
    blocks(torch.randn(1, 2, 16, 8), (1, 4, 4))[-1].sum().backward()
    assert len(calls) == 2


def test_noise_of_a_sample_tells_which_of_its_paths_are_dropped():
    blocks, x, noise = stages(1, 2, 1), torch.randn(4, 3, 16, 8), torch.rand(4, 8)
    set_drop_path(blocks, 0.7)
    together = blocks(x, (1, 4, 4), noise)
    for number in range(4):
        alone = blocks(x[number, None], (1, 4, 4), noise[number, None])
        for a, b in zip(together, alone, strict=True):
            assert_close(a[number, None], b)
    other = blocks(x, (1, 4, 4), noise.flip(0))
    assert not torch.allclose(together[-1], other[-1])
    blocks.eval()
    assert_close(blocks(x, (1, 4, 4), noise)[-1], blocks(x, (1, 4, 4), noise.flip(0))[-1])


def test_a_dropped_path_adds_nothing_and_the_first_block_drops_none():
    blocks, x, noise = stages(1, 1, 2), torch.randn(1, 3, 16, 8), torch.ones(1, 8)
    set_drop_path(blocks, 0.6)
    noise[:, 6:] = 0.5  # of attention and MLP of the last block
    noise[:, :2] = 0.0
    before = []
    for block in blocks:
        block.register_forward_hook(lambda _, __, out: before.append(out))
    assert blocks(x, (1, 4, 4), noise)[-1].equal(before[2])
    assert_close(before[0], blocks.eval()(x, (1,))[0])


def test_some_blocks_are_a_plain_list():
    blocks = stages(1, 2, 1)
    assert list(blocks[1:]) == list(blocks)[1:] and blocks[-1] is list(blocks)[-1]


@pytest.mark.parametrize("kernel", ["eager", "sdpa-math"])
def test_kernels_give_the_same(kernel):
    blocks, x = stages(1, 2, 1), torch.randn(2, 3, 16, 8)
    before = blocks(x, (1, 4, 4))
    set_kernel(blocks, kernel)
    for a, b in zip(before, blocks(x, (1, 4, 4)), strict=True):
        assert_close(a, b)


def test_heads_that_do_not_share_a_width_are_refused():
    with pytest.raises(ValueError, match="a width of 10 does not divide into 4 heads"):
        Stages(10, 4, (1, 1))
