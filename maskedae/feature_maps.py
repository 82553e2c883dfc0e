"""Pictures of what an encoder sees: colours of its patches, and where it looks."""

from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from matplotlib import colormaps
from torch import Tensor

from maskedae.attention import record_maps
from maskedae.data import BadSample, Panel, Source
from maskedae.encoder import Encoder
from maskedae.evaluation import spread
from maskedae.extraction import choose_layers
from maskedae.loading import Skipped
from maskedae.opening import Opened
from maskedae.viewing import refuse_to_replace

PCA_NOTE = (
    "Three principal components of the patches' features as red, green and blue, fitted over all "
    "samples shown: patches of one colour look alike to the encoder."
)
ATTENTION_NOTES = (
    "Attention that each patch receives from the others, on average",
    "Attention of the class token to each patch",
)
ABREAST = 8  # panels in a row, where samples need few
Drawn = tuple[list[Path], list[Skipped]]  # files that were written, and samples that were not read


def of_one_kind(opened: Opened) -> tuple[int, ...]:
    """The shape of signals. Raises ValueError for pairs, whose patches share no picture."""
    if not isinstance(opened.shape[0], int):
        raise ValueError(
            "patches of sound and of pictures are not drawn together: --modality a or --modality v "
            "would fit"
        )
    return opened.shape


def read_some(
    opened: Opened, source: Source, most: int
) -> tuple[list[tuple[str, Tensor]], list[Skipped]]:
    """Names and signals (C, *size) of samples, evenly spaced, and what could not be read."""
    found, skipped = list[tuple[str, Tensor]](), list[Skipped]()
    for index in spread(len(source), most):
        try:
            sample = source.read(index)[:1].to(opened.state.device)
        except BadSample as reason:
            skipped.append(Skipped(source.name(index), str(reason)))
            continue
        found.append((Path(source.name(index)).name, opened.data.signal(sample)[0]))
    if not found:
        raise ValueError(f"no sample can be read: {skipped[0].name}: {skipped[0].reason}")
    return found, skipped


def paint(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Colours of patches, 0 to 1, as large as a signal: (1 or 3, *grid) -> (C, *size).

    With one channel the first stands for all; channels beyond the third are full.
    """
    large = F.interpolate(values.unsqueeze(0), shape[1:], mode="nearest")[0]
    painted = torch.ones(shape)
    painted[:3] = large[:1] if shape[0] == 1 else large
    return painted


def principal_colours(maps: Tensor) -> Tensor:
    """Three principal components over all samples: (B, D, *grid) -> (B, 3, *grid), 0 to 1.

    The scale of each leaves out the outermost hundredth at both ends. What is NaN stays so.
    """
    tokens = maps.movedim(1, -1)
    flat = tokens.flatten(0, -2).double()
    there = flat[flat.isfinite().all(dim=1)]
    centre = there.mean(0)
    axes = torch.linalg.eigh((there - centre).T @ (there - centre))[1][:, -3:].flip(1)
    # The sign of an axis is chance: let more of its weight be positive.
    axes = axes * axes.sum(0).sign()
    low, high = (((there - centre) @ axes).quantile(q, dim=0) for q in (0.01, 0.99))
    scaled = (((flat - centre) @ axes - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return scaled.float().view(*tokens.shape[:-1], 3).movedim(-1, 1)


@torch.inference_mode()
def draw_principal(opened: Opened, source: Source, path: Path, most: int) -> Drawn:
    """Draw samples, and beside each the colours of its patches in every layer."""
    of_one_kind(opened)
    layers = choose_layers(opened.encoder, opened.options.layers)
    refuse_to_replace(source, opened.data.drawn(path))
    samples, skipped = read_some(opened, source, most)
    rows = [[Panel(name, signal)] for name, signal in samples]
    found = list[list[Tensor]]()
    for _, signal in samples:
        maps = opened.encoder.forward_intermediates(
            signal.unsqueeze(0), layers, norm=True, intermediates_only=True
        )
        found.append(cast(list[Tensor], maps))
    for layer, all_maps in zip(layers, zip(*found, strict=True), strict=True):
        colours = principal_colours(torch.cat(all_maps).cpu())
        for row, values in zip(rows, colours, strict=True):
            row.append(panel(f"{opened.encoder.layer} {layer}", values, opened))
    abreast = max(1, ABREAST // len(rows[0]))
    joined = [sum(rows[i : i + abreast], []) for i in range(0, len(rows), abreast)]
    return opened.data.draw(joined, PCA_NOTE, path), skipped


def panel(caption: str, values: Tensor, opened: Opened) -> Panel:
    """A panel of painted patches: (1 or 3, *grid)."""
    return Panel(caption, opened.data.shade(paint(values, opened.shape)))


def attention_maps(encoder: Encoder, signal: Tensor, layers: list[int]) -> list[Tensor]:
    """Where every head of some layers looks: (C, *size) -> for each layer (heads, *grid)."""
    with record_maps(encoder) as recorded:
        encoder.forward_features(signal.unsqueeze(0))
    return [encoder.attended(recorded, layer)[0].cpu() for layer in layers]


@torch.inference_mode()
def draw_attention(opened: Opened, source: Source, path: Path, most: int) -> Drawn:
    """Draw samples, and beside each where every head looks; a row for each layer."""
    shape = of_one_kind(opened)
    layers = choose_layers(opened.encoder, opened.options.layers or [-1])
    refuse_to_replace(source, opened.data.drawn(path))
    samples, skipped = read_some(opened, source, most)
    colour = glow if shape[0] > 1 else (lambda values: values.unsqueeze(0))
    rows = []
    for name, signal in samples:
        for layer, maps in zip(layers, attention_maps(opened.encoder, signal, layers), strict=True):
            row = [
                Panel(
                    name if len(layers) == 1 else f"{name}, {opened.encoder.layer} {layer}", signal
                )
            ]
            for head, looks in enumerate(maps):
                row.append(panel(f"head {head}", colour(looks / looks.max()), opened))
            rows.append(row)
    which = ATTENTION_NOTES[bool(opened.encoder.prefix)]
    where = f", in {opened.encoder.layer} {layers[0]}" if len(layers) == 1 else ""
    note = f"{which}{where}; each map is scaled to its own largest value."
    return opened.data.draw(rows, note, path), skipped


def glow(values: Tensor) -> Tensor:
    """Values from 0 to 1 as colours from dark to bright: (*grid) -> (3, *grid)."""
    return torch.from_numpy(colormaps["inferno"](values.numpy())[..., :3]).float().movedim(-1, 0)
