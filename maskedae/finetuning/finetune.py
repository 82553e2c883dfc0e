"""Fine-tuning: an encoder, pre-trained or not, learns to answer from labels."""

import math
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.data import Data, Source
from maskedae.finetuning.answering import answer
from maskedae.finetuning.auditing import audit
from maskedae.finetuning.mixing import Mixing
from maskedae.finetuning.objectives import SCORE, answers_of, loss, measure
from maskedae.finetuning.pictures import draw_answers
from maskedae.fitting import Report
from maskedae.inflating import inflate
from maskedae.launching import (
    KEPT,
    Launch,
    describe,
    heritage,
    run_training,
    try_model,
    try_reading,
)
from maskedae.loading import Batch, Skipped
from maskedae.ragged import suit
from maskedae.recipe import Recipe
from maskedae.sampling import key
from maskedae.settings import Finetune, Train
from maskedae.stepping import make_accelerator, share_of_cores
from maskedae.transformer import set_checkpointing, set_drop_path
from maskedae.weights import EncoderOnly, load_with_report
from maskedae.zoo import create_model

MIX = 3  # what a seed is for, beside those of loading.py and stepping.py


class Finetuning:
    """Trains a classifier; scores it on what is held out."""

    def __init__(
        self,
        model: Classifier,
        data: Data,
        held_out: Source | None,
        settings: Finetune,
        train: Train,
    ) -> None:
        self.model, self.data, self.settings, self.train = model, data, settings, train
        grids = model.encoder.grids if settings.masker else []
        # Numbers that say what is dropped, then what is hidden, then how signals are augmented.
        dropping, hiding = model.encoder.noise_size, sum(map(math.prod, grids))
        self.ends = [dropping, dropping + hiding]
        self.noise_size = dropping + hiding + data.noise_size
        self.score = SCORE[model.answers.kind]
        self.mix = Mixing(model.answers, settings.mixup, settings.cutmix, settings.mix_share)
        self.held_out = held_out if held_out is not None and held_out.labels is not None else None

    def loss(
        self, model: nn.Module, samples: Any, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy or its kin with mixed samples, smoothed labels and dropped paths."""
        assert batch.labels is not None
        noise, labels = (
            part.to(samples.device, non_blocking=True) for part in (batch.noise, batch.labels)
        )
        firsts = [(view, *draw) for view in range(batch.views) for draw in batch.draws[::2]]
        seeds = [key(self.train.seed, epoch, i, MIX, view) for view, epoch, i in firsts]
        samples, labels = self.mix(samples, labels, seeds)
        dropped, hidden, augmented = noise.tensor_split(self.ends, dim=1)
        signal = self.data.signal(samples, augmented)
        logits = model(signal, dropped, self._visible(signal, hidden))
        smoothing, binary = self.settings.smoothing, self.settings.binary
        return loss(self.model.answers, logits, labels, smoothing, binary), {}

    def _visible(self, signal: Any, noise: Tensor) -> Any:
        if self.settings.masker is None:
            return None
        return self.model.encoder.choose(self.settings.masker, signal, noise)

    def look(self, path: Path, accelerator: Accelerator) -> tuple[dict[str, float], list[Skipped]]:
        """Score all held-out samples, and draw how they were answered."""
        if self.held_out is None:
            return {}, []
        for buffer in self.model.buffers():  # of batch norm: each process has seen other samples
            buffer.copy_(broadcast(buffer.clone()))
        workers = share_of_cores(self.train, accelerator.num_processes)
        found = answer(self.model, self.data, self.held_out, accelerator, workers)
        if not accelerator.is_main_process or not len(found.samples):
            return {}, found.skipped
        assert self.held_out.labels is not None
        labels = self.held_out.labels[found.samples]
        scores = measure(self.model.answers, found.logits, labels)
        title = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        draw_answers(self.model.answers, found.logits, labels, title, path)
        return scores, found.skipped


def make_classifier(recipe: Recipe, answers: Answers, launch: Launch) -> Classifier:
    """A classifier on the encoder that the recipe starts from; say how its weights fitted.

    Whoever goes on with a run needs no weights to start from. A classifier of the same classes
    keeps its head.
    """
    settings, values = recipe.finetune or Finetune(), vars(recipe.model)
    if recipe.init == "none" or launch.goes_on:
        encoder = create_model(recipe.model_name, **values).encoder
    else:
        model, report = starting_model(recipe)
        launch.say(f"init      {report}")
        if isinstance(model, Classifier) and model.answers == answers:
            head = model.encoder.head
            if (head.pool, head.batch_norm) == (settings.pool, settings.batch_norm):
                launch.say("          its head goes on, for the classes are the same")
                head.dropout = settings.dropout
                return model
            launch.say("          its head goes, for pooling or norm are others")
        elif isinstance(model, Classifier):
            launch.say("          its head goes, for the classes are others")
        encoder = model.encoder
    pool, batch_norm = settings.pool, settings.batch_norm
    return Classifier(encoder, answers, pool, batch_norm, settings.dropout, settings.keep_norm)


def starting_model(recipe: Recipe) -> tuple[EncoderOnly | Classifier, Report]:
    """The model that a recipe starts from, and how its weights fitted.

    An encoder of fewer axes is inflated.
    """
    values = vars(recipe.model)
    loaded = load_with_report(recipe.init, with_decoder=False)
    same = loaded.name == recipe.model_name
    if same and vars(loaded.config) != values:
        loaded = load_with_report(recipe.init, with_decoder=False, **values)
    if same:
        assert isinstance(loaded.model, EncoderOnly | Classifier)
        return loaded.model, loaded.report
    still = load_with_report(recipe.init, encoder_only=True, with_decoder=False)
    encoder = create_model(recipe.model_name, **values).encoder
    report = inflate(still.model.encoder, encoder)
    report.source = f"{recipe.init}, {still.name} for {recipe.model_name}"
    assert encoder.recipe is not None
    encoder.recipe |= {name: still.recipe[name] for name in KEPT if name in still.recipe}
    return EncoderOnly(encoder, report.source), report


def choose_trained(model: Classifier, frozen: bool) -> None:
    """Train the whole encoder, its positions too (MAE, official code), or only the head."""
    for parameter in model.parameters():
        parameter.requires_grad_(not frozen)
    for parameter in model.encoder.head.parameters():
        parameter.requires_grad_(True)


def check_mixing(
    task: Finetuning, train: Train, accelerator: Accelerator, shape: tuple[int, ...]
) -> None:
    """Raise ValueError if samples are to be mixed, and cannot be, or micro-batches are no pairs."""
    if task.settings.cutmix and len(shape) < 4:
        raise ValueError(
            "cutmix pastes boxes, which sounds have no room for: --finetune.cutmix=0 would fit"
        )
    parts = train.accumulate * accelerator.num_processes
    if task.mix.kinds and train.batch_size % (2 * parts):
        raise ValueError(
            f"mixup and cutmix take pairs, and a batch of {train.batch_size} does not divide into "
            f"pairs for {parts} micro-batch(es); --train.batch_size={2 * parts} x a number would "
            f"fit, or --finetune.mixup=0 --finetune.cutmix=0"
        )


def finetune(recipe: Recipe, launch: Launch) -> bool:
    """Train, or go on training, in a run folder; return whether the training is finished."""
    assert recipe.finetune is not None
    accelerator = make_accelerator(recipe.train, launch.out)
    if not accelerator.is_main_process:
        launch = launch._replace(say=lambda _: None)
    data, shape = recipe.data, recipe.model.shape
    source = data.source("train", shape, augment=True)
    held_out = data.source("held_out", shape, augment=False)
    assert source is not None
    answers = answers_of(source)
    torch.manual_seed(recipe.train.seed)
    model = make_classifier(recipe, answers, launch)
    choose_trained(model, recipe.finetune.frozen)
    set_drop_path(model.encoder, recipe.train.drop_path)
    set_checkpointing(model, recipe.train.checkpointing)
    suit(model, data)
    task = Finetuning(model, data, held_out, recipe.finetune, recipe.train)
    check_mixing(task, recipe.train, accelerator, source.shape)
    try_model(model, accelerator)
    for part in (source, held_out):
        try_reading(data, part)
    launch.say(describe(recipe, model, accelerator))
    if accelerator.is_main_process and not launch.goes_on:
        launch.say(audit(answers, source, held_out))
        if source.remarks:
            launch.say(f"          {source.remarks}")
    extra = {"head": model.description, "ragged": data.ragged, **heritage(model, launch)}
    return run_training(task, source, recipe.train, launch, accelerator, extra)
