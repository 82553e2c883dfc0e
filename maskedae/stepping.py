"""One step of training: micro-batches in, changed weights and a few numbers out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, TorchDynamoPlugin
from torch import Tensor, nn
from torch.optim import Optimizer

from maskedae.checkpoints import optimizer_tensors, restore_optimizer
from maskedae.data import Data
from maskedae.loading import Batch, Skipped
from maskedae.optim import adamw, lars
from maskedae.processes import PATIENCE, cores_each
from maskedae.sampling import key
from maskedae.settings import Train

STEP_NOISE = 2  # what a seed is for, beside those of loading.py
RAW = "raw."  # marks weights in the optimiser's memory, where the model's are averages


class Task(Protocol):
    """What is trained, and how one looks at it."""

    @property
    def model(self) -> nn.Module:
        """What is trained and saved."""
        ...

    @property
    def data(self) -> Data:
        """Where samples come from."""
        ...

    @property
    def noise_size(self) -> int:
        """Random numbers that a sample brings along."""
        ...

    @property
    def score(self) -> str:
        """Which of the numbers that `look` returns tells the best checkpoint; more is better."""
        ...

    def loss(
        self, model: nn.Module, samples: Any, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a micro-batch, its samples on the device, and scalars to watch beside it."""
        ...

    def look(self, path: Path, accelerator: Accelerator) -> tuple[dict[str, float], list[Skipped]]:
        """Draw a picture and score the model; return scores, and what could not be read.

        Every process calls it; what the main one returns counts.
        """
        ...


def make_accelerator(settings: Train, folder: Path) -> Accelerator:
    """Choose device, precision and processes."""
    cpu = settings.device == "cpu" or not torch.accelerator.is_available()
    precision = settings.precision
    if precision == "auto":
        # Emulated, as on what came before Ampere, it would be slower than single precision.
        fit = not cpu and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if fit else "fp32"
    if cpu and precision == "fp16":
        raise ValueError("fp16 needs a GPU; --train.precision=bf16 or fp32 would fit")
    alone = os.environ.get("WORLD_SIZE", "1") == "1"  # what wraps the model otherwise is no graph
    compiler = TorchDynamoPlugin(backend="inductor", fullgraph=alone, dynamic=False)
    return Accelerator(
        cpu=cpu,
        mixed_precision={"fp32": "no"}.get(precision, precision),
        dynamo_plugin=compiler if settings.compile else None,
        log_with=settings.trackers,
        project_dir=folder,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )


def share_of_cores(settings: Train, processes: int) -> int:
    """Reading processes for each training process."""
    if settings.workers is not None:
        return settings.workers
    return cores_each(processes)


def make_optimizer(model: nn.Module, settings: Train) -> Optimizer:
    """The optimiser that settings ask for; its learning rate is set at every step."""
    if settings.optimizer == "lars":
        return lars(model, settings.weight_decay)
    return adamw(model, settings.weight_decay, settings.betas, settings.layer_decay)


class Stepper:
    """Owns model and optimiser while they are trained."""

    def __init__(self, task: Task, settings: Train, accelerator: Accelerator) -> None:
        self.task, self.settings, self.accelerator = task, settings, accelerator
        task.model.train()  # what was loaded comes ready for use
        optimizer = make_optimizer(task.model, settings)
        self.model, self.prepared = accelerator.prepare(task.model, optimizer)
        self.optimizer = optimizer
        self.names = {p: name for name, p in task.model.named_parameters() if p.requires_grad}
        kept = self.names if settings.ema is not None else {}
        self.averages = [p.detach().clone() for p in kept]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any] | None]:
        """Weights, the optimiser's memory, and the state of the loss scaler, if there is one.

        Where averages are kept, they are the weights: what others load.
        """
        scaler = self.accelerator.scaler
        memory = optimizer_tensors(self.optimizer, self.names)
        weights = self.task.model.state_dict()
        for (parameter, name), average in zip(self.names.items(), self.averages, strict=False):
            memory[RAW + name], weights[name] = parameter.detach(), average
        return weights, memory, scaler.state_dict() if scaler else None

    def restore(
        self, weights: dict[str, Tensor], memory: dict[str, Tensor], scaler: dict[str, Any] | None
    ) -> None:
        """Take a state up again."""
        raw = {k.removeprefix(RAW): v for k, v in memory.items() if k.startswith(RAW)}
        self.task.model.load_state_dict({**weights, **raw})
        for name, average in zip(self.names.values(), self.averages, strict=False):
            average.copy_(weights[name])
        moments = {k: v for k, v in memory.items() if not k.startswith(RAW)}
        restore_optimizer(self.optimizer, self.names, moments)
        if self.accelerator.scaler and scaler:
            self.accelerator.scaler.load_state_dict(scaler)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model its averages for a while, if they are kept."""
        trained = list(self.names)[: len(self.averages)]
        raw = [p.detach().clone() for p in trained]
        _copy(trained, self.averages)
        try:
            yield
        finally:
            _copy(trained, raw)

    def take(self, step: int, lr: float, batches: list[Batch], host: list[float]) -> Tensor:
        """Update the weights with one batch.

        Returns, still on the device and averaged over processes, the loss, the norm of the
        gradient, the numbers in `host` and the metrics, whose names are in `self.watched`.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        seed = key(self.settings.seed, step, STEP_NOISE)
        loss, watched = torch.zeros((), device=self.accelerator.device), dict[str, Tensor]()
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            # What is not a sample's is the same, however a batch is divided.
            torch.manual_seed(seed)
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                part, metrics = self._loss(batch)
                self.accelerator.backward(part / len(batches))
            loss = loss + part.detach().float() / len(batches)
            for name, value in metrics.items():
                watched[name] = watched.get(name, 0) + value.detach().float() / len(batches)
        self.watched = list(watched)
        # One process skips a step if any does: their weights must stay the same.
        loss = self.accelerator.reduce(loss, "mean")
        told = torch.tensor(host).to(loss.device, non_blocking=True)
        facts = torch.stack([loss, self._update(loss), *told, *watched.values()])
        return self.accelerator.reduce(facts, "mean")

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.samples is not None
        samples = batch.samples.to(self.accelerator.device, non_blocking=True)
        return self.task.loss(self.model, samples, batch)

    def _update(self, loss: Tensor) -> Tensor:
        """Step the optimiser if loss and gradient are finite; return the gradient's norm."""
        self.accelerator.unscale_gradients()
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.names if p.grad is not None])
        if self.settings.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(list(self.names), self.settings.clip, norm)
        fused = isinstance(self.optimizer, torch.optim.AdamW)
        if self.accelerator.scaler is None and fused:
            # The fused kernel then leaves everything as it is, and the host need not wait to look.
            self.optimizer.found_inf = (~(loss + norm).isfinite()).float()  # type: ignore[attr-defined]
            self.optimizer.grad_scale = None  # type: ignore[attr-defined]
        if fused or self.accelerator.scaler is not None or bool((loss + norm).isfinite()):
            self.prepared.step()
        self.optimizer.zero_grad()
        if self.averages:
            share = 1 - (self.settings.ema or 0.0)
            torch._foreach_lerp_(self.averages, [p.detach() for p in self.names], share)
        return norm


@torch.no_grad()
def _copy(parameters: list[nn.Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
