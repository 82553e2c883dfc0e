"""Which samples make which batch: a pure function of seed, epoch and samples seen.

Nothing here remembers anything, so a run resumes from a number, on any number of processes.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from maskedae.weighting import check_weights, occurrences, pool_weights, weighted_order

Draw = tuple[int, int]  # epoch, index of the sample
AGAIN = 2**32  # added to the epoch of a sample each time that it is drawn again in it


def key(*numbers: int) -> int:
    """Mix numbers into one seed of 63 bits; other numbers, or another order, give another seed."""
    packed = struct.pack(f"<{len(numbers)}q", *numbers)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little") >> 1


def generator(*numbers: int) -> np.random.Generator:
    """Random numbers that depend on the numbers alone."""
    return np.random.Generator(np.random.PCG64(key(*numbers)))


def permutation(count: int, *numbers: int) -> np.ndarray:
    """A shuffle of `count` that depends on the numbers alone."""
    return generator(*numbers).permutation(count)


def quotas(shares: list[tuple[int, float]], samples: int | None = None) -> list[int]:
    """How many samples of each root an epoch draws, by weight; by default as many as there are.

    >>> quotas([(90, 1.0), (10, 1.0)]), quotas([(90, 90.0), (10, 10.0)], 20)
    ([50, 50], [18, 2])
    """
    weight = sum(weight for _, weight in shares)
    total = sum(count for count, _ in shares) if samples is None else samples
    ends = np.cumsum([0.0] + [share / weight for _, share in shares])
    return np.diff(np.rint(ends * total).astype(np.int64)).tolist()


def epoch_order(
    shares: list[tuple[int, float]], seed: int, epoch: int, samples: int | None = None
) -> np.ndarray:
    """Indices of the samples of an epoch, in the order they are seen.

    Each root is dealt from one endless shuffled pile, a pile of all its samples after the other,
    so that every sample comes up as often as its fellows, whatever the weights.
    """
    parts, offset = [], 0
    for root, ((count, _), quota) in enumerate(zip(shares, quotas(shares, samples), strict=True)):
        first, last = epoch * quota, (epoch + 1) * quota
        piles = range(first // count, -(-last // count))
        dealt = [permutation(count, seed, root, pile) for pile in piles]
        start = first - piles.start * count
        if dealt:
            parts.append(np.concatenate(dealt)[start : start + quota] + offset)
        offset += count
    drawn = np.concatenate(parts)
    return drawn[permutation(len(drawn), seed, -1, epoch)]


@dataclass(frozen=True)
class Plan:
    """A whole training as numbers: which samples make the batch of every step."""

    shares: list[tuple[int, float]]
    batch_size: int  # of all processes and accumulated micro-batches together
    epochs: int
    seed: int
    samples_per_epoch: int | None = None  # by default as many as there are
    weights: np.ndarray | None = None  # (all samples,), how often each is drawn; None: all alike
    replacement: bool = True  # whether a weighted draw may repeat a sample in an epoch

    def __post_init__(self) -> None:
        if self.batch_size > self.samples:
            raise ValueError(
                f"a batch of {self.batch_size} is more than the {self.samples} samples there are; "
                f"--train.batch_size={2 ** (self.samples.bit_length() - 1)} would fit"
            )
        if self.weights is not None:
            check_weights(self.weights, sum(count for count, _ in self.shares))
            able = np.count_nonzero(self.weights)
            if not self.replacement and self.samples > able:
                raise ValueError(
                    f"{self.samples} samples cannot be drawn without replacement, for {able} have "
                    f"a weight above 0; --train.samples_per_epoch={able} or less would fit, or "
                    f"--train.replacement=true"
                )

    @property
    def samples(self) -> int:
        """Samples in an epoch."""
        return self.samples_per_epoch or sum(count for count, _ in self.shares)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; what is left over waits for another epoch."""
        return self.samples // self.batch_size

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    def order(self, epoch: int) -> np.ndarray:
        """Indices of the samples of an epoch, in the order they are seen."""
        if self.weights is None:
            return epoch_order(self.shares, self.seed, epoch, self.samples_per_epoch)
        pooled = pool_weights(self.weights, self.shares)
        return weighted_order(
            pooled, self.samples, self.replacement, generator(self.seed, -2, epoch)
        )

    def times(self, order: np.ndarray) -> np.ndarray:
        """Which draw of its sample in the epoch each one is: 0, then 1 when it comes again."""
        if self.weights is None and self.samples_per_epoch is None:
            return np.zeros_like(order)  # so runs of before go on; root weights alone repeat few
        return occurrences(order)


@dataclass(frozen=True)
class MicroBatches(Sampler[list[Draw]]):
    """The micro-batches that one process sees, from a step on.

    The batch of a step is cut into `accumulate` x `processes` micro-batches in one fixed order:
    who takes which does not change what the batch holds.
    """

    plan: Plan
    accumulate: int = 1
    process: int = 0
    processes: int = 1
    first_step: int = 0

    def __post_init__(self) -> None:
        if self.plan.batch_size % (self.accumulate * self.processes):
            raise ValueError(
                f"a batch of {self.plan.batch_size} does not divide into {self.processes} "
                f"processes x {self.accumulate} accumulated micro-batches"
            )

    @property
    def size(self) -> int:
        """Samples in a micro-batch."""
        return self.plan.batch_size // (self.accumulate * self.processes)

    def __len__(self) -> int:
        return (self.plan.steps - self.first_step) * self.accumulate

    def __iter__(self) -> Iterator[list[Draw]]:
        size = self.size
        order, times, ordered = np.empty(0, np.int64), np.empty(0, np.int64), -1
        for step in range(self.first_step, self.plan.steps):
            epoch, within = divmod(step, self.plan.steps_per_epoch)
            if epoch != ordered:
                order, ordered = self.plan.order(epoch), epoch
                times = self.plan.times(order)
            for micro in range(self.accumulate):
                start = within * self.plan.batch_size
                start += (micro * self.processes + self.process) * size
                part = slice(start, start + size)
                epochs = (epoch + AGAIN * times[part]).tolist()
                yield list(zip(epochs, order[part].tolist(), strict=True))
