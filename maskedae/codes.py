"""Tables of codes of places: drawn, computed, stretched over other grids."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sincos(grid: tuple[int, ...], width: int) -> Tensor:
    """Fixed sine-cosine codes of every patch, row-major: (N, D) (arXiv:2111.06377, official code).

    Every axis has an equal share of the width, the last axis first: sines, then cosines, of its
    place times 10000^(-k / n). What does not divide evenly stays zero.
    """
    pairs = width // (2 * len(grid))
    rates = 10000.0 ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    places = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [place.flatten()[:, None] * rates for place in reversed(places)]
    codes = torch.cat([code for angle in angles for code in (angle.sin(), angle.cos())], dim=1)
    return F.pad(codes, (0, width - codes.shape[1])).float()


def sinusoid(rows: int, width: int) -> Tensor:
    """Fixed codes of a row of places: (N, D) (arXiv:1706.03762, section 3.5).

    Sine and cosine take turns, of the place times 10000^(-2k / D).
    """
    rates = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(rows, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].float()


def resample(table: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Stretch a position table over another grid: (N, D) -> (N', D).

    Cubic along every axis, which on two axes is the published bicubic resize.
    """
    if len(old) != len(new):
        raise ValueError(f"a position table for {len(old)} axes cannot serve a grid of {new}")
    table = table.reshape(*old, -1)
    for axis, (before, after) in enumerate(zip(old, new, strict=True)):
        if before != after:
            lines = table.movedim(axis, -1)
            flat = lines.reshape(1, -1, before, 1).float()
            flat = F.interpolate(flat, (after, 1), mode="bicubic", align_corners=False)
            table = flat.to(table.dtype).reshape(*lines.shape[:-1], after).movedim(-1, axis)
    return table.flatten(0, len(new) - 1)


def resized(old: int, new: int) -> Tensor:
    """What bicubic resizing of a line does to it, as a matrix: (new, old)."""
    lines = torch.eye(old)[None, None]  # in every column, one place is 1
    return F.interpolate(lines, (new, old), mode="bicubic", antialias=True)[0, 0]


def stretch_line(table: Tensor, places: int) -> Tensor:
    """A table of so many places along a line, by the straight way between them: (1, N, D)."""
    lines = table.float().transpose(1, 2)
    lines = F.interpolate(lines, places, mode="linear", align_corners=False)
    return lines.transpose(1, 2).to(table.dtype)


def rows_of(table: Tensor, prefix: int, index: Tensor | None) -> Tensor:
    """Rows of the chosen patches, (B, K) -> (B, K, D), after those of the prefix; or all."""
    rows = table[:, prefix:]
    return rows if index is None else F.embedding(index, rows[0])


def drawn(*shape: int) -> nn.Parameter:
    """Codes to be learned, from a normal distribution of 0.02, cut at 2."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))
