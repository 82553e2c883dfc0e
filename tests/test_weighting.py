"""Samples drawn by weight come up as often as they should."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from maskedae.sampling import Plan, generator
from maskedae.weighting import balanced_weights, weighted_order

WEIGHTS = np.array([0.0, 1.0, 2.0, 4.0, 0.0, 8.0, 0.0])


def test_with_replacement_samples_come_up_by_weight():
    counts = np.bincount(weighted_order(WEIGHTS, 60_000, True, generator(0)), minlength=7)
    expected = 60_000 * WEIGHTS / WEIGHTS.sum()
    assert not counts[WEIGHTS == 0].any()
    assert (np.abs(counts - expected) <= 4 * np.sqrt(expected)).all()


def test_without_replacement_the_order_of_drawing_follows_the_weights():
    # The chance that a pair is drawn, one after the other by weight: w_a / W * w_b / (W - w_a).
    able, total = np.flatnonzero(WEIGHTS), WEIGHTS.sum()
    found = np.zeros((7, 7))
    for seed in range(4000):
        a, b = sorted(weighted_order(WEIGHTS, 2, False, generator(seed)))
        found[a, b] += 1
    for a in able:
        for b in able[able > a]:
            one, other = WEIGHTS[a], WEIGHTS[b]
            chance = one * other / total * (1 / (total - one) + 1 / (total - other))
            assert abs(found[a, b] - 4000 * chance) <= 4 * np.sqrt(4000 * chance)
    assert found.sum() == 4000 and not found[WEIGHTS == 0].any()


def test_without_replacement_no_sample_comes_twice():
    rng = np.random.default_rng(0)
    order = weighted_order(rng.pareto(1, 1000), 700, False, generator(0))
    assert len(set(order.tolist())) == 700
    assert np.abs(np.corrcoef(np.arange(700), order)[0, 1]) < 0.15  # not sorted


def test_balanced_classes_are_drawn_equally_often():
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    weights = balanced_weights(labels)
    plan = Plan([(1000, 1000.0)], 10, 1, 0, 30_000, weights.numpy())
    drawn = labels.numpy()[plan.order(0)]
    assert (np.abs(np.bincount(drawn) - 10_000) < 4 * np.sqrt(10_000)).all()


def test_balanced_weights_are_those_published():
    labels = torch.tensor([[1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]]).bool()
    one, two, three = (1000 / (count + 0.01) for count in (3, 1, 1))
    expected = torch.tensor([one + three, one + two, one, 0.0], dtype=torch.float64)
    assert_close(balanced_weights(labels), expected)
    with pytest.raises(ValueError, match="only classes"):
        balanced_weights(torch.tensor([0.5, 1.0]))


def test_roots_that_weigh_more_are_drawn_more():
    shares = [(10, 3.0), (90, 1.0)]
    plan = Plan(shares, 10, 1, 0, 40_000, np.ones(100))
    assert abs((plan.order(0) < 10).sum() - 30_000) < 4 * np.sqrt(7_500)


@pytest.mark.parametrize(
    ("weights", "options", "words"),
    [
        ([1.0, 2.0], {}, "3 samples need as many weights, not 2"),
        ([1.0, float("nan"), 2.0], {}, "0 or more"),
        ([1.0, -1.0, 2.0], {}, "not -1 to 2"),
        ([0.0, 0.0, 0.0], {}, "some are above"),
        ([1.0, 0.0, 2.0], {"replacement": False}, "samples_per_epoch=2 or less would fit"),
    ],
)
def test_weights_that_make_no_sense(weights, options, words):
    with pytest.raises(ValueError, match=words):
        Plan([(3, 3.0)], 1, 1, 0, weights=np.array(weights), **options)
