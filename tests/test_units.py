import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from maskedae.stages import pooled
from maskedae.units import CONVOLUTIONS, UnitEmbed, places, units_of

POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
LAYOUTS = [
    ((5,), (2,), 3),
    ((2, 3), (2, 2), 3),
    ((3, 1), (2, 2), 1),
    ((2, 2), (3, 2), 2),
    ((4, 2, 3), (1, 2, 2), 2),
    ((2, 1, 2), (2, 2, 2), 2),
]


@pytest.mark.parametrize(("units", "steps", "times"), LAYOUTS)
def test_slices_of_tokens_are_what_pooling_makes_one(units, steps, times):
    grid = [n * step**times for n, step in zip(units, steps, strict=True)]
    picture = torch.randn(2, 4, *grid)
    order = places(units, steps, times)
    assert order.flatten().sort().values.equal(torch.arange(math.prod(grid)))
    tokens = picture.flatten(2).transpose(1, 2)[:, order]
    for left in reversed(range(times)):
        picture = POOLS[len(units)](picture, steps)
        tokens = pooled(tokens, math.prod(steps))
        expected = picture.flatten(2).transpose(1, 2)[:, places(units, steps, left)]
        assert tokens.equal(expected)
    assert tokens.shape == (2, math.prod(units), 1, 4)


@pytest.mark.parametrize(("units", "steps", "times"), LAYOUTS)
def test_tokens_of_a_unit_stand_in_one_block(units, steps, times):
    sides = [step**times for step in steps]
    numbers = torch.arange(math.prod(units)).view(units)
    for axis, side in enumerate(sides):
        numbers = numbers.repeat_interleave(side, axis)
    owners = numbers.flatten()[places(units, steps, times)]
    assert owners.equal(torch.arange(math.prod(units))[:, None].expand_as(owners))


STEMS = [
    ((9,), (4,), (5,), (2,), 2),
    ((7, 7), (4, 4), (2, 3), (2, 2), 2),
    ((7, 7), (4, 4), (4, 3), (2, 2), 3),
    ((3, 3), (1, 1), (3, 2), (2, 2), 2),  # reaches to the right, too
    ((5, 9), (1, 2), (3, 3), (2, 2), 1),
    ((5, 3), (4, 3), (3, 3), (2, 2), 1),
    ((3, 7, 7), (2, 4, 4), (3, 2, 2), (1, 2, 2), 2),
    ((5, 3, 3), (1, 1, 2), (4, 2, 3), (1, 2, 2), 1),
    ((3, 3, 3), (1, 2, 1), (2, 2, 2), (2, 2, 2), 1),
]


def embed_of(kernel, stride, units, steps, times):
    embed = UnitEmbed(2, kernel, stride, 6, units, steps, times)
    size = [n * side for n, side in zip(units, embed.sides, strict=True)]
    return embed, torch.randn(3, 2, *size)


@pytest.mark.parametrize("stem", STEMS)
def test_visible_units_see_zeros_where_others_are_hidden(stem):
    embed, signal = embed_of(*stem)
    units, count = embed.units, math.prod(embed.units)
    index = torch.stack([torch.randperm(count)[: max(count // 2, 1)] for _ in signal])
    seen = torch.zeros(3, count).scatter(1, index, 1).view(3, 1, *units)
    for axis, side in enumerate(embed.sides, start=2):
        seen = seen.repeat_interleave(side, axis)
    reach = [side // 2 for side in embed.weight.shape[2:]]
    whole = CONVOLUTIONS[len(units)](signal * seen, embed.weight, embed.bias, embed.stride, reach)
    every = whole.flatten(2).transpose(1, 2)[:, places(units, embed.steps, stem[-1])]
    expected = every[torch.arange(3)[:, None], index]
    assert_close(embed(signal, index), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stem", STEMS)
def test_all_units_chosen_are_all_units(stem):
    embed, signal = embed_of(*stem)
    index = torch.stack([torch.randperm(math.prod(embed.units)) for _ in signal])
    expected = embed(signal)[torch.arange(3)[:, None], index]
    assert_close(embed(signal, index), expected, atol=1e-5, rtol=1e-5)


def test_nothing_of_a_hidden_unit_is_seen():
    embed, signal = embed_of(*STEMS[1])
    signal.requires_grad_()
    embed(signal, torch.tensor([[0, 4], [1, 5], [2, 3]])).square().sum().backward()
    touched = signal.grad.abs().sum(1).view(3, 2, 16, 3, 16).sum((2, 4)).flatten(1) > 0
    assert touched.nonzero().tolist() == [[0, 0], [0, 4], [1, 1], [1, 5], [2, 2], [2, 3]]


@pytest.mark.parametrize(
    ("size", "fits"), [((225, 160), (224, 160)), ((8, 40), (32, 32)), ((100, 0), (96, 32))]
)
def test_sizes_that_units_do_not_tile_are_refused_with_the_nearest(size, fits):
    with pytest.raises(ValueError) as caught:
        units_of(size, (32, 32))
    assert f"{fits} would fit" in str(caught.value)
    assert units_of(fits, (32, 32))


@pytest.mark.parametrize(
    ("kernel", "stride"), [((4, 4), (4, 4)), ((3, 3), (4, 4)), ((7, 7), (4,)), ((7,), (4, 4))]
)
def test_kernels_without_a_centre_or_with_gaps_are_refused(kernel, stride):
    with pytest.raises(ValueError, match="odd ones, no shorter than their steps, would fit"):
        UnitEmbed(3, kernel, stride, 8, (2, 2), (2, 2), 1)
