"""Pre-training: learn to imagine what is hidden."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from maskedae.attention import try_kernels
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.data import BadSample, Data, Panel, Source
from maskedae.evaluation import encode_with, features, knn_accuracy, spread
from maskedae.loading import Batch, Skipped
from maskedae.recipe import Recipe
from maskedae.reconstruction import imagine_row, note
from maskedae.runs import Run
from maskedae.stepping import make_accelerator
from maskedae.training import Trainer
from maskedae.transformer import set_checkpointing
from maskedae.zoo import create_model

PICTURES, BANK, QUERIES = 6, 5000, 2000


class Pretraining:
    """Trains a masked autoencoder; looks at fixed samples and, where there are labels, at kNN."""

    score = "knn"

    def __init__(self, model: MaskedAutoencoder, data: Data, shape: tuple[int, ...]) -> None:
        self.model, self.data = model, data
        self.noise_size = model.noise_size
        self.bank = data.source("train", shape, augment=False)
        self.queries = data.source("held_out", shape, augment=False)

    def loss(
        self, model: nn.Module, signal: Tensor, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The masked autoencoder's own, with masks from the samples' noise."""
        noise = batch.noise.to(signal.device, non_blocking=True)
        mask = self.model.draw_mask(len(signal), noise=noise)
        out = model(signal, mask)
        return out.loss, out.metrics

    def look(self, path: Path) -> tuple[dict[str, float], list[Skipped]]:
        """Draw what is imagined of fixed samples; score the encoder on held-out ones."""
        self.model.eval()
        skipped = self._draw(path)
        scores, more = self._score()
        self.model.train()
        return scores, skipped + more

    def _draw(self, path: Path) -> list[Skipped]:
        source = self.queries or self.bank
        assert source is not None
        device = next(self.model.parameters()).device
        rows, skipped = list[list[Panel]](), list[Skipped]()
        for index in spread(len(source), PICTURES):
            try:
                signal = self.data.signal(source.read(index).unsqueeze(0).to(device))[0]
            except BadSample as reason:
                skipped.append(Skipped(source.name(index), str(reason)))
                continue
            name = Path(source.name(index)).name
            rows.append(imagine_row(self.model, signal, name, [self.model.masker], index))
        if rows:
            self.data.draw(rows, note(self.model, oracle=False), path)
        return skipped

    def _score(self) -> tuple[dict[str, float], list[Skipped]]:
        if self.queries is None or self.queries.labels is None or self.bank is None:
            return {}, []
        if self.bank.labels is None or len(self.bank.classes) < 2:
            return {}, []
        encode, device = encode_with(self.model.encoder), next(self.model.parameters()).device
        bank = features(encode, self.data, self.bank, device, BANK)
        queries = features(encode, self.data, self.queries, device, QUERIES)
        scored = len(bank.labels) and len(queries.labels)
        scores = {"knn": knn_accuracy(bank, queries)} if scored else {}
        return scores, bank.skipped + queries.skipped


def describe(recipe: Recipe, source: Source, task: Pretraining, accelerator: Accelerator) -> str:
    """What is about to happen, for people to check."""
    train, model = recipe.train, task.model
    parameters = sum(p.numel() for p in model.parameters())
    micro = train.batch_size // (train.accumulate * accelerator.num_processes)
    held_out = "none" if task.queries is None else f"{len(task.queries)} samples"
    classes = (
        f"{len(source.classes)} classes"
        if source.labels is not None
        else f"no labels, so no kNN score: {source.unlabelled}"
    )
    lines = [
        f"model     {recipe.model_name}, {parameters / 1e6:.1f} M parameters, "
        f"grid {' x '.join(map(str, model.encoder.grid))}, masker {recipe.masker}",
        f"data      {len(source)} samples, {classes}; held out: {held_out}",
        f"device    {accelerator.device}, {accelerator.num_processes} process(es), "
        f"precision {accelerator.mixed_precision.replace('no', 'fp32')}",
        f"batch     {train.batch_size} = {micro} x {train.accumulate} accumulated x "
        f"{accelerator.num_processes} process(es)",
        f"lr        {train.peak_lr:.3g} = {train.base_lr:.3g} x {train.batch_size} / 256, "
        f"warm-up {train.warmup_epochs:g} of {train.epochs} epochs",
    ]
    if source.labels is not None and len(source.classes) < 2:
        lines.append(f"warning   all samples are of one class, {source.classes[0]}: no kNN score")
    return "\n".join(lines)


def try_reading(data: Data, source: Source | None) -> None:
    """Read a first sample, so that settings that do not fit are told at once."""
    with suppress(BadSample):
        if source is not None:
            data.signal(source.read(0).unsqueeze(0))


def pretrain(
    recipe: Recipe,
    config: dict[str, Any],
    out: Path,
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> bool:
    """Train, or go on training, in a run folder; return whether the training is finished."""
    accelerator = make_accelerator(recipe.train, out)
    say = say if accelerator.is_main_process else lambda _: None
    source = recipe.data.source("train", recipe.model.shape, augment=True)
    assert source is not None
    torch.manual_seed(recipe.train.seed)
    values = dict(vars(recipe.model))
    model = create_model(recipe.model_name, recipe.masker, **values)
    set_checkpointing(model, recipe.train.checkpointing)
    task = Pretraining(model, recipe.data, recipe.model.shape)
    run = Run(out)
    # What cannot be masked, attended to or cut should be told before the folder is touched.
    model.draw_mask(1)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(accelerator.mixed_precision)
    try_kernels(model, accelerator.device, dtype or torch.float32)
    for part in (source, task.bank, task.queries):
        try_reading(recipe.data, part)
    trainer = Trainer(task, source, recipe.train, run, config, accelerator)
    say(describe(recipe, source, task, accelerator))
    if accelerator.is_main_process:
        run.open(config, resume, overwrite)
    accelerator.wait_for_everyone()
    if run.checkpoints.last:
        trainer.restore()
        say(f"resumed   at step {trainer.step} of {trainer.plan.steps}")
    run.remember_skipped()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        run.rewind(trainer.step if run.checkpoints.last else -1)
    curves = {"tensorboard": {"purge_step": trainer.step}}
    accelerator.init_trackers("curves", init_kwargs=curves)
    finished = trainer.train()
    accelerator.end_training()
    return finished
