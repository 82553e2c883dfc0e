"""Patches at the door: the only code that knows how many axes a signal has."""

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from maskedae.masking import take

CUTS = {
    1: "b c (t p) -> b t (p c)",  # waveform
    2: "b c (h p) (w q) -> b (h w) (p q c)",  # image, spectrogram
    3: "b c (t p) (h q) (w r) -> b (t h w) (p q r c)",  # video
}
KERNELS = {1: "d c p -> d (p c)", 2: "d c p q -> d (p q c)", 3: "d c p q r -> d (p q r c)"}


def grid_of(size: tuple[int, ...], patch: tuple[int, ...]) -> tuple[int, ...]:
    """Patches per axis. Raises ValueError where patches do not tile the signal.

    >>> grid_of((224, 160), (16, 16))
    (14, 10)
    """
    if len(size) != len(patch):
        raise ValueError(
            f"patches of {patch} have {len(patch)} sides, a signal of {size} has {len(size)}; as "
            f"many would fit"
        )
    if any(s % p or s < p for s, p in zip(size, patch, strict=True)):
        fits = tuple(max(round(s / p), 1) * p for s, p in zip(size, patch, strict=True))
        raise ValueError(f"patches of {patch} do not tile a signal of {size}; {fits} would fit")
    return tuple(s // p for s, p in zip(size, patch, strict=True))


def patchify(x: Tensor, patch: tuple[int, ...]) -> Tensor:
    """Cut a signal into patches, channels fastest: (B, C, *size) -> (B, N, P)."""
    return rearrange(x, CUTS[len(patch)], **dict(zip("pqr", patch, strict=False)))


def unpatchify(patches: Tensor, grid: tuple[int, ...], patch: tuple[int, ...]) -> Tensor:
    """Put patches together again: (B, N, P) -> (B, C, *size)."""
    whole, pieces = CUTS[len(patch)].split(" -> ")
    axes = dict(zip("pqr", patch, strict=False))
    names = "thw"[-len(grid) :] if len(grid) > 1 else "t"
    return rearrange(patches, f"{pieces} -> {whole}", **axes, **dict(zip(names, grid, strict=True)))


class PatchEmbed(nn.Module):
    """A linear map from patches to tokens, for the chosen patches only.

    The weight is that of a convolution with kernel = stride = patch, as published.
    """

    def __init__(self, channels: int, patch: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.empty(width, channels, *patch))
        self.bias = nn.Parameter(torch.empty(width))
        values = channels * math.prod(patch)
        nn.init.xavier_uniform_(self.weight.view(width, values))
        nn.init.uniform_(self.bias, -(values**-0.5), values**-0.5)

    def forward(self, signal: Tensor, index: Tensor | None = None) -> Tensor:
        """(B, C, *size), (B, K) -> (B, K, D); without an index, all patches."""
        patches = patchify(signal, self.patch)
        chosen = patches if index is None else take(patches, index)
        weight = rearrange(self.weight, KERNELS[len(self.patch)])
        return nn.functional.linear(chosen, weight, self.bias)
