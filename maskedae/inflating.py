"""From an encoder of fewer axes to one with an axis more in front, such as time."""

import torch
from torch import Tensor, nn

from maskedae.encoder import Encoder
from maskedae.fitting import Report, fill, fit_kernel
from maskedae.layouts import State
from maskedae.positions import SeparablePositions, resample


def inflate(still: Encoder, moving: Encoder) -> Report:
    """Start an encoder from one that lacks its first axis (arXiv:2205.09113, appendix A).

    The kernel of the patches is spread evenly over the new axis, so that a signal that does not
    change along it gives the same; what positions along it add begins at zero. Raises ValueError
    where the blocks differ.
    """
    report = Report(f"an encoder of patches of {still.unit}", "inflated")
    state: State = {k: v for k, v in still.state_dict().items() if not k.startswith("head.")}
    channels, still_unit = moving.embed.weight.shape[1], moving.unit[1:]
    kernel = fit_kernel("embed", state["embed.weight"], channels, still_unit, report)
    state["embed.weight"] = spread(kernel, moving.unit)
    report.resized.append(f"spread: embed from patches of {still_unit} to {moving.unit}, evenly")
    table = state.pop("positions.table", None)
    if not isinstance(moving.positions, SeparablePositions):
        report.notes.append(f"computed anew: positions for {moving.grid}")
    elif table is not None:
        state |= separate(table[0], still.grid, moving.positions)
        report.resized.append(f"separated: positions of {still.grid} for {moving.grid}, bicubic")
    if moving.class_token is None and state.pop("class_token", None) is not None:
        report.left_out.append("class_token")
    named = {f"encoder.{name}": tensor for name, tensor in state.items()}
    fill(nn.ModuleDict({"encoder": moving}), named, report)
    heads = [encoder.blocks[0].attn.heads for encoder in (still, moving)]
    if heads[0] != heads[1]:
        raise ValueError(f"blocks with {heads[0]} heads do not fit those with {heads[1]}: {report}")
    if not report.complete:
        raise ValueError(f"the two models are of other builds: {report}")
    return report


def spread(kernel: Tensor, unit: tuple[int, ...]) -> Tensor:
    """A kernel over one axis more in front: (D, C, p, q) -> (D, C, n, p, q)."""
    return kernel.unsqueeze(2).repeat(1, 1, unit[0], *[1] * len(unit[1:])) / unit[0]


def separate(rows: Tensor, grid: tuple[int, ...], places: SeparablePositions) -> State:
    """Tables of separate positions, by those of a grid without the first axis: (prefix + N, D)."""
    prefix = len(rows) - torch.Size(grid).numel()
    across = resample(rows[prefix:], grid, places.grid[1:]).unsqueeze(0)
    along = across.new_zeros(places.along.shape)
    tables = {"positions.along": along, "positions.across": across}
    return tables | ({"positions.prefix_table": rows[None, :prefix]} if prefix else {})
