"""From sources to batches: every sample brings its own randomness, bad ones are replaced."""

import atexit
import math
import multiprocessing
import signal
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maskedae.boxed import Boxed
from maskedae.data import BadSample, Source
from maskedae.pairs import Pair, stack_views
from maskedae.sampling import Draw, MicroBatches, key
from maskedae.stopping import SIGNALS

AUGMENT, NOISE = 0, 1  # what a sample's randomness is for
REPLACEMENTS = 100
AHEAD = 2**31  # bytes that workers may have read ahead, beyond a micro-batch for each
LARGEST = 2**25  # bytes of uint8 samples that are worth handling at once, where nothing is trained


class Skipped(NamedTuple):
    """A sample that could not be used, and why."""

    name: str
    reason: str


class Batch(NamedTuple):
    """Samples of a micro-batch, on their way to the model."""

    # uint8 (views * b, C, *size), the first view of every sample, then the second of every one;
    # None if no sample could be read in their place.
    samples: Tensor | Pair | Boxed | None
    noise: Tensor  # (views * b, noise_size)
    draws: list[Draw]  # b of them
    skipped: list[Skipped]
    labels: Tensor | None = None  # (views * b, ...) of the samples read, where they have any

    @property
    def views(self) -> int:
        """Views of each sample."""
        return 1 if self.samples is None else len(self.samples) // len(self.draws)

    def average(self, outputs: Tensor) -> Tensor:
        """The mean over the views of each sample: (views * b, ...) -> (b, ...)."""
        return outputs.view(self.views, len(self.draws), *outputs.shape[1:]).mean(0)


def batch_for(source: Source, most: int = 128) -> int:
    """How many samples of a source to handle at once, fewer the larger they are."""
    return max(1, min(most, LARGEST // math.prod(source.shape)))


class Samples(Dataset[Batch]):
    """Reads samples with randomness drawn from (seed, epoch, index) and nothing else."""

    def __init__(self, source: Source, seed: int, noise_size: int) -> None:
        self.source, self.seed, self.noise_size = source, seed, noise_size

    def __getitems__(self, draws: list[Draw]) -> Batch:
        """Read a micro-batch."""
        skipped: list[Skipped] = []
        read = [self._read(epoch, index, skipped) for epoch, index in draws]
        noise = torch.stack([self._noise(epoch, index) for epoch, index in draws])
        noise = noise.transpose(0, 1).flatten(0, 1)
        found = [sample for sample in read if sample is not None]
        if len(found) < len(draws):
            return Batch(None, noise, draws, skipped)
        samples, chosen = zip(*found, strict=True)
        labels = None
        if self.source.labels is not None:
            labels = torch.cat([self.source.labels[list(chosen)]] * self.source.shape[0])
        return Batch(stack_views(samples), noise, draws, skipped, labels)

    def _noise(self, epoch: int, index: int) -> Tensor:
        generator = torch.Generator().manual_seed(key(self.seed, epoch, index, NOISE))
        return torch.rand(self.source.shape[0], self.noise_size, generator=generator)

    def _read(
        self, epoch: int, index: int, skipped: list[Skipped]
    ) -> tuple[Tensor | Pair | Boxed, int] | None:
        """Read a sample, or the first readable one of a fixed series of others; say which."""
        with torch.random.fork_rng(devices=[]):
            for attempt in range(REPLACEMENTS):
                seed = key(self.seed, epoch, index, AUGMENT, attempt)
                chosen = index if attempt == 0 else seed % len(self.source)
                torch.default_generator.manual_seed(seed)
                try:
                    return self.source.read(chosen), chosen
                except BadSample as reason:
                    skipped.append(Skipped(self.source.name(chosen), str(reason)))
        return None


def _as_it_is(batch: Any) -> Any:
    return batch


def leave_signals_to_main(_: int = 0) -> None:
    """Let what asks a run to end be heard by a worker's parent, which ends it in good order."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)


@cache
def end_workers_at_exit() -> None:
    """Have workers killed when this process ends by an error, for it would wait for them.

    They do not heed SIGTERM, by which it would ask them to end.
    """

    def end() -> None:
        workers = multiprocessing.active_children()
        if workers:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's would cry over their death
        for worker in workers:
            worker.kill()

    atexit.register(end)


def training_loader(
    samples: Samples, batches: MicroBatches, workers: int, pin: bool
) -> DataLoader[Batch]:
    """Read micro-batches ahead in worker processes, one epoch after the other without a pause."""
    end_workers_at_exit()
    size = batches.size * math.prod(samples.source.shape)
    return DataLoader(
        samples,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        worker_init_fn=leave_signals_to_main,
        prefetch_factor=max(1, min(4, AHEAD // (workers * size))) if workers else None,
    )


class _Plain(Dataset[Batch]):
    """Reads samples one after the other, without replacing those that cannot be read."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitems__(self, indices: list[int]) -> Batch:
        samples, draws, skipped = [], [], []
        for index in indices:
            try:
                samples.append(self.source.read(index))
                draws.append((0, index))
            except BadSample as reason:
                skipped.append(Skipped(self.source.name(index), str(reason)))
        whole = stack_views(samples) if samples else None
        return Batch(whole, torch.empty(len(draws), 0), draws, skipped)


def read_in_order(
    source: Source, indices: list[int], batch_size: int, workers: int = 0
) -> Iterator[Batch]:
    """Read samples in the order given; those that cannot be read are left out and named."""
    end_workers_at_exit()
    parts = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    yield from DataLoader(
        _Plain(source),
        batch_sampler=parts,
        num_workers=min(workers, len(parts)),
        collate_fn=_as_it_is,
        worker_init_fn=leave_signals_to_main,
    )
