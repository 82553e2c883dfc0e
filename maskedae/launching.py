"""From a task to a trained run folder: what every training does before and after its loop."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from maskedae.attention import try_kernels
from maskedae.checkpoints import WEIGHTS, read_config
from maskedae.classifier import Classifier
from maskedae.data import BadSample, Data, Source
from maskedae.detection.detector import Detector
from maskedae.learner import Learner
from maskedae.recipe import Recipe
from maskedae.runs import Run
from maskedae.settings import Train
from maskedae.stepping import Task
from maskedae.training import Trainer

KEPT = ("licence", "source")  # of weights, whatever becomes of them


class Launch(NamedTuple):
    """Where a training goes, and how its folder is opened."""

    out: Path
    config: dict[str, Any]  # the recipe as plain values
    resume: bool = False
    overwrite: bool = False
    say: Callable[[str], None] = print

    @property
    def goes_on(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.resume and Run(self.out).checkpoints.last is not None


def describe(
    recipe: Recipe, model: Learner | Classifier | Detector, accelerator: Accelerator
) -> str:
    """What is about to happen, for people to check: the model, the device, the batch."""
    train = recipe.train
    parameters = sum(p.numel() for p in model.parameters())
    micro = train.batch_size // (train.accumulate * accelerator.num_processes)
    return "\n".join(
        [
            f"model     {recipe.model_name}, {parameters / 1e6:.1f} M parameters, "
            f"grid {' and '.join(' x '.join(map(str, grid)) for grid in model.encoder.grids)}",
            f"device    {accelerator.device}, {accelerator.num_processes} process(es), "
            f"precision {accelerator.mixed_precision.replace('no', 'fp32')}",
            f"batch     {train.batch_size} = {micro} x {train.accumulate} accumulated x "
            f"{accelerator.num_processes} process(es)",
            f"lr        {train.peak_lr:.3g} = {train.base_lr:.3g} x {train.batch_size} / 256, "
            f"warm-up {train.warmup_epochs:g} of {train.epochs} epochs"
            + ", so that it is never reached" * (train.warmup_epochs >= train.epochs)
            + "".join(f", a tenth from epoch {s * train.epochs:.4g} on" for s in train.drops or ()),
        ]
    )


def begun_with(launch: Launch) -> dict[str, Any]:
    """What the last checkpoint of a run that goes on tells beside its weights; else nothing."""
    last = Run(launch.out).checkpoints.last if launch.goes_on else None
    return (read_config(last / WEIGHTS) if last else None) or {}


def heritage(model: Learner | Classifier | Detector, launch: Launch) -> dict[str, Any]:
    """Licence and source of the weights that were started from, also when a run goes on."""
    recipe = begun_with(launch) or model.encoder.recipe or {}
    return {name: recipe[name] for name in KEPT if name in recipe}


def try_reading(data: Data, source: Source | None) -> None:
    """Read a first sample, so that settings that do not fit are told at once."""
    with suppress(BadSample):
        if source is not None:
            data.signal(source.read(0))


def try_model(model: nn.Module, accelerator: Accelerator) -> None:
    """Raise ValueError if the attention of a model does not work where it will be trained."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(accelerator.mixed_precision)
    try_kernels(model, accelerator.device, dtype or torch.float32)


def run_training(
    task: Task,
    source: Source,
    train: Train,
    launch: Launch,
    accelerator: Accelerator,
    extra: dict[str, Any] | None = None,
) -> bool:
    """Train, or go on training, in a run folder; return whether the training is finished.

    What is in `extra` is stored in checkpoints beside the recipe.
    """
    run = Run(launch.out)
    config = {**launch.config, **(extra or {})}
    trainer = Trainer(task, source, train, run, config, accelerator)
    if accelerator.is_main_process:
        run.open(launch.config, launch.resume, launch.overwrite)
    accelerator.wait_for_everyone()
    if run.checkpoints.last:
        trainer.restore()
        launch.say(f"resumed   at step {trainer.step} of {trainer.plan.steps}")
    steps = sorted(set(gather_object([trainer.step])))
    if len(steps) > 1:
        raise ValueError(
            f"processes found checkpoints of different steps in {launch.out}, {steps}; a "
            f"folder that all machines see would fit"
        )
    run.remember_skipped()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        run.rewind(trainer.step if run.checkpoints.last else -1)
    curves = {"tensorboard": {"purge_step": trainer.step}}
    accelerator.init_trackers("curves", init_kwargs=curves)
    finished = trainer.train()
    for tracker in accelerator.trackers:  # processes stay together: another training may follow
        tracker.finish()
    if finished:
        launch.say(f"finished  {trainer.plan.steps} steps; weights and pictures in {run.folder}")
    return finished
