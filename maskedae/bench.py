"""How fast a recipe trains here: the model on a batch in memory, the data, one on the other."""

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from math import ceil
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from maskedae.attention import set_kernel
from maskedae.beginning import any_teacher
from maskedae.flops import count
from maskedae.learner import Learner, Output
from maskedae.loading import Batch, Samples, training_loader
from maskedae.pairs import count_values, make_signal
from maskedae.pretraining import Pretraining
from maskedae.ragged import suit
from maskedae.recipe import Recipe
from maskedae.sampling import MicroBatches, Plan
from maskedae.stepping import Stepper, make_accelerator, share_of_cores
from maskedae.transformer import set_checkpointing, set_drop_path
from maskedae.zoo import create_model

MOST, LARGEST = 64, 2**23  # samples and values of a micro-batch on a CPU, if none is given
BUDGET = 10.0  # seconds for each measurement, if no number of steps is given
ROUNDS = 10  # stretches of steps, at most; within one, nothing waits for the device
SQUARES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}  # sides of the matrices multiplied
TYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class ModelSpeed(NamedTuple):
    """The whole training step on a batch in memory; samples of all processes, FLOPs of this one."""

    steps: int  # that were timed
    steps_per_second: float
    samples_per_second: float
    flops_per_second: float
    peak_flops_per_second: float  # of large square matrix products
    share_of_peak: float
    peak_memory: int  # bytes: of the GPU, else of the whole process


def seconds(device: torch.device, work: Callable[[], object]) -> float:
    """Time work on a device that has nothing else left to do."""
    if device.type == "cpu":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    start, end = (torch.Event(device, enable_timing=True) for _ in range(2))
    torch.accelerator.synchronize()
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


class Peak:
    """The best that a machine does: products of large square matrices."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        sides = SQUARES.get(device.type, SQUARES["cpu"])
        squares = [torch.randn(n, n, device=device).to(dtype) for n in sides]
        self.device, self.pairs = device, [(a, torch.empty_like(a)) for a in squares]
        self.measure()  # now memory is mapped and kernels are chosen

    def measure(self) -> float:
        """FLOP/s of the side that suits the machine best, at this moment."""
        return max(
            2 * len(a) ** 3 / seconds(self.device, partial(torch.mm, a, a, out=out))
            for a, out in self.pairs
        )


def build(recipe: Recipe) -> Learner:
    """The model of a recipe."""
    return create_model(recipe.model_name, recipe.masker, **vars(recipe.model))


def flops(recipe: Recipe) -> tuple[int, int]:
    """Operations of a sample, counted: forward, forward and backward. Checkpointing adds none."""
    with torch.device("meta"):
        model = build(recipe)
        signal = make_signal(recipe.model.shape, lambda shape: torch.empty(1, *shape))
    set_kernel(model, "eager")  # its products the counter sees
    mask = model.draw_mask(1, noise=torch.rand(1, model.noise_size))
    teacher = any_teacher(model, recipe.model)

    def work() -> Output:
        return model(signal, mask, **({} if teacher is None else {"taught": teacher(signal)}))

    return count(work), count(lambda: torch.autograd.backward(work().loss))


def readable(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches as they come. Raises ValueError if in place of a sample none could be read."""
    for batch in batches:
        if batch.samples is None:
            raise ValueError(f"no readable sample was found in place of {batch.skipped[-1]}")
        yield batch


class Bench:
    """Takes the steps that `pretrain` would take, and times them; no run is written."""

    def __init__(self, recipe: Recipe, batch: int | None = None) -> None:
        self.recipe, self.train = recipe, recipe.train
        self.accelerator = make_accelerator(recipe.train, Path())
        self.device, self.processes = self.accelerator.device, self.accelerator.num_processes
        micro = max(self.train.batch_size // (self.train.accumulate * self.processes), 1)
        self.views = recipe.data.repeats  # of a sample, each one to the model
        if self.device.type == "cpu":
            values = self.views * count_values(recipe.model.shape)
            micro = max(1, min(micro, MOST, LARGEST // values))
        self.batch = batch or micro
        whole = self.batch * self.train.accumulate * self.processes  # samples drawn for a step
        self.samples = whole * self.views  # that the model sees
        torch.manual_seed(self.train.seed)
        model = build(recipe)
        set_checkpointing(model, self.train.checkpointing)
        set_drop_path(model.encoder, recipe.train.drop_path)
        suit(model, recipe.data)
        teacher = any_teacher(model, recipe.model)
        if teacher is not None:
            teacher = self.accelerator.prepare_model(teacher, evaluation_mode=True)
        self.task = Pretraining(model, recipe.data, teacher=teacher)
        self.stepper = Stepper(self.task, self.train, self.accelerator)
        self.workers = share_of_cores(self.train, self.processes)
        rooted = getattr(recipe.data, "root", None)
        self.source = recipe.data.source("train", recipe.model.shape, True) if rooted else None
        if self.source:
            self.plan = Plan(self.source.shares, whole, 10**6, self.train.seed)

    def take(self, batches: Iterator[Batch]) -> Tensor:
        """Take a step whose learning rate is zero: as much work, and nothing can diverge."""
        micro = [next(batches) for _ in range(self.train.accumulate)]
        return self.stepper.take(0, 0.0, micro, [0.0, 0.0, 0.0])

    def model_speed(self, training_flops: int, steps: int | None = None) -> ModelSpeed:
        """Time steps on one batch, in turn with matrix products: a machine's speed drifts."""
        batches = repeat(self._synthetic())
        work = training_flops * self.samples / self.processes
        self.take(batches)  # compiles, and makes the optimiser's memory
        second = torch.tensor(seconds(self.device, lambda: self.take(batches)))
        memory = self._memory()
        if steps is None:  # the same number on all processes
            known = self.accelerator.reduce(second.to(self.device), "mean").item()
            steps = min(max(round(BUDGET / known), 3), 100)
        stretch = ceil(steps / ROUNDS)
        peak = Peak(self.device, TYPES[self.accelerator.mixed_precision])
        times, peaks = [], []
        for _ in range(ceil(steps / stretch)):
            peaks.append(peak.measure())
            run = seconds(self.device, lambda: [self.take(batches) for _ in range(stretch)])
            times.append(run / stretch)
        rate = 1 / median(times)
        share = median(work / t / best for t, best in zip(times, peaks, strict=True))
        speeds = rate, rate * self.samples, rate * work, median(peaks)
        return ModelSpeed(len(times) * stretch, *speeds, share, memory)

    def _synthetic(self) -> Batch:
        """A micro-batch of noise, as the loader would hand it over."""
        count = self.batch * self.views
        samples = self.recipe.data.synthetic(count, self.recipe.model.shape)
        noise = torch.rand(count, self.task.noise_size)
        if self.device.type == "cuda":
            samples, noise = samples.pin_memory(), noise.pin_memory()
        return Batch(samples, noise, [(0, n) for n in range(self.batch)], [])

    def _memory(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024

    def data_speed(self, steps: int) -> tuple[float, float]:
        """Samples per second of the training loader alone, and of steps on what it reads."""
        assert self.source is not None
        rank, accumulate = self.accelerator.process_index, self.train.accumulate
        order = MicroBatches(self.plan, accumulate, rank, self.processes)
        samples = Samples(self.source, self.train.seed, self.task.noise_size)
        loader = training_loader(samples, order, self.workers, pin=self.device.type == "cuda")
        batches = readable(loader)
        for _ in range(2 * self.workers or 1):  # they start up, and nothing piles up meanwhile
            next(batches)
        began, read = time.perf_counter(), 0
        while read < 2 * self.workers or time.perf_counter() - began < BUDGET / 2:
            next(batches)
            read += 1
        alone = read * self.batch * self.views * self.processes / (time.perf_counter() - began)
        self.take(batches)
        fed = seconds(self.device, lambda: [self.take(batches) for _ in range(steps)])
        return alone, self.samples * steps / fed
