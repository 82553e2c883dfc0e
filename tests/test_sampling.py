from dataclasses import replace

import numpy as np
import pytest

from maskedae.sampling import MicroBatches, Plan, epoch_order, key, quotas

ONE = [(10, 10.0)]


def test_an_epoch_is_a_permutation_and_epochs_differ():
    first, second = epoch_order(ONE, 0, 0), epoch_order(ONE, 0, 1)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist() != epoch_order(ONE, 1, 1).tolist()
    assert first.tolist() == epoch_order(ONE, 0, 0).tolist()


def test_weights_share_an_epoch_and_every_sample_comes_up_equally_often():
    shares = [(20, 1.0), (5, 1.0)]
    assert quotas(shares) == [12, 13] or quotas(shares) == [13, 12]
    drawn = np.concatenate([epoch_order(shares, 0, epoch) for epoch in range(40)])
    counts = np.bincount(drawn, minlength=25)
    assert len(drawn) == 1000
    assert np.ptp(counts[:20]) <= 1 and np.ptp(counts[20:]) <= 1
    assert counts[20:].sum() in range(470, 531)


def union(plan, accumulate, processes, first_step=0):
    """All samples of every step, whoever sees them."""
    parts = [
        list(MicroBatches(plan, accumulate, process, processes, first_step))
        for process in range(processes)
    ]
    steps = len(parts[0]) // accumulate
    return [
        [
            draw
            for micro in range(accumulate)
            for p in parts
            for draw in p[step * accumulate + micro]
        ]
        for step in range(steps)
    ]


@pytest.mark.parametrize(("accumulate", "processes"), [(1, 4), (4, 1), (2, 2)])
def test_the_split_of_a_batch_does_not_change_it(accumulate, processes):
    plan = Plan([(50, 50.0)], batch_size=8, epochs=3, seed=1)
    assert union(plan, accumulate, processes) == union(plan, 1, 1)


def test_resuming_is_a_number():
    plan = Plan([(50, 50.0)], batch_size=8, epochs=3, seed=1)
    whole = union(plan, 1, 1)
    assert len(whole) == plan.steps == 18
    assert union(plan, 2, 2, first_step=7) == whole[7:]


def test_no_sample_twice_in_an_epoch():
    plan = Plan([(50, 50.0)], batch_size=8, epochs=2, seed=1)
    drawn = [draw for batch in union(plan, 1, 1) for draw in batch]
    assert len(set(drawn)) == len(drawn) == 96


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="more than the 50 samples.*batch_size=32 would fit"):
        Plan([(50, 50.0)], batch_size=64, epochs=1, seed=0)
    with pytest.raises(ValueError, match="does not divide into 3 processes x 1"):
        MicroBatches(Plan([(50, 50.0)], 8, 1, 0), processes=3)


def test_keys_differ():
    seen = {key(*numbers) for numbers in [(0,), (0, 0), (0, 1), (1, 0), (-1,)]}
    assert len(seen) == 5 and all(0 <= k < 2**63 for k in seen)


WEIGHTS = np.arange(1.0, 51.0)
WEIGHTED = [
    {"weights": WEIGHTS},
    {"weights": WEIGHTS, "samples_per_epoch": 40, "replacement": False},
    {"weights": WEIGHTS, "samples_per_epoch": 400},
    {"samples_per_epoch": 170},
]


@pytest.mark.parametrize("how", WEIGHTED)
def test_weighted_draws_do_not_depend_on_processes_or_resuming(how):
    plan = Plan([(20, 20.0), (30, 30.0)], batch_size=8, epochs=3, seed=1, **how)
    whole = union(plan, 1, 1)
    assert len(whole) == plan.steps == 3 * (plan.samples // 8)
    assert union(plan, 2, 2) == union(plan, 1, 4) == whole
    assert union(plan, 4, 1, first_step=7) == whole[7:]
    assert union(plan, 1, 1) != union(replace(plan, seed=2), 1, 1)
    assert not np.array_equal(plan.order(0), plan.order(1))


@pytest.mark.parametrize("how", WEIGHTED)
def test_no_two_draws_share_their_randomness(how):
    plan = Plan([(50, 50.0)], batch_size=8, epochs=3, seed=1, **how)
    draws = [draw for batch in union(plan, 1, 1) for draw in batch]
    assert len(set(draws)) == len(draws) == plan.steps * 8


@pytest.mark.parametrize("count", [7, 25, 60])
def test_epochs_of_any_length_deal_every_sample_equally_often(count):
    plan = Plan(ONE, batch_size=5, epochs=1, seed=0, samples_per_epoch=count)
    orders = [plan.order(epoch) for epoch in range(20)]
    assert {len(order) for order in orders} == {count}
    assert np.ptp(np.bincount(np.concatenate(orders), minlength=10)) <= 1
