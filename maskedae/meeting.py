"""What is done to both signals of a pair, and to their tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from maskedae.joint import Both
from maskedae.masking import Mask, Masker
from maskedae.pairs import Pair

Masks = tuple[Mask, Mask]  # of sound, of pictures


def sides(signal: Pair) -> list[Tensor]:
    """Sound and pictures of a pair."""
    return [signal.audio, signal.video]


def along(there: Tensor, x: Tensor) -> Tensor:
    """What is true of samples, for the axes of another tensor: (B,), (B, ...) -> (B, 1, ...)."""
    return there.view(-1, *[1] * (x.ndim - 1))


def filled(x: Sequence[Tensor], signal: Pair) -> Both:
    """Put zeros in place of what stands for a sound or pictures that there are none of: the same.

    Whatever that was, it gets no gradient.
    """
    audio, video = (
        torch.where(along(there, side), side, 0.0)
        for side, there in zip(x, signal.present, strict=True)
    )
    return audio, video


def blanked(x: Sequence[Tensor], signal: Pair) -> Both:
    """Put NaN in place of what stands for a sound or pictures that there are none of: the same."""
    audio, video = (
        side.masked_fill(~along(there, side), torch.nan)
        for side, there in zip(x, signal.present, strict=True)
    )
    return audio, video


def joined(audio: Tensor, video: Tensor, first: int) -> Tensor:
    """As one sequence, class tokens before patches, of which the one numbered `first` is the first.

    (B, 1 + V, D), (B, 1 + V', D) -> (B, 2 + V + V', D).
    """
    parts = audio[:, :first], video[:, :first], audio[:, first:], video[:, first:]
    return torch.cat(parts, dim=1)


def means(tokens: Both, first: int) -> Both:
    """The mean of patches, without class tokens: 2 x (B, 1 + V, D) -> 2 x (B, D); see `joined`."""
    return tokens[0][:, first:].mean(dim=1), tokens[1][:, first:].mean(dim=1)


def draw_masks(
    masker: Masker,
    grids: Sequence[tuple[int, ...]],
    batch: int,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Masks:
    """Masks of sound and of pictures, by noise (B, N + N') if it is given."""
    first = torch.Size(grids[0]).numel()
    noises = (None, None) if noise is None else noise.tensor_split([first], dim=1)
    audio, video = (
        masker(batch, grid, part, generator) for grid, part in zip(grids, noises, strict=True)
    )
    return audio, video
