"""Pre-training: learn to imagine what is hidden."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from maskedae.beginning import begin, load_teacher
from maskedae.data import BadSample, Data, Panel, Source
from maskedae.evaluation import encode_with, features, join, knn_accuracy, spread
from maskedae.launching import (
    Launch,
    begun_with,
    describe,
    heritage,
    run_training,
    try_model,
    try_reading,
)
from maskedae.learner import Learner
from maskedae.loading import Batch, Skipped, batch_for
from maskedae.ragged import suit
from maskedae.recipe import Recipe
from maskedae.reconstruction import imagine_row, note
from maskedae.retrieval import both_ways, measure
from maskedae.retrieving.collecting import collect, vectors_of
from maskedae.stepping import make_accelerator, share_of_cores
from maskedae.transformer import set_checkpointing, set_drop_path
from maskedae.zoo import create_model

PICTURES, BANK, QUERIES = 6, 5000, 2000


class Pretraining:
    """Trains a model that imagines what is hidden; draws that, and scores what was learned.

    Where there are labels, by nearest neighbours; sound and picture, by which finds the other.
    """

    def __init__(
        self,
        model: Learner,
        data: Data,
        bank: Source | None = None,
        queries: Source | None = None,
        workers: int = 0,
        teacher: nn.Module | None = None,
    ) -> None:
        self.model, self.data, self.bank, self.queries = model, data, bank, queries
        self.workers, self.teacher = workers, teacher  # that read what is scored; that is predicted
        masks, paths = model.noise_size, model.paths_size
        self.ends = [masks, masks + paths]  # of numbers for masks, and for paths that are dropped
        self.noise_size = masks + paths + data.noise_size

    @property
    def score(self) -> str:
        """Which score tells the best checkpoint."""
        return "recall1" if hasattr(self.model.encoder, "vectors") else "knn"

    def loss(
        self, model: nn.Module, samples: Any, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The masked autoencoder's own, with masks and dropped paths from the samples' noise."""
        noise = batch.noise.to(samples.device, non_blocking=True)
        hidden, dropped, augmented = noise.tensor_split(self.ends, dim=1)
        signal = self.data.signal(samples, augmented)
        mask = self.model.draw_mask(len(signal), noise=hidden)
        lesson = {} if self.teacher is None else {"taught": self.teacher(signal)}
        out = model(signal, mask, paths=dropped, **lesson)
        return out.loss, out.metrics

    def look(self, path: Path, accelerator: Accelerator) -> tuple[dict[str, float], list[Skipped]]:
        """Draw what is imagined of fixed samples; score the encoder on held-out ones."""
        self.model.eval()
        drawn = accelerator.is_main_process and self.model.draws
        skipped = self._draw(path) if drawn else []
        scores, more = self._score(accelerator)
        recall, others = self._recall(accelerator)
        self.model.train()
        return scores | recall, skipped + more + others

    def _draw(self, path: Path) -> list[Skipped]:
        source = self.queries or self.bank
        assert source is not None
        device = next(self.model.parameters()).device
        rows, skipped = list[list[Panel]](), list[Skipped]()
        for index in spread(len(source), PICTURES):
            try:
                signal = self.data.signal(source.read(index)[:1].to(device))
            except BadSample as reason:
                skipped.append(Skipped(source.name(index), str(reason)))
                continue
            name = Path(source.name(index)).name
            rows.append(imagine_row(self.model, signal, name, [self.model.masker], index))
        if rows:
            self.data.draw(rows, note(self.model, oracle=False), path)
        return skipped

    def _score(self, accelerator: Accelerator) -> tuple[dict[str, float], list[Skipped]]:
        if self.queries is None or self.queries.labels is None or self.bank is None:
            return {}, []
        if self.bank.labels is None or self.bank.labels.dtype != torch.int64:
            return {}, []
        if len(self.bank.classes) < 2:
            return {}, []
        encode, device = encode_with(self.model.encoder), accelerator.device
        share = accelerator.process_index, accelerator.num_processes
        bank, queries = (
            join(gather_object([features(encode, self.data, *part, self.workers, share=share)]))
            for part in ((self.bank, device, BANK), (self.queries, device, QUERIES))
        )
        scored = len(bank.labels) and len(queries.labels)
        scores = {"knn": knn_accuracy(bank, queries)} if scored else {}
        return scores, bank.skipped + queries.skipped

    def _recall(self, accelerator: Accelerator) -> tuple[dict[str, float], list[Skipped]]:
        """How often sound finds its pictures, and back, among held-out samples."""
        if self.queries is None or not hasattr(self.model.encoder, "vectors"):
            return {}, []
        some, size = spread(len(self.queries), QUERIES), batch_for(self.queries)
        candidates = {"": vectors_of(self.model.encoder, "")}
        found = collect(candidates, self.data, self.queries, some, size, self.workers, quiet=True)
        if len(found.indices) < 2:
            return {}, found.skipped
        ways = [measure(places) for places in both_ways(*found.vectors[""])]
        scores = {f"recall{k}": (ways[0].at[k] + ways[1].at[k]) / 2 for k in ways[0].at}
        scores["median_rank"] = (ways[0].median + ways[1].median) / 2
        return scores, found.skipped


def describe_data(source: Source, task: Pretraining) -> str:
    """What there is to learn from and to be scored on."""
    held_out = "none" if task.queries is None else f"{len(task.queries)} samples"
    classes = (
        f"{len(source.classes)} classes"
        if source.labels is not None
        else f"no labels, so no kNN score: {source.unlabelled}"
    )
    many = f" with {source.shape[0]} views each" if source.shape[0] > 1 else ""
    text = (
        f"masker    {task.model.masker}\n"
        f"data      {len(source)} samples{many}, {classes}; held out: {held_out}"
    )
    text += f"\n          {source.remarks}" if source.remarks else ""
    if source.labels is not None and len(source.classes) == 1:
        text += f"\nwarning   all samples are of one class, {source.classes[0]}: no kNN score"
    return text


def pretrain(recipe: Recipe, launch: Launch) -> bool:
    """Train, or go on training, in a run folder; return whether the training is finished."""
    accelerator = make_accelerator(recipe.train, launch.out)
    if not accelerator.is_main_process:
        launch = launch._replace(say=lambda _: None)
    data, shape = recipe.data, recipe.model.shape
    source = data.source("train", shape, augment=True)
    assert source is not None
    teacher = load_teacher(recipe)
    model = make_learner(recipe)
    begun = "" if launch.goes_on else begin(model, recipe, teacher)
    extra = {"ragged": data.ragged, **heritage(model, launch)}
    if teacher is not None:
        extra["taught_by"] = teacher.check(begun_with(launch).get("taught_by"))
    bank, queries = (data.source(split, shape, augment=False) for split in ("train", "held_out"))
    workers = share_of_cores(recipe.train, accelerator.num_processes)
    if teacher is not None:
        suit(teacher, data)
        teacher = accelerator.prepare_model(teacher, evaluation_mode=True)
    task = Pretraining(model, data, bank, queries, workers, teacher)
    # What cannot be masked, attended to or cut should be told before the folder is touched.
    model.draw_mask(1)
    try_model(model, accelerator)
    for part in (source, task.bank, task.queries):
        try_reading(data, part)
    for text in (describe(recipe, model, accelerator), begun, describe_data(source, task)):
        if text:
            launch.say(text)
    return run_training(task, source, recipe.train, launch, accelerator, extra)


def make_learner(recipe: Recipe) -> Learner:
    """The model that a recipe trains, not begun yet."""
    torch.manual_seed(recipe.train.seed)
    model = create_model(recipe.model_name, recipe.masker, **vars(recipe.model))
    set_checkpointing(model, recipe.train.checkpointing)
    set_drop_path(model.encoder, recipe.train.drop_path)
    suit(model, recipe.data)
    return model
