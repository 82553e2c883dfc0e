"""Figures of clips: frames side by side on a sheet, and the same as a film."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from maskedae.datasets.films.writing import write_film
from maskedae.pictures import Cell, contact_sheet

ABREAST, SIDE = 8, 160  # frames of a strip at most, pixels of the longer side of each
RATE = 8.0  # frames per second of a film of reconstructions
Labelled = tuple[str, Tensor]  # a caption, and uint8 (1 or 3, T, H, W)


def strip(clip: Tensor) -> Tensor:
    """Frames of a clip, evenly spaced, side by side: (C, T, H, W) -> (H', W', C)."""
    count = clip.shape[1]
    chosen = np.unique(np.linspace(0, count - 1, min(count, ABREAST)).round().astype(int)).tolist()
    frames = clip[:, chosen].transpose(0, 1)
    longer = max(frames.shape[-2:])
    if longer > SIDE:
        small = [max(1, side * SIDE // longer) for side in frames.shape[-2:]]
        frames = F.resize(frames, small, antialias=True)
    factor = max(1, SIDE // longer)  # small ones are shown with every pixel a square
    frames = frames.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    gap = frames.new_full((frames.shape[1], frames.shape[2], 2), 255)
    parts = [part for frame in frames for part in (gap, frame)][1:]
    return torch.cat(parts, dim=-1).movedim(0, -1)


def draw_strips(rows: list[list[Labelled]], note: str, path: Path) -> None:
    """Write a sheet with a strip for every clip."""
    cells = [[Cell(caption, strip(clip))] for row in rows for caption, clip in row]
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(cells, note).save(path, format="PNG")


def draw_film(rows: list[list[Labelled]], note: str, path: Path) -> None:
    """Write a film of the clips side by side; shorter ones rest on their last frame."""
    length = max(clip.shape[1] for row in rows for _, clip in row)
    frames = []
    for moment in range(length):
        cells = [[Cell(caption, at(clip, moment)) for caption, clip in row] for row in rows]
        frames.append(np.asarray(contact_sheet(cells, note)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_film(path, np.stack(frames), RATE)


def at(clip: Tensor, moment: int) -> Tensor:
    """A frame of a clip, or its last one: (C, T, H, W) -> (H, W, C)."""
    return clip[:, min(moment, clip.shape[1] - 1)].movedim(0, -1)
