import math

import pytest
import torch
from torch.testing import assert_close

from maskedae.fusion import Fusion, Shrink
from maskedae.units import CONVOLUTIONS, places

BLOCKS = [((2, 2), 1), ((2, 2), 2), ((1, 2, 2), 2), ((2, 2, 2), 1)]


def grids(tokens, order, shape):
    """Tokens of units as the pictures that they are: (B, V, L, D) -> (B V, D, *shape)."""
    rows = tokens[:, :, order.argsort()].flatten(0, 1).transpose(1, 2)
    return rows.reshape(*rows.shape[:2], *shape)


@pytest.mark.parametrize(("steps", "times"), BLOCKS)
@pytest.mark.parametrize("more", [0, 1])
def test_shrinking_is_a_convolution_of_every_unit(steps, times, more):
    shrink, one = Shrink(5, 7, steps, times), (1,) * len(steps)
    order, left = (places(one, steps, count)[0] for count in (times + more, more))
    tokens = torch.randn(2, 3, len(order), 5)
    sides = [[step**count for step in steps] for count in (times + more, times, more)]
    units, convolve = grids(tokens, order, sides[0]), CONVOLUTIONS[len(steps)]
    expected = convolve(units, shrink.weight, shrink.bias, sides[1])
    assert expected.shape[2:] == torch.Size(sides[2])
    found = grids(shrink(tokens), left, sides[2])
    assert_close(found, expected, atol=1e-5, rtol=1e-5)


def ends(widths, steps):
    """Tokens at the end of stages that all but the last have pooled."""
    lengths = [math.prod(steps) ** (len(widths) - 1 - n) for n in range(len(widths))]
    lengths[-1] = lengths[-2]
    return [torch.randn(2, 3, n, d) for n, d in zip(lengths, widths, strict=True)]


@pytest.mark.parametrize("steps", [(2, 2), (1, 2, 2)])
def test_the_sum_of_stages_is_normalised(steps):
    widths = [4, 8, 16, 32]
    fusion, stages = Fusion(widths, steps), ends(widths, steps)
    assert [tuple(head.weight.shape[1:]) for head in fusion.heads] == [
        (4, *(step**2 for step in steps)),
        (8, *steps),
    ]
    total = stages[-1] + fusion.heads[0](stages[0]) + fusion.heads[1](stages[1])
    expected = torch.nn.functional.layer_norm(total, (32,), eps=1e-6)
    assert_close(fusion(stages), expected.flatten(1, 2))
    stages[2] = torch.full_like(stages[2], torch.nan)
    assert_close(
        fusion(stages), expected.flatten(1, 2)
    )  # that of the last's resolution is left out


@pytest.mark.parametrize("widths", [[4, 8], [4, 8, 16, 32]])
def test_one_scale_is_the_last(widths):
    fusion, stages = Fusion(widths, (2, 2), several=False), ends(widths, (2, 2))
    expected = torch.nn.functional.layer_norm(stages[-1], (widths[-1],), eps=1e-6)
    assert len(fusion.heads) == 0
    assert_close(fusion(stages), expected.flatten(1, 2))


def test_two_stages_have_nothing_to_fuse():
    assert len(Fusion([4, 8], (2, 2)).heads) == 0


def test_tokens_of_one_unit_touch_no_other():
    fusion, stages = Fusion([4, 8, 16], (2, 2)), ends([4, 8, 16], (2, 2))
    stages[0].requires_grad_()
    fusion(stages).unflatten(1, (3, 4))[:, 1].square().sum().backward()
    assert (stages[0].grad.abs().sum((0, 2, 3)) > 0).tolist() == [False, True, False]
