"""Blocks that look around in windows: what each token sees, on any grid."""

from functools import partial

import pytest
import torch
from timm.models.swin_transformer_v2_cr import SwinTransformerV2CrBlock
from torch import nn
from torch.testing import assert_close

from maskedae.attention import record_maps, set_kernel, try_kernels
from maskedae.cosine import CosineAttention
from maskedae.transformer import Tower, set_checkpointing
from maskedae.windowed import WindowedBlock, WindowedBlocks, Windows, log_steps

TOWER = Tower(width=16, depth=2, heads=2)
# The last reach beyond the grid, or are smaller than four, or both.
GRIDS = [(8, 8), (16, 4), (6, 8), (8, 4), (5, 4), (8, 2), (3, 5), (1, 8), (8, 1)]


def stack(grid, depth=2):
    """Blocks whose biases and norms, too, say something."""
    blocks = WindowedBlocks(Tower(width=16, depth=depth, heads=2), grid).eval()
    for parameter in blocks.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return blocks


def reach(blocks, grid, token, present=None):
    """Which places a token depends on: (H, W) bool."""
    x = torch.randn(1, torch.Size(grid).numel(), 16, requires_grad=True)
    blocks(x, present)[0, token].square().sum().backward()
    return (x.grad[0].abs().sum(1) > 0).view(grid)


@pytest.mark.parametrize("shift", [(0, 0), (2, 0), (1, 3)])
@pytest.mark.parametrize("grid", GRIDS)
def test_cut_and_join(grid, shift):
    windows = Windows(grid, (4, 4), shift)
    x = torch.randn(2, torch.Size(grid).numel(), 3)
    assert windows.join(windows.cut(x)).equal(x)


def test_even_blocks_see_their_window_and_odd_ones_half_of_two():
    inner = torch.zeros(8, 8, dtype=torch.bool)
    inner[:4, 4:] = True
    assert reach(stack((8, 8), depth=1), (8, 8), token=5).equal(inner)
    shifted = stack((8, 8))
    shifted[0] = Nothing()
    inner[:] = False
    inner[2:6, :4] = True  # along the first axis only
    assert reach(shifted, (8, 8), token=3 * 8).equal(inner)


class Nothing(nn.Module):
    def forward(self, x, *_):
        return x


def test_what_the_roll_puts_side_by_side_stays_apart():
    blocks = stack((8, 4))
    blocks[0] = Nothing()
    with record_maps(blocks) as maps:
        blocks(torch.randn(1, 32, 16))
    last = maps[0].view(2, 2, 16, 16)[1]  # of the last window
    assert (last[:, :8, 8:] < 1e-30).all() and (last[:, 8:, :8] < 1e-30).all()
    assert (last[:, :8, :8] > 0).all() and (maps[0].view(2, 2, 16, 16)[0] > 0).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_nothing_beyond_the_grid_is_seen(grid):
    blocks = stack(grid)
    with record_maps(blocks) as maps:
        x = torch.randn(2, torch.Size(grid).numel(), 16)
        assert blocks(x).isfinite().all()
    for number, windows in enumerate(blocks.windows):
        there = windows.cut(torch.ones(1, x.shape[1], 1))[0, :, :, 0]  # (W, L)
        seen = maps[number].unflatten(1, (len(there), 2))  # (B, W, heads, L, L)
        assert_close(seen.sum(-1), torch.ones(seen.shape[:-1]))
        some = seen[:, there.any(dim=1)]
        assert (some * (1 - there[there.any(dim=1)])[:, None, None]).max() == 0


def test_nothing_absent_is_seen():
    blocks, present = stack((8, 4)), torch.arange(32)[None] < 10
    assert not reach(blocks, (8, 4), 0, present).flatten()[10:].any()
    x = torch.randn(1, 32, 16)
    other = torch.where(present.unsqueeze(-1), x, torch.randn(1, 32, 16))
    assert_close(blocks(x, present)[:, :10], blocks(other, present)[:, :10])
    assert blocks(x, torch.zeros_like(present)).isfinite().all()


def test_order_is_that_of_the_grid():
    blocks, x = stack((8, 4)), torch.randn(2, 32, 16)
    order = torch.stack([torch.randperm(32) for _ in x])
    mixed = x.gather(1, order.unsqueeze(-1).expand_as(x))
    expected = blocks(x).gather(1, order.unsqueeze(-1).expand_as(x))
    prefixed = torch.cat([torch.randn(2, 1, 16), mixed], dim=1)
    assert_close(blocks.decode(prefixed, order), expected)
    assert_close(blocks.decode(prefixed, order, last=5), expected[:, -5:])
    present = torch.rand(2, 32) < 0.5
    told = torch.cat([present.new_ones(2, 1), present.gather(1, order)], dim=1)
    wanted = blocks(x, present).gather(1, order.unsqueeze(-1).expand_as(x))
    assert_close(blocks.decode(prefixed, order, present=told), wanted)


@pytest.mark.parametrize(
    ("sides", "shift"), [((4, 4), (0, 0)), ((4, 4), (2, 0)), ((4, 4), (2, 2)), ((2, 4), (1, 0))]
)
def test_a_block_is_timm_s(sides, shift):
    """With copied weights: outputs, and gradients of all weights and of what came in."""
    grid = 16, 8
    ours = WindowedBlock(TOWER, dropout=0.1).eval()
    norm = partial(nn.LayerNorm, eps=1e-6)
    theirs = SwinTransformerV2CrBlock(16, 2, grid, sides, norm_layer=norm, init_values=None).eval()
    theirs.shift_size = shift  # it would choose those of both axes
    theirs._init_buffers()
    state = {}
    for name, parameter in ours.named_parameters():
        parameter.data += 0.2 * torch.rand_like(parameter)
        state[name.replace(".near.", ".meta_mlp.")] = parameter.data
    state["attn.logit_scale"] = -state.pop("attn.tau").log()
    theirs.load_state_dict(state)
    first = torch.randn(2, 128, 16, requires_grad=True)
    second = first.detach().view(2, 16, 8, 16).requires_grad_()
    windows = Windows(grid, sides, shift)
    found = ours(first, windows, log_steps(sides, first), windows.bias(first, None))
    expected = theirs(second)
    assert_close(found.view_as(expected), expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn(2, 128, 16)
    (found * weight).sum().backward()
    (expected.flatten(1, 2) * weight).sum().backward()
    scale = second.grad.abs().max().item()
    assert_close(first.grad.view_as(second), second.grad, rtol=1e-5, atol=1e-5 * scale)
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    gradients["attn.tau"] = -gradients.pop("attn.logit_scale") / ours.attn.tau.detach()
    for name, parameter in ours.named_parameters():
        gradient = gradients[name.replace(".near.", ".meta_mlp.")]
        scale = gradient.abs().max().item()
        assert_close(parameter.grad, gradient, rtol=1e-5, atol=1e-5 * max(scale, 1))


def test_scores_are_cosines_over_a_temperature():
    """Written out: (q k) / max(|q| |k|, 1e-6) / max(tau, 0.01), plus what distances add."""
    layer, x, steps = CosineAttention(16, 2).eval(), torch.randn(1, 1, 6, 16), torch.randn(6, 6, 2)
    layer.tau.data = torch.tensor([0.5, 0.001])
    q, k, v = (part.view(6, 2, 8).transpose(0, 1) for part in layer.qkv(x)[0, 0].chunk(3, dim=-1))
    scores = q @ k.mT / (q.norm(dim=-1)[..., None] * k.norm(dim=-1)[:, None]).clamp(min=1e-6)
    scores = scores / torch.tensor([0.5, 0.01])[:, None, None]
    near = layer.near.fc2(layer.near.fc1(steps).relu()).permute(2, 0, 1)
    out = layer.proj(((scores + near).softmax(-1) @ v).transpose(0, 1).flatten(1))
    assert_close(layer(x, steps)[0, 0], out, rtol=1e-4, atol=1e-5)


def test_kernels_agree():
    blocks, x = stack((6, 4)), torch.randn(2, 24, 16)
    expected = blocks(x)
    for name in ("eager", "sdpa-math"):
        set_kernel(blocks, name)
        assert_close(blocks(x), expected, rtol=1e-5, atol=1e-5)
        try_kernels(blocks, torch.device("cpu"), torch.float32)


def test_a_kernel_that_takes_no_bias_is_refused():
    def unbiased(q, k, v, bias=None):
        if bias is not None:
            raise RuntimeError("no bias")
        return v

    blocks = stack((8, 4))
    blocks[0].attn.kernel = unbiased
    with pytest.raises(ValueError, match="does not work here: no bias"):
        try_kernels(blocks, torch.device("cpu"), torch.float32)


def test_bf16_changes_little():
    blocks, x = stack((6, 4)), torch.randn(2, 24, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = blocks(x)
    assert_close(found.float(), blocks(x), rtol=0, atol=0.15)


def test_dropout_is_of_what_distances_add_and_of_training_only():
    blocks, x = stack((8, 4)), torch.randn(1, 32, 16)
    assert blocks(x).equal(blocks(x))
    blocks.train()
    assert not blocks(x).equal(blocks(x))
    for block in blocks:
        block.attn.near.dropout = 0.0
    assert blocks(x).equal(blocks(x))
    blocks(x).square().sum().backward()
    bias = blocks[0].attn.near.fc2.bias
    assert (bias.grad == 0).all()  # one shift of all scores changes nothing


def test_checkpointing_changes_no_gradient():
    blocks, x = stack((8, 4)).train(), torch.randn(2, 32, 16)
    kept = []
    for on in (False, True):
        set_checkpointing(blocks, on)
        torch.manual_seed(3)
        blocks.zero_grad()
        blocks(x).square().sum().backward()
        kept.append([p.grad.clone() for p in blocks.parameters()])
    assert all(a.equal(b) for a, b in zip(*kept, strict=True))


@pytest.mark.parametrize("grid", [(8,), (4, 8, 8)])
def test_grids_of_other_axes_are_refused(grid):
    with pytest.raises(ValueError, match="the global decoder would fit"):
        WindowedBlocks(TOWER, grid)
