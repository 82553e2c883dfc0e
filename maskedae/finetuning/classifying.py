"""A trained classifier at work: loaded with its data, its answers in words, its scores."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator, PartialState
from torch import Tensor

from maskedae.answers import Answers
from maskedae.attention import set_kernel
from maskedae.checkpoints import write_whole
from maskedae.classifier import Classifier
from maskedae.data import Data, Source
from maskedae.finetuning.answering import Answered, answer
from maskedae.finetuning.objectives import average_precisions, measure
from maskedae.finetuning.pictures import class_accuracies, confusion, draw_answers
from maskedae.loading import batch_for, read_in_order
from maskedae.progress import Meter
from maskedae.ragged import suit
from maskedae.runs import finite
from maskedae.weights import Loaded

FEW = 32  # samples of a batch, so that answers come soon
MOST_CLASSES = 200  # whose confusion is worth a table


class Evaluation(NamedTuple):
    """How a classifier did on a split."""

    scores: dict[str, float]
    by_class: dict[str, float]  # accuracy, or average precision, of the classes that occur
    answered: Answered
    labels: Tensor  # of the samples that were read, in the classifier's numbering


class Predicted(NamedTuple):
    """What a classifier says of a sample."""

    file: str
    span: tuple[float, ...] | None  # seconds from, to; None for the whole file
    outputs: Tensor | str  # (outputs,), or why it cannot be read


def classifier_of(loaded: Loaded, path: Path) -> Classifier:
    """The classifier of a checkpoint. Raises ValueError that says how to make one."""
    if not isinstance(loaded.model, Classifier):
        raise ValueError(
            f"{path} holds no classifier: maskedae finetune RECIPE --init {path} makes one, and "
            f"maskedae detect a detector"
        )
    set_kernel(loaded.model, "sdpa")  # the kernel of the training may need another machine
    return loaded.model


@torch.no_grad()
def predict(model: Classifier, data: Data, source: Source, workers: int = 0) -> Iterator[Predicted]:
    """The outputs of every sample, or why it cannot be read."""
    suit(model, data)
    device = PartialState().device
    model.to(device)
    for batch in read_in_order(source, list(range(len(source))), batch_for(source, FEW), workers):
        if batch.samples is not None:
            logits = batch.average(model(data.signal(batch.samples.to(device))))
            outputs = model.answers.read(logits).cpu()
            for (_, index), row in zip(batch.draws, outputs, strict=True):
                yield Predicted(source.name(index), span_of(source, index), row)
        yield from (Predicted(name, None, reason) for name, reason in batch.skipped)


def span_of(source: Source, index: int) -> tuple[float, ...] | None:
    """Seconds from which to which a sample lies in its file, where it is not all of it."""
    return None if source.spans is None else tuple(source.spans[index].tolist())


def in_words(answers: Answers, outputs: Tensor, top: int) -> dict[str, float]:
    """The likeliest classes of one sample with their probabilities, or its value."""
    if answers.kind == "value":
        return {"value": float(outputs)}
    best = outputs.topk(min(top, len(outputs)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return {answers.classes[index]: probability for index, probability in pairs}


def match_labels(answers: Answers, source: Source) -> Tensor:
    """Labels of a source in the classifier's numbering of classes, by their names.

    Raises ValueError for classes that the classifier does not know, and for other kinds of labels.
    """
    labels = source.labels
    if labels is None:
        raise ValueError(f"scoring needs labels, and there are none: {source.unlabelled}")
    kind = "value" if labels.is_floating_point() else "class" if labels.ndim == 1 else "classes"
    if kind != answers.kind:
        raise ValueError(f"the labels are of kind {kind}, the classifier answers {answers.kind}")
    if kind == "value" or source.classes == answers.classes:
        return labels
    number = {name: index for index, name in enumerate(answers.classes)}
    unknown = [name for name in source.classes if name not in number]
    if unknown:
        known = ", ".join(answers.classes[:6]) + (", ..." if len(answers.classes) > 6 else "")
        raise ValueError(
            f"the classifier does not know {len(unknown)} of {len(source.classes)} classes, "
            f"{', '.join(unknown[:6])}; it knows {known}"
        )
    places = torch.tensor([number[name] for name in source.classes])
    if kind == "class":
        return places[labels]
    wide = torch.zeros(len(labels), len(answers.classes), dtype=torch.bool)
    wide[:, places] = labels
    return wide


def evaluate(
    model: Classifier, data: Data, source: Source, accelerator: Accelerator, workers: int = 0
) -> Evaluation:
    """Score a classifier on all samples of a source, each counted once."""
    labels = match_labels(model.answers, source)
    quiet = not accelerator.is_main_process
    mine = -(-(len(source) - accelerator.process_index) // accelerator.num_processes)
    with Meter("answering", mine, quiet=quiet) as meter:
        answered = answer(model, data, source, accelerator, workers, meter)
    if not len(answered.samples):
        name, reason = answered.skipped[0]
        raise ValueError(f"no sample can be read: {name}: {reason}")
    labels, logits = labels[answered.samples], answered.logits
    scores = measure(model.answers, logits, labels)
    if model.answers.kind == "value":
        return Evaluation(scores, {}, answered, labels)
    if model.answers.kind == "class":
        each = class_accuracies(confusion(logits, labels))
    else:
        each = average_precisions(logits, labels)
    pairs = zip(model.answers.classes, each.tolist(), strict=True)
    by_class = {name: score for name, score in pairs if not math.isnan(score)}
    return Evaluation(scores, by_class, answered, labels)


def write_evaluation(found: Evaluation, answers: Answers, source: Source, folder: Path) -> None:
    """Write scores.json, predictions.csv with a line per sample, and answers.png."""
    folder.mkdir(parents=True, exist_ok=True)
    logits, labels = found.answered.logits, found.labels
    facts: dict[str, Any] = {"samples": len(labels), "skipped": len(found.answered.skipped)}
    facts["scores"] = {name: finite(value) for name, value in found.scores.items()}
    facts["by_class"] = found.by_class
    text = json.dumps(facts, indent=1)
    if answers.kind == "class" and len(answers.classes) <= MOST_CLASSES:
        rows = confusion(logits, labels).tolist()  # a line each
        lines = ",\n".join(f"  {row}" for row in rows)
        text = f'{text[:-2]},\n "confusion": [\n{lines}\n ]\n}}'
    write_whole(folder / "scores.json", text)
    title = ", ".join(f"{name} {value:.4g}" for name, value in found.scores.items())
    draw_answers(answers, logits, labels, title, folder / "answers.png")
    write_predictions(found, answers, source, folder / "predictions.csv")


def write_predictions(found: Evaluation, answers: Answers, source: Source, path: Path) -> None:
    """Write a line for every sample: path, truth, then the five likeliest classes and how likely.

    Of several classes at a time all are written with their probabilities; of values, the value.
    """
    one = answers.kind == "class"
    best = [f"{what}{n}" for n in range(1, 6)[: answers.outputs] for what in ("answer", "p")]
    header = best if one else [f"p({name})" for name in answers.classes] or ["answer"]
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file)
        when = [] if source.spans is None else ["start", "end"]
        writer.writerow(["path", *when, "truth", *header])
        outputs = answers.read(found.answered.logits)
        for sample, label, row in zip(found.answered.samples, found.labels, outputs, strict=True):
            pairs = in_words(answers, row, top=5).items() if one else ()
            said = [part for name, p in pairs for part in (name, f"{p:.6g}")]
            said = said or [f"{value:.9g}" for value in row.flatten().tolist()]
            span = span_of(source, int(sample)) or ()
            writer.writerow([source.name(int(sample)), *span, truth_of(answers, label), *said])
    draft.replace(path)


def truth_of(answers: Answers, label: Tensor) -> str:
    """A label in words, as lists have it."""
    if answers.kind == "value":
        return f"{float(label):.9g}"
    if answers.kind == "class":
        return answers.classes[int(label)]
    return "|".join(answers.classes[i] for i in label.nonzero().flatten().tolist())
