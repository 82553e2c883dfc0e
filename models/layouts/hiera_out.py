"""What all exports of Hiera share: weights that fit others' modules, and what to compare."""

import torch
import torch.nn.functional as F
from torch import Tensor

from maskedae.autoencoder import MaskedAutoencoder
from maskedae.exporting import Model
from maskedae.layouts import State
from maskedae.positions import WindowPositions


def state_of(model: Model) -> State:
    """Named tensors. Raises ValueError for a linear probe, whose head no other library has."""
    if model.encoder.head.batch_norm:
        raise ValueError(
            "others' Hiera classifies by the mean of the tokens with a norm behind it; a linear "
            "probe has none; --encoder_only would fit, or another target: safetensors, onnx, torch"
        )
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}


def with_norm(model: Model, state: State) -> State:
    """Weights with a norm behind the mean of the tokens, for whoever has one without classes."""
    if model.encoder.num_classes:
        return state
    one = torch.ones(model.encoder.width)
    return {**state, "encoder.head.norm.weight": one, "encoder.head.norm.bias": 0 * one}


def one_table(model: Model, state: State) -> State:
    """Weights with one table of positions in a frame, for whoever does not know of mask units."""
    positions = model.encoder.positions
    if not isinstance(positions, WindowPositions):
        return state
    prefix, table = "encoder.positions.", positions.plane().detach()
    kept = {k: v for k, v in state.items() if k not in (f"{prefix}table", f"{prefix}tile")}
    return {**kept, f"{prefix}{'table' if positions.along is None else 'across'}": table}


def aside(model: Model) -> str:
    """What a user of one table must know, where it has not always been one."""
    if not isinstance(model.encoder.positions, WindowPositions):
        return ""
    size = tuple(model.recipe["model"]["size"])
    return f"\n# positions have become one table for {size}, which other sizes would blur"


def pools(model: Model) -> int:
    """How often an encoder pools."""
    found: int = model.encoder.pools
    return found


def in_units(model: Model) -> list[bool]:
    """Whether attention is within mask units, by stages."""
    stages = len(model.recipe["model"]["stages"])
    return [stage < stages - 2 for stage in range(stages)]


def unit_size(model: Model) -> list[int]:
    """Tokens along the sides of a mask unit."""
    return [2 ** (len(model.recipe["model"]["stages"]) - 1)] * 2


def is_whole(model: Model) -> bool:
    """Whether there is a decoder."""
    return isinstance(model, MaskedAutoencoder)


def noise_of(model: MaskedAutoencoder, batch: int) -> Tensor:
    """The same random numbers for every model: (B, noise_size)."""
    return torch.rand(batch, model.noise_size, generator=torch.Generator().manual_seed(0))


def normalised(tokens: Tensor, eps: float) -> Tensor:
    """Others' feature maps as our tokens: (B, H', W', D) -> (B, N, D)."""
    tokens = tokens.flatten(1, -2)
    return F.layer_norm(tokens, tokens.shape[-1:], eps=eps)
