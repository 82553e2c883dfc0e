"""What a model costs: parameters and floating-point operations, counted without computing."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from maskedae.attention import set_kernel
from maskedae.learner import Learner
from maskedae.pairs import make_signal


def count(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and convolutions; one multiply-add is two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def pretraining_flops(build: Callable[[], Learner]) -> int:
    """Operations of one forward pass over one sample, of which most is hidden."""
    model, signal, mask = _on_meta(build)
    return count(lambda: model(signal, mask))


def encoder_flops(build: Callable[[], Learner]) -> int:
    """Operations of the encoder over one whole sample, as in a classifier but for its head."""
    model, signal, _ = _on_meta(build)
    model.encoder.tuned = True
    return count(lambda: model.encoder(signal))


def _on_meta(build: Callable[[], Learner]) -> tuple[Learner, Any, Any]:
    """The model with shapes but no values, in the kernel whose products the counter sees."""
    with torch.device("meta"):
        model = build()
        signal = make_signal(model.encoder.shape, lambda shape: torch.empty(1, *shape))
    set_kernel(model, "eager")
    return model, signal, model.draw_mask(1, noise=torch.rand(1, model.noise_size))
