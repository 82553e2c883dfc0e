import subprocess
import sys

import torch

from maskedae import loading
from maskedae.data import BadSample
from maskedae.loading import Samples, batch_for, read_in_order, training_loader
from maskedae.sampling import MicroBatches, Plan


class Numbers:
    """Samples that are their number and a random number; some cannot be read."""

    labels, classes, shares, shape = None, (), [(20, 20.0)], (1, 2)

    def __init__(self, bad=()):
        self.bad = set(bad)

    def __len__(self):
        return 20

    def name(self, index):
        return f"sample {index}"

    def read(self, index):
        if index in self.bad:
            raise BadSample("broken")
        return torch.tensor([[float(index), torch.rand(()).item()]])


def test_randomness_belongs_to_the_sample():
    samples = Samples(Numbers(), seed=3, noise_size=4)
    first = samples.__getitems__([(0, 5), (0, 7)])
    torch.rand(10)  # whatever else draws numbers
    again = samples.__getitems__([(0, 7)])
    assert again.samples[0].equal(first.samples[1]) and again.noise[0].equal(first.noise[1])
    other = samples.__getitems__([(1, 7)])
    assert not other.samples[0].equal(first.samples[1])
    assert not other.noise[0].equal(first.noise[1])
    assert not Samples(Numbers(), 4, 4).__getitems__([(0, 7)]).noise.equal(again.noise)


def test_reading_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    Samples(Numbers(), 0, 4).__getitems__([(0, 1)])
    assert torch.get_rng_state().equal(before)


def test_masks_do_not_depend_on_what_augmentation_draws():
    whole, broken = Samples(Numbers(), 0, 4), Samples(Numbers(bad=[5]), 0, 4)
    assert whole.__getitems__([(0, 5)]).noise.equal(broken.__getitems__([(0, 5)]).noise)


def test_bad_samples_are_replaced_by_the_same_others_and_named():
    first = Samples(Numbers(bad=[5, 6]), 0, 4).__getitems__([(0, 5), (0, 7)])
    again = Samples(Numbers(bad=[5, 6]), 0, 4).__getitems__([(0, 5)])
    assert first.samples.shape == (2, 2) and first.samples[0].equal(again.samples[0])
    assert first.samples[0, 0] not in (5, 6)
    assert ("sample 5", "broken") in first.skipped


def test_nothing_readable_gives_no_samples():
    batch = Samples(Numbers(bad=range(20)), 0, 4).__getitems__([(0, 5)])
    assert batch.samples is None and len(batch.skipped) == 100


class Pairs:
    """Samples of two views: their number, and their number and a half; every second is bad."""

    labels, shape = torch.arange(20), (2, 1)

    def __len__(self):
        return 20

    def name(self, index):
        return f"sample {index}"

    def read(self, index):
        if index % 2:
            raise BadSample("broken")
        return torch.tensor([[float(index)], [index + 0.5]])


def test_views_follow_each_other_view_by_view():
    batch = Samples(Pairs(), 0, 4).__getitems__([(0, 4), (0, 8)])
    assert batch.views == 2 and batch.samples.flatten().tolist() == [4, 8, 4.5, 8.5]
    assert batch.labels.tolist() == [4, 8, 4, 8] and len(batch.noise.unique(dim=0)) == 4
    again = Samples(Pairs(), 0, 4).__getitems__([(0, 8)])
    assert again.noise.equal(batch.noise[1::2])
    assert batch.average(batch.samples).flatten().tolist() == [4.25, 8.25]


def test_no_more_processes_read_than_there_are_batches(monkeypatch):
    started, load = [], loading.DataLoader
    record = lambda *data, **how: started.append(how["num_workers"]) or load(*data, **how)  # noqa: E731
    monkeypatch.setattr(loading, "DataLoader", record)
    (batch,) = read_in_order(Numbers(), [3, 4], batch_size=2, workers=96)
    assert started == [1] and [index for _, index in batch.draws] == [3, 4]


def test_views_of_samples_read_in_order_are_averaged():
    (batch,) = read_in_order(Pairs(), [0, 1, 2, 3], batch_size=4)
    assert batch.average(batch.samples).flatten().tolist() == [0.25, 2.25]


def test_large_samples_come_in_small_batches():
    class Large(Pairs):
        shape = (15, 3, 16, 224, 224)

    assert batch_for(Large()) == 1 and batch_for(Pairs()) == 128


def test_workers_change_nothing():
    order = MicroBatches(Plan([(20, 20.0)], 4, 2, 0))
    samples = Samples(Numbers(bad=[3]), 0, 4)
    alone, helped = (list(training_loader(samples, order, n, pin=False)) for n in (0, 2))
    assert len(alone) == len(helped) == 10
    for a, b in zip(alone, helped, strict=True):
        assert a.samples.equal(b.samples) and a.noise.equal(b.noise)
        assert a.draws == b.draws and a.skipped == b.skipped


def test_reading_in_order_leaves_bad_samples_out():
    batches = list(read_in_order(Numbers(bad=[1]), [0, 1, 2, 9], batch_size=3))
    assert [draw[1] for batch in batches for draw in batch.draws] == [0, 2, 9]
    assert batches[0].skipped == [("sample 1", "broken")]
    assert [len(batch.samples) for batch in batches] == [2, 1]


BROKEN = """
import torch
from maskedae.data import Source
from maskedae.loading import read_in_order

class Source:
    labels, shape = None, (1, 3, 8, 8)
    def __len__(self): return 1000
    def name(self, index): return str(index)
    def read(self, index): return torch.zeros(1, 3, 8, 8, dtype=torch.uint8)

batches = read_in_order(Source(), list(range(1000)), 2, workers=2)
next(batches)
raise RuntimeError("on purpose")
"""


def test_an_error_ends_the_process_whatever_its_workers_do():
    done = subprocess.run(
        [sys.executable, "-c", BROKEN], timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 1 and "on purpose" in done.stderr
    assert "killed" not in done.stderr
