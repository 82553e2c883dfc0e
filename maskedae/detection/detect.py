"""Training a detector: an encoder, pre-trained or not, learns to find things on pictures."""

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from maskedae.boxed import Boxed
from maskedae.data import Data
from maskedae.detection.detector import Detector
from maskedae.detection.finding import find, precisions, scores
from maskedae.detection.pictures import draw_beside_truth
from maskedae.detection.starting import make_detector
from maskedae.launching import Launch, describe, heritage, run_training, try_model, try_reading
from maskedae.loading import Batch, Skipped
from maskedae.recipe import Recipe
from maskedae.sampling import key
from maskedae.settings import Train
from maskedae.stepping import make_accelerator, share_of_cores
from maskedae.transformer import set_checkpointing, set_drop_path

CHOICE = 4  # what a seed is for, beside those of loading.py, stepping.py and finetune.py
PARTS = {"encoder": "encoder", "maps": "encoder", "pyramid": "pyramid", "rpn": "heads"}
PARTS |= {"roi": "heads"}  # of the parameters of a detector


class Detecting:
    """Trains a detector; scores it on what is held out."""

    score = "AP"

    def __init__(self, model: Detector, data: Data, held_out: Any, train: Train) -> None:
        self.model, self.data, self.held_out, self.train = model, data, held_out, train
        self.noise_size = model.encoder.noise_size

    def loss(
        self, model: nn.Module, samples: Any, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of what a detector has to learn, and each of it.

        Which boxes of a picture are learned from is drawn from its own seed.
        """
        assert isinstance(samples, Boxed)
        noise = batch.noise.to(samples.device, non_blocking=True)
        seeds = [key(self.train.seed, epoch, index, CHOICE) for epoch, index in batch.draws]
        losses = model(self.data.signal(samples), samples.truths, noise, seeds)
        return torch.stack(list(losses.values())).sum(), losses

    def look(self, path: Path, accelerator: Accelerator) -> tuple[dict[str, float], list[Skipped]]:
        """Score all held-out pictures, and draw what is found on some beside what is there."""
        if self.held_out is None:
            return {}, []
        workers = share_of_cores(self.train, accelerator.num_processes)
        finding = find(self.model, self.data, self.held_out, accelerator, workers)
        if not accelerator.is_main_process or not finding.pictures:
            return {}, finding.skipped
        found = scores(precisions(finding, self.held_out, self.model.heads.masks))
        title = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        draw_beside_truth(self.model, self.data, self.held_out, finding.pictures, title, path)
        return found, finding.skipped


def measures(model: Detector, source: Any) -> str:
    """What a detector is made of, and what it is to find, for people to check."""
    counts = Counter[str]()
    for name, parameter in model.named_parameters():
        counts[PARTS[name.partition(".")[0]]] += parameter.numel()
    height, width = model.encoder.size
    boxes = source.box_counts()
    told = ", ".join(f"{name} {count:,}" for name, count in boxes.items())
    return "\n".join(
        [
            f"parts     {', '.join(f'{name} {n / 1e6:.1f} M' for name, n in counts.items())}",
            f"canvas    {height} x {width} pixels at most",
            f"classes   {len(boxes)} on {len(source):,} pictures, boxes of each: {told}",
        ]
    )


def kept_for_scores(held_out: Any) -> str:
    """What average precision is scored on, if on anything."""
    if held_out is None:
        return "held out  none, so nothing is scored: --data.val_root names some"
    boxes = sum(held_out.box_counts().values())
    told = f"held out  {len(held_out):,} pictures, {boxes:,} boxes"
    return told if boxes else f"{told}, so nothing is scored"


def check(recipe: Recipe, source: Any) -> None:
    """Raise ValueError for settings that no detector can be trained with."""
    if recipe.train.compile:
        raise ValueError(
            "train.compile makes one graph for pictures of one size, and a detector sees many: "
            "leave it out"
        )
    if recipe.detect and recipe.detect.masks and not source.masks:
        raise ValueError("detect.masks learns from masks, so --data.masks=true is needed, too")


def detect(recipe: Recipe, launch: Launch) -> bool:
    """Train, or go on training, in a run folder; return whether the training is finished."""
    accelerator = make_accelerator(recipe.train, launch.out)
    if not accelerator.is_main_process:
        launch = launch._replace(say=lambda _: None)
    data, shape = recipe.data, recipe.model.shape
    source: Any = data.source("train", shape, augment=True)
    held_out = data.source("held_out", shape, augment=False)
    check(recipe, source)
    torch.manual_seed(recipe.train.seed)
    model = make_detector(recipe, source.classes, launch).requires_grad_(True)  # positions, too
    set_drop_path(model.encoder, recipe.train.drop_path)
    set_checkpointing(model, recipe.train.checkpointing)
    task = Detecting(model, data, held_out, recipe.train)
    try_model(model, accelerator)
    for part in (source, held_out):
        try_reading(data, part)
    launch.say(describe(recipe, model, accelerator))
    if accelerator.is_main_process and not launch.goes_on:
        for part, told in (
            (source, measures(model, source)),
            (held_out, kept_for_scores(held_out)),
        ):
            launch.say(told)
            if part is not None and part.remarks:
                launch.say(f"          {part.remarks}")
    extra = {**model.sections(), **heritage(model, launch)}
    return run_training(task, source, recipe.train, launch, accelerator, extra)
