"""The optimiser's groups, and the learning rate as a function of samples seen."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def learning_rate(
    epoch: float,
    peak: float,
    lowest: float,
    warmup: float,
    epochs: float,
    drops: Sequence[float] | None = None,
) -> float:
    """Linear warm-up, then half a cosine, at a fractional epoch (MAE, official code).

    Or, in place of the cosine, a tenth from each of `drops` on, which are shares of all epochs.

    >>> [learning_rate(e, 2.4e-3, 0, 40, 800) for e in (0, 20, 40, 420)]
    [0.0, 0.0012, 0.0024, 0.0012]
    >>> [learning_rate(e, 1.0, 0, 0.5, 100, [0.8, 0.9]) for e in (0, 0.25, 0.5, 79.99, 80, 95)]
    [0.0, 0.5, 1.0, 1.0, 0.1, 0.01]
    """
    if epoch < warmup:
        return peak * epoch / warmup
    if drops is not None:
        return peak / 10 ** sum(epoch >= share * epochs for share in drops)
    turned = math.pi * (epoch - warmup) / (epochs - warmup)
    return lowest + (peak - lowest) * 0.5 * (1 + math.cos(turned))


def adamw(
    model: nn.Module,
    weight_decay: float,
    betas: tuple[float, float],
    layer_decay: float | None = None,
) -> torch.optim.AdamW:
    """AdamW that decays all but biases and parameters of one axis, as published.

    What the model names in `undecayed` is not decayed either. With a layer decay, a layer learns
    that much slower than the next one, and `no_weight_decay` names what is not decayed instead.
    Steps are fused into one kernel, which can also be told to leave everything as it is.
    """
    from timm.optim import (  # type: ignore[attr-defined]
        param_groups_layer_decay,
        param_groups_weight_decay,
    )

    if layer_decay is None:
        spare: Any = getattr(model, "undecayed", ())
        groups = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=spare)
    else:
        spared: Any = getattr(model, "no_weight_decay", None)
        if spared is None:
            raise ValueError("train.layer_decay is for fine-tuning: this model has no such layers")
        groups = param_groups_layer_decay(model, weight_decay, spared(), layer_decay=layer_decay)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)


def lars(model: nn.Module, weight_decay: float) -> Optimizer:
    """LARS (arXiv:1708.03888) with momentum 0.9 and trust 0.001, as published for linear probes.

    Biases and parameters of one axis are neither decayed nor scaled by trust.
    """
    from timm.optim import Lars  # type: ignore[attr-defined]

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {
            "params": [p for p in trained if p.ndim <= 1],
            "weight_decay": 0.0,
            "always_adapt": False,
        },
    ]
    return Lars(groups, lr=0.0, momentum=0.9, trust_coeff=0.001, always_adapt=True)
