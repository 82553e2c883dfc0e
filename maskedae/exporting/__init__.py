"""Models for other libraries, each checked by the library that it is for."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from maskedae.layouts import State
from maskedae.pairs import make_signal

Model = Any  # a MaskedAutoencoder, an EncoderOnly or a Classifier, in evaluation mode


class Written(NamedTuple):
    """What was written, and how to tell whether it is right."""

    use: str  # lines of code; {out} stands for the place
    library: str  # that checks it
    compare: Callable[[Path], float]  # the largest difference
    tolerance: float = 1e-5


Target = Callable[[Model, Path, str | None], Written]  # model, folder, name of the file if given


def sample(model: Model, batch: int = 2) -> Any:
    """A signal to compare with: (B, C, *size), or a Pair."""
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator)
    return make_signal(model.encoder.shape, lambda shape: draw(batch, *shape))


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, as a share of the largest value: fresh heads answer near zero."""
    if ours.shape != theirs.shape:
        raise ValueError(f"the export gives {tuple(theirs.shape)} for {tuple(ours.shape)}")
    return ((ours - theirs).abs().max() / ours.abs().max().clamp(min=1e-12)).item()


def plain_head(model: Model, state: State) -> State:
    """Weights with the batch norm of a linear probe worked into its linear map."""
    encoder, prefix = model.encoder, "encoder.head."
    if not encoder.head.batch_norm:
        return state
    norm, linear = encoder.head.norm, encoder.head.linear
    scale = (norm.running_var + norm.eps).rsqrt()
    weight = linear.weight.detach() * scale
    kept = {name: value for name, value in state.items() if not name.startswith(prefix)}
    bias = linear.bias.detach() - weight @ norm.running_mean
    return {**kept, f"{prefix}linear.weight": weight, f"{prefix}linear.bias": bias}


def save_plain(path: Path, state: State) -> None:
    """Write named tensors as other libraries read them."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    save_file(tensors, path, metadata={"format": "pt"})
