"""A picture of films whose sound or pictures are nearest to those of others."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as V

from maskedae.data import Data, Source
from maskedae.evaluation import spread
from maskedae.loading import read_in_order
from maskedae.pairs import Pair
from maskedae.pictures import PAPER, Cell, contact_sheet
from maskedae.retrieval import Places, nearest

QUERIES, NEAREST = 6, 5  # rows for either way, panels beside the query
SIDE, LOW = 128, 44  # pixels of a frame's longer side, of a spectrogram's height
BORDER, RIGHT = 4, "#1a7f37"  # pixels around a panel, and their colour if it is the right one
SPREAD = (0.01, 0.995)  # quantiles of a spectrogram that are dark and bright
NOTES = (
    "Asked by sound: nearest are the films whose pictures are most like it.",
    "Asked by pictures: nearest are the films whose sound is most like them.",
)
PANELS = "Panels are the middle frame and the spectrogram of a film; green is the one asked for."


class Way(NamedTuple):
    """One way to ask: by what, and among what."""

    what: str
    queries: Tensor  # (n, D)
    candidates: Tensor  # (n, D)
    places: Places


class Row(NamedTuple):
    """One query and what is near it: numbers among the films that were compared."""

    what: str
    query: int
    shown: list[int]
    rank: float


def choose_rows(way: Way) -> list[Row]:
    """Queries, evenly spaced, and their nearest; the right one comes last if it is not among."""
    rows, chosen = list[Row](), spread(len(way.queries), QUERIES)
    found = nearest(way.queries[chosen], way.candidates, NEAREST).tolist()
    for query, near in zip(chosen, found, strict=True):
        shown = near if query in near else [*near, query]
        rows.append(Row(way.what, query, shown, float(way.places.ranks[query])))
    return rows


def frame(clip: Tensor) -> Tensor:
    """The middle frame of a clip, small: uint8 (C, T, H, W) -> (H', W', 3)."""
    pixels = clip[:, clip.shape[1] // 2]
    small = [max(1, round(side * SIDE / max(pixels.shape[1:]))) for side in pixels.shape[1:]]
    shown: Tensor = V.resize(pixels, small, antialias=True)
    return shown.expand(3, -1, -1).movedim(0, -1)


def spectrogram(signal: Tensor, width: int) -> Tensor:
    """Colours of a sound, high bands on top: float (1, T, F) -> uint8 (H', W', 3)."""
    bands = signal.float().cpu().nan_to_num(nan=float(signal.nanmean())).movedim(1, 2)
    heard = bands.amax(dim=1) > bands.amin(dim=1)  # where a sound has ended, all bands are the same
    end = heard[0].nonzero()[-1:] + 1
    bands = bands[..., : int(end) if len(end) else None]
    dark, bright = torch.quantile(bands, torch.tensor(SPREAD)).tolist()
    small = F.interpolate(bands[None].flip(-2), (LOW, width), mode="area")[0, 0]
    shades = ((small - dark) / max(bright - dark, 1e-6)).clamp(0, 1)
    return torch.from_numpy(colormaps["magma"](shades.numpy(), bytes=True)[..., :3])


def panel(clip: Tensor, signal: Tensor) -> Tensor:
    """Frame and spectrogram of a film, under each other: -> uint8 (H', W', 3)."""
    top = frame(clip)
    return torch.cat([top, spectrogram(signal, top.shape[1])])


def panels(
    data: Data, source: Source, indices: list[int], batch_size: int, workers: int
) -> dict[int, Tensor]:
    """Panels of samples by their numbers, of the first view of each."""
    found = dict[int, Tensor]()
    for batch in read_in_order(source, indices, batch_size, workers):
        if isinstance(batch.samples, Pair):
            first = batch.samples[: len(batch.draws)]
            sounds = data.signal(first).audio
            for i, (_, index) in enumerate(batch.draws):
                clip = first.video[i] * first.seen[i]  # dark, where this view has no pictures
                found[index] = panel(clip, sounds[i].where(first.heard[i], 0))
    return found


def framed(pixels: Tensor, colour: str) -> np.ndarray:
    """A panel with a border: uint8 (H, W, 3) -> (H', W', 3)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    sides = [pixels.shape[0] + 2 * BORDER, pixels.shape[1] + 2 * BORDER]
    whole = torch.tensor([red, green, blue], dtype=torch.uint8).expand(*sides, 3).clone()
    whole[BORDER:-BORDER, BORDER:-BORDER] = pixels
    return whole.numpy()


def told(source: Source, index: int) -> str:
    """A sample in few words: its file, the folder of that, and which part of it."""
    path = Path(source.name(index))
    name = f"{path.parent.name}/ {path.stem}" if path.parent.name else path.stem
    if source.spans is not None:
        name += " {:.2f}-{:.2f} s".format(*source.spans[index].tolist())
    return name


def sheet_of(
    rows: Sequence[Row], source: Source, indices: Sequence[int], found: dict[int, Tensor], note: str
) -> Image.Image:
    """Lay out queries and their nearest; what can no longer be read is blank."""
    blank = torch.full((SIDE, SIDE, 3), 230, dtype=torch.uint8)
    sheet = list[list[Cell]]()
    for row in rows:
        captions = [f"{row.what} of {told(source, indices[row.query])}"]
        captions += [f"{place}. {told(source, indices[i])}" for place, i in enumerate(row.shown, 1)]
        if len(row.shown) > NEAREST:
            captions[-1] = f"rank {row.rank:g}: {told(source, indices[row.query])}"
        colours = [PAPER, *(RIGHT if i == row.query else PAPER for i in row.shown)]
        pixels = [found.get(indices[i], blank) for i in (row.query, *row.shown)]
        cells = zip(captions, pixels, colours, strict=True)
        sheet.append([Cell(caption, framed(part, colour)) for caption, part, colour in cells])
    return contact_sheet(sheet, f"{note} {PANELS}")


def abreast(sheets: Sequence[Image.Image]) -> Image.Image:
    """Put sheets beside each other."""
    size = sum(sheet.width for sheet in sheets), max(sheet.height for sheet in sheets)
    whole, left = Image.new("RGB", size, PAPER), 0
    for sheet in sheets:
        whole.paste(sheet, (left, 0))
        left += sheet.width
    return whole


def draw_neighbours(
    ways: Sequence[Way],
    data: Data,
    source: Source,
    indices: Sequence[int],
    batch_size: int,
    workers: int,
) -> Image.Image:
    """Queries of either way with their nearest; `indices` are numbers in the source."""
    rows = [choose_rows(way) for way in ways]
    shown = {i for row in chain(*rows) for i in (row.query, *row.shown)}
    found = panels(data, source, sorted(indices[i] for i in shown), batch_size, workers)
    pairs = zip(rows, NOTES, strict=True)
    return abreast([sheet_of(part, source, indices, found, note) for part, note in pairs])
