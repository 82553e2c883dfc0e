"""What a classifier learns from labels, and the scores it gets."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from maskedae.answers import Answers
from maskedae.data import Source

Scores = dict[str, float]


def answers_of(source: Source) -> Answers:
    """What a source teaches to answer. Raises ValueError where there is nothing to learn."""
    labels = source.labels
    if labels is None:
        raise ValueError(f"fine-tuning needs labels, and there are none: {source.unlabelled}")
    if labels.is_floating_point():
        std = float(labels.std()) if len(labels) > 1 else 0.0
        if not std:
            raise ValueError(f"all {len(labels)} samples have the value {float(labels[0]):g}")
        return Answers("value", mean=float(labels.mean()), std=std)
    if labels.dtype == torch.bool:
        return Answers("classes", source.classes)
    if bool((labels == labels[0]).all()):
        name = source.classes[int(labels[0])]
        raise ValueError(f"all {len(labels)} samples are of one class, {name}: there must be two")
    return Answers("class", source.classes)


def loss(
    answers: Answers,
    logits: Tensor,
    labels: Tensor,
    smoothing: float = 0.0,
    binary: bool = False,
) -> Tensor:
    """Cross-entropy, binary cross-entropy or squared error: (B, outputs), labels -> scalar.

    Labels are as in a source, or mixed: (B, outputs) shares of the classes, or values (B, 1). With
    `binary`, one class of several is asked for as several are.
    """
    logits = logits.float()
    if answers.kind == "class" and binary:
        shares = labels if labels.ndim > 1 else F.one_hot(labels, answers.outputs).float()
        smooth = shares * (1 - smoothing) + smoothing / answers.outputs
        return F.binary_cross_entropy_with_logits(logits, smooth)
    if answers.kind == "class":
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if answers.kind == "classes":
        return F.binary_cross_entropy_with_logits(logits, labels.float())
    return F.mse_loss(logits[:, 0], (labels.flatten().float() - answers.mean) / answers.std)


def class_scores(answers: Answers, logits: Tensor, labels: Tensor) -> Scores:
    """Top-1 and, of more than five classes, top-5 accuracy."""
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = ranked == labels.unsqueeze(1)
    scores = {"acc1": float(hits[:, 0].float().mean())}
    return scores | ({"acc5": float(hits.any(dim=1).float().mean())} if logits.shape[1] > 5 else {})


def classes_scores(answers: Answers, logits: Tensor, labels: Tensor) -> Scores:
    """Average precision, its mean over the classes that occur (mAP)."""
    found = average_precisions(logits, labels)
    return {"map": float(found.nanmean())}


def average_precisions(logits: Tensor, labels: Tensor) -> Tensor:
    """Average precision of every class, NaN where none is true: (n, classes) -> (classes,)."""
    from torchmetrics.functional.classification import binary_average_precision

    found = torch.full((labels.shape[1],), torch.nan)
    for number in labels.any(dim=0).nonzero().flatten().tolist():
        found[number] = binary_average_precision(
            logits[:, number].sigmoid(), labels[:, number].int()
        )
    return found


def value_scores(answers: Answers, logits: Tensor, labels: Tensor) -> Scores:
    """Share of the variance explained, mean absolute and root mean squared error."""
    error = answers.read(logits) - labels
    left = error.square().mean()
    variance = labels.var(unbiased=False)
    return {
        "r2": float(1 - left / variance) if variance else math.nan,
        "mae": float(error.abs().mean()),
        "rmse": float(left.sqrt()),
    }


MEASURES: dict[str, Callable[[Answers, Tensor, Tensor], Scores]] = {
    "class": class_scores,
    "classes": classes_scores,
    "value": value_scores,
}
SCORE = {"class": "acc1", "classes": "map", "value": "r2"}  # that tells the better model


def measure(answers: Answers, logits: Tensor, labels: Tensor) -> Scores:
    """Scores of logits (n, outputs) against labels, the loss among them."""
    scores = MEASURES[answers.kind](answers, logits, labels)
    return scores | {"val_loss": float(loss(answers, logits, labels))}


def guess(answers: Answers, train: Tensor, labels: Tensor) -> tuple[str, float]:
    """What needs no model: its description and its score on labels."""
    if answers.kind == "class":
        common = int(train.bincount(minlength=len(answers.classes)).argmax())
        share = float((labels == common).float().mean())
        return f"always answering {answers.classes[common]}", share
    if answers.kind == "classes":
        return "answering at random", float(labels.float().mean(dim=0)[labels.any(dim=0)].mean())
    always = torch.zeros(len(labels), 1) + (float(train.mean()) - answers.mean) / answers.std
    return f"always answering {train.mean():.4g}", value_scores(answers, always, labels)["r2"]
