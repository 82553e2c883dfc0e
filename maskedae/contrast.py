"""Contrast: what belongs together is alike, what does not is not; over the batch of all processes.

Every process computes the whole loss, so nothing but values travels between them.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Contrast:
    """What a contrast counts, and how sharply it tells apart."""

    weight: float
    temperature: float
    symmetric: bool = True  # else only which sound belongs to given pictures


def info_nce(
    x: Tensor,
    y: Tensor,
    temperature: float,
    present: Tensor | None = None,
    symmetric: bool = True,
) -> Tensor:
    """Tell from every x which y is of the same sample, and back: 2 x (B, D) -> scalar.

    The cross-entropy of cosines over a temperature (arXiv:1807.03748), without the way back unless
    `symmetric`. Samples of all processes count; those that are not `present`, which is `gathered`
    (processes * B,), neither ask nor answer.
    """
    kind = x.device.type
    with nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False):
        x, y = (F.normalize(gathered(side.float()), dim=-1) for side in (x, y))
        scores = x @ y.T / temperature
    loss = _cross_entropy(scores, present)
    return (loss + _cross_entropy(scores.T, present)) / 2 if symmetric else loss


def _cross_entropy(scores: Tensor, there: Tensor | None) -> Tensor:
    if there is None:
        return -scores.log_softmax(dim=1).diagonal().mean()
    # Finite, so that a sample that is not there, whose row does not count, leaves no NaN behind.
    scores = scores.masked_fill(~there, torch.finfo(scores.dtype).min / 2)
    return -_mean(scores.log_softmax(dim=1).diagonal(), there)


def mean_present(values: Tensor, present: Tensor | None = None) -> Tensor:
    """The mean over the samples of all processes, or over those `present`: (B,) -> scalar.

    What is present is `gathered` (processes * B,). Zero where there are none.
    """
    if present is None:
        return values.mean()  # batches are of one size, so the mean over processes is that of all
    return _mean(gathered(values), present)


def _mean(values: Tensor, there: Tensor) -> Tensor:
    return values.masked_fill(~there, 0.0).sum() / there.sum().clamp(min=1)


def gathered(x: Tensor) -> Tensor:
    """Rows of all processes: (B, ...) -> (processes * B, ...); those given, where nothing learns.

    Gradients are for averaging over processes: as each computes the same loss from all rows, and
    hands on the gradient of its own alone, its own count as often as there are processes.
    """
    if not (dist.is_available() and dist.is_initialized() and torch.is_grad_enabled()):
        return x
    count, rank = dist.get_world_size(), dist.get_rank()
    rows = [torch.empty_like(x) for _ in range(count)]
    dist.all_gather(rows, x.detach().contiguous())
    if x.requires_grad:
        rows[rank] = x.detach() + count * (x - x.detach())
    return torch.cat(rows)
