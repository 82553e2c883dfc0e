"""The optimiser's groups, and the learning rate as a function of samples seen."""

import math

import torch
from torch import nn


def learning_rate(epoch: float, peak: float, lowest: float, warmup: float, epochs: float) -> float:
    """Linear warm-up, then half a cosine, at a fractional epoch (MAE, official code).

    >>> [learning_rate(e, 2.4e-3, 0, 40, 800) for e in (0, 20, 40, 420)]
    [0.0, 0.0012, 0.0024, 0.0012]
    """
    if epoch < warmup:
        return peak * epoch / warmup
    turned = math.pi * (epoch - warmup) / (epochs - warmup)
    return lowest + (peak - lowest) * 0.5 * (1 + math.cos(turned))


def adamw(model: nn.Module, weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW that decays all but biases and parameters of one axis, as published.

    Steps are fused into one kernel, which can also be told to leave everything as it is.
    """
    from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]

    groups = param_groups_weight_decay(model, weight_decay)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)
