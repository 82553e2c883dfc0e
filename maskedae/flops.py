"""What a model costs: parameters and floating-point operations, counted without computing."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from maskedae.attention import set_kernel
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.masking import Mask


def count(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and convolutions; one multiply-add is two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def pretraining_flops(build: Callable[[], MaskedAutoencoder], channels: int) -> int:
    """Operations of one forward pass over one sample, of which most is hidden."""
    model, signal, mask = _on_meta(build, channels)
    return count(lambda: model(signal, mask))


def encoder_flops(build: Callable[[], MaskedAutoencoder], channels: int) -> int:
    """Operations of the encoder over one whole sample, as in a classifier but for its head."""
    model, signal, _ = _on_meta(build, channels)
    model.encoder.tuned = True
    return count(lambda: model.encoder(signal))


def _on_meta(
    build: Callable[[], MaskedAutoencoder], channels: int
) -> tuple[MaskedAutoencoder, torch.Tensor, Mask]:
    """The model with shapes but no values, in the kernel whose products the counter sees."""
    with torch.device("meta"):
        model = build()
    set_kernel(model, "eager")
    encoder = model.encoder
    mask = model.masker(1, encoder.grid, noise=torch.rand(1, model.noise_size))
    return model, torch.empty(1, channels, *encoder.size, device="meta"), mask
