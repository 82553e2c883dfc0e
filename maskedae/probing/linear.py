"""Linear probes: many heads over cached features, trained together, the best chosen honestly."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from maskedae.sampling import permutation

# Of DINOv2 (arXiv:2304.07193), for a batch of 256.
RATES = [*(a * 10.0**b for b in range(-5, -1) for a in (1, 2, 5)), 0.1]
BATCH, EPOCHS, STEPS, MOMENTUM = 256, 30, 500, 0.9


class Labelled(NamedTuple):
    """One split: its features by name, and the class of every sample."""

    columns: Mapping[str, Tensor]  # each (n, D)
    labels: Tensor  # (n,)


class Head(NamedTuple):
    """A setting of the grid, and what became of it."""

    features: str
    lr: float
    validation: float  # accuracy on what was kept apart of the training split
    held_out: float


class Grid(NamedTuple):
    """The setting that did best on what was kept apart, and all of them."""

    chosen: Head
    heads: list[Head]


def keep_apart(labels: Tensor, share: float = 0.1, seed: int = 0) -> Tensor:
    """Mark a share of every class, but never all of it: (n,) -> (n,) bool."""
    apart = torch.zeros(len(labels), dtype=torch.bool)
    for number in np.unique(labels.numpy()).tolist():
        where = (labels == number).nonzero()[:, 0]
        count = min(math.ceil(share * len(where)), len(where) - 1)
        apart[where[permutation(len(where), seed, number)[:count]]] = True
    return apart


def linear_grid(train: Labelled, held_out: Labelled, device: torch.device) -> Grid:
    """Train a head for every feature and learning rate; choose one by what is kept apart.

    A tenth of the training split is kept apart for the choice. The winner is not trained again, so
    that every number belongs to the same weights.
    """
    apart = keep_apart(train.labels)
    if not apart.any():
        raise ValueError("a linear probe needs two samples of a class, and no class has them")
    classes = int(max(train.labels.max(), held_out.labels.max())) + 1
    stacked, tested = stack(train.columns), stack(held_out.columns)
    fitted = stacked[:, ~apart]
    mean, std = fitted.mean(1, keepdim=True), (fitted.var(1, keepdim=True) + 1e-6).sqrt()
    stacked, tested = ((part - mean).div_(std) for part in (stacked, tested))
    fitted = stacked[:, ~apart].to(device)
    weight, bias = train_heads(fitted, train.labels[~apart].to(device), classes)
    scores = [
        accuracies(part, labels, weight, bias)
        for part, labels in (
            (stacked[:, apart], train.labels[apart]),
            (tested, held_out.labels),
        )
    ]
    heads = [
        Head(name, lr, float(scores[0][row, column]), float(scores[1][row, column]))
        for row, name in enumerate(train.columns)
        for column, lr in enumerate(RATES)
    ]
    return Grid(max(heads, key=lambda head: head.validation), heads)


def stack(columns: Mapping[str, Tensor]) -> Tensor:
    """Features of all names in one tensor: F x (n, D) -> (F, n, D).

    Narrow ones are filled up with zeros, which no head learns anything from.
    """
    widest = max(tensor.shape[1] for tensor in columns.values())
    return torch.stack([F.pad(x, (0, widest - x.shape[1])) for x in columns.values()])


@torch.no_grad()
def train_heads(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Train heads by stochastic gradient descent, one for each feature F and learning rate L.

    (F, n, D), (n,) -> weights (F, D, L, classes), biases (F, 1, L, classes). All heads see the same
    batches; momentum 0.9, no decay, a cosine down to zero.
    """
    (kinds, count, width), device = features.shape, features.device
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(kinds, width, len(RATES), classes, generator=generator)
    weight = drawn.mul_(0.01).to(device)
    bias = weight.new_zeros(kinds, 1, len(RATES), classes)
    speeds = torch.zeros_like(weight), torch.zeros_like(bias)
    truth = F.one_hot(labels, classes).to(features.dtype)
    rates = torch.tensor(RATES, device=device)[:, None].mul_(min(BATCH, count) / 256)
    for chosen, progress in batches(count):
        x, y = features[:, chosen.to(device)], truth[chosen.to(device), None]
        wrong = logits(x, weight, bias).softmax(-1).sub_(y).div_(len(chosen))
        slopes = x.mT @ wrong.flatten(2), wrong.sum(1, keepdim=True)
        cosine = 0.5 + 0.5 * math.cos(math.pi * progress)
        for values, speed, slope in zip((weight, bias), speeds, slopes, strict=True):
            speed.mul_(MOMENTUM).add_(slope.view_as(values))
            values.addcmul_(rates, speed, value=-cosine)
    return weight, bias


def batches(count: int) -> Iterator[tuple[Tensor, float]]:
    """Shuffled batches of numbers, every epoch anew, and how far the training is, from 0 to 1."""
    size = min(BATCH, count)
    within = count // size
    epochs = max(EPOCHS, -(-STEPS // within))
    for epoch in range(epochs):
        order = torch.from_numpy(permutation(count, epoch))
        for number in range(within):
            done = (epoch * within + number) / (epochs * within)
            yield order[number * size :][:size], done


def logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What every head says of every sample: (F, n, D) -> (F, n, L, classes)."""
    said = features @ weight.flatten(2)
    return rearrange(said, "f n (l c) -> f n l c", l=weight.shape[2]) + bias


@torch.no_grad()
def accuracies(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> np.ndarray:
    """Share of samples that every head names rightly: (F, n, D), (n,) -> (F, L)."""
    right = torch.zeros(weight.shape[0], weight.shape[2])
    parts, truths = torch.split(features, 1024, dim=1), torch.split(labels, 1024)
    for part, truth in zip(parts, truths, strict=True):
        said = logits(part.to(weight.device), weight, bias).argmax(-1).cpu()
        right += (said == truth[:, None]).sum(1)
    return (right / len(labels)).numpy()
