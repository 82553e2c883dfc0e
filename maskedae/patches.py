"""Patches at the door: the only code that knows how many axes a signal has."""

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from maskedae.linear import linear
from maskedae.masking import take

CUTS = {
    1: "b c (t p) -> b t (p c)",  # waveform
    2: "b c (h p) (w q) -> b (h w) (p q c)",  # image, spectrogram
    3: "b c (t p) (h q) (w r) -> b (t h w) (p q r c)",  # video
}
OVERLAPPING = {
    1: "b c t p -> b t (p c)",
    2: "b c h w p q -> b (h w) (p q c)",
    3: "b c t h w p q r -> b (t h w) (p q r c)",
}
KERNELS = {1: "d c p -> d (p c)", 2: "d c p q -> d (p q c)", 3: "d c p q r -> d (p q r c)"}


def grid_of(
    size: tuple[int, ...], patch: tuple[int, ...], stride: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """Patches per axis. Raises ValueError where patches do not tile the signal.

    With one patch every `stride` they overlap, and may leave the end of the signal over.

    >>> grid_of((224, 160), (16, 16)), grid_of((1024, 128), (16, 16), (10, 10))
    ((14, 10), (101, 12))
    """
    if len(size) != len(patch):
        raise ValueError(
            f"patches of {patch} have {len(patch)} sides, a signal of {size} has {len(size)}; as "
            f"many would fit"
        )
    if stride is not None:
        return _overlapping(size, patch, stride)
    if any(s % p or s < p for s, p in zip(size, patch, strict=True)):
        fits = tuple(max(round(s / p), 1) * p for s, p in zip(size, patch, strict=True))
        raise ValueError(f"patches of {patch} do not tile a signal of {size}; {fits} would fit")
    return tuple(s // p for s, p in zip(size, patch, strict=True))


def _overlapping(
    size: tuple[int, ...], patch: tuple[int, ...], stride: tuple[int, ...]
) -> tuple[int, ...]:
    if len(stride) != len(patch) or any(not 0 < s <= p for s, p in zip(stride, patch, strict=True)):
        raise ValueError(
            f"patches of {patch} every {stride} leave gaps; from 1 to {patch} would fit"
        )
    if any(s < p for s, p in zip(size, patch, strict=True)):
        raise ValueError(f"patches of {patch} are larger than a signal of {size}; {patch} fits")
    steps = zip(size, patch, stride, strict=True)
    return tuple((whole - side) // step + 1 for whole, side, step in steps)


def patchify(x: Tensor, patch: tuple[int, ...], stride: tuple[int, ...] | None = None) -> Tensor:
    """Cut a signal into patches, channels fastest: (B, C, *size) -> (B, N, P)."""
    sides = dict(zip("pqr", patch, strict=False))
    if stride is None:
        return rearrange(x, CUTS[len(patch)], **sides)
    for axis, (side, step) in enumerate(zip(patch, stride, strict=True), start=2):
        x = x.unfold(axis, side, step)
    return rearrange(x, OVERLAPPING[len(patch)], **sides)


def unpatchify(
    patches: Tensor,
    grid: tuple[int, ...],
    patch: tuple[int, ...],
    stride: tuple[int, ...] | None = None,
    size: tuple[int, ...] = (),
) -> Tensor:
    """Put patches together again: (B, N, P) -> (B, C, *size).

    Where they overlap, their mean; where none is, NaN. Only then must `size` be told.
    """
    if stride is not None:
        return _pile(patches, patch, stride, size)
    whole, pieces = CUTS[len(patch)].split(" -> ")
    axes = dict(zip("pqr", patch, strict=False))
    names = "thw"[-len(grid) :] if len(grid) > 1 else "t"
    return rearrange(patches, f"{pieces} -> {whole}", **axes, **dict(zip(names, grid, strict=True)))


def _pile(
    patches: Tensor, patch: tuple[int, ...], stride: tuple[int, ...], size: tuple[int, ...]
) -> Tensor:
    values = rearrange(patches, "b n (p c) -> b c (n p)", p=math.prod(patch))
    where = places(size, patch, stride, patches.device).flatten()
    total = values.new_zeros(*values.shape[:2], math.prod(size)).index_add(2, where, values)
    count = values.new_zeros(math.prod(size)).index_add(0, where, torch.ones_like(values[0, 0]))
    return (total / count).view(*values.shape[:2], *size)


def places(
    size: tuple[int, ...],
    patch: tuple[int, ...],
    stride: tuple[int, ...] | None,
    device: torch.device,
) -> Tensor:
    """Which values of one channel of a signal, counted row-major, a patch covers: (N, P / C)."""
    numbers = torch.arange(math.prod(size), device=device).view(1, 1, *size)
    return patchify(numbers, patch, stride)[0]


def covered(
    signal: Tensor, index: Tensor, patch: tuple[int, ...], stride: tuple[int, ...] | None = None
) -> Tensor:
    """Which values of a signal chosen patches cover: (B, C, *size), (B, K) -> (B, 1, *size)."""
    size = signal.shape[2:]
    chosen = places(size, patch, stride, signal.device)[index].flatten(1)
    none = torch.zeros(len(signal), size.numel(), dtype=torch.bool, device=signal.device)
    return none.scatter(1, chosen, True).view(len(signal), 1, *size)


class PatchEmbed(nn.Module):
    """A linear map from patches to tokens, for the chosen patches only.

    The weight is that of a convolution with kernel = patch, as published; its stride is the patch,
    too, unless patches overlap. Those may leave the end of a signal over, whose `size` is told.
    """

    def __init__(
        self,
        channels: int,
        patch: tuple[int, ...],
        width: int,
        stride: tuple[int, ...] | None = None,
        size: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"signals of {channels} channels; 1 or more would fit")
        self.patch, self.stride, self.size = patch, stride, size
        self.weight = nn.Parameter(torch.empty(width, channels, *patch))
        self.bias = nn.Parameter(torch.empty(width))
        values = channels * math.prod(patch)
        nn.init.xavier_uniform_(self.weight.view(width, values))
        nn.init.uniform_(self.bias, -(values**-0.5), values**-0.5)

    def forward(self, signal: Tensor, index: Tensor | None = None) -> Tensor:
        """(B, C, *size), (B, K) -> (B, K, D); without an index, all patches."""
        patches = patchify(signal, self.patch, self.stride)
        chosen = patches if index is None else take(patches, index)
        weight = rearrange(self.weight, KERNELS[len(self.patch)])
        return linear(chosen, weight, self.bias)
