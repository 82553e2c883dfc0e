"""Weights, signals and noise of the published values, which formulas tell."""

import math

import torch


def fill(tensors, amplitude=0.05, first=1):
    """Give every parameter, in the order of its official name, values that a formula tells."""
    for k, (name, tensor) in enumerate(sorted(tensors.items())):
        if name.endswith("pos_embed") and not tensor.requires_grad:
            continue
        angles = 0.1 * torch.arange(tensor.numel(), dtype=torch.float64) + k + first
        values = amplitude * torch.sin(angles)
        if name.endswith(("weight", "tau")) and tensor.ndim == 1:
            values += 1
        tensor.data.copy_(values.float().view_as(tensor))


def images(*shape):
    values = torch.sin(0.01 * torch.arange(math.prod(shape), dtype=torch.float64) ** 1.1)
    return values.float().view(shape)


def noise(batch, patches):
    return torch.tensor(
        [[(7 * i + 3 * n) % patches / patches for i in range(patches)] for n in range(batch)]
    )
