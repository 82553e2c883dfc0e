"""From an encoder of fewer axes to one with an axis more in front, such as time."""

from torch import Tensor, nn

from maskedae.attention import attentions
from maskedae.encoder import Encoder
from maskedae.fitting import Report, fill, fit_kernel
from maskedae.layouts import State
from maskedae.patches import PatchEmbed
from maskedae.positions import FixedPositions, Positions, WindowPositions
from maskedae.units import UnitEmbed


def inflate(still: Encoder, moving: Encoder) -> Report:
    """Start an encoder from one that lacks its first axis (arXiv:2205.09113, appendix A).

    The kernel of the patches is spread evenly over the new axis, so that a signal that does not
    change along it gives the same; what positions along it add begins at zero. Raises ValueError
    where the blocks differ.
    """
    report = Report(f"an encoder of patches of {still.unit}", "inflated")
    state: State = {k: v for k, v in still.state_dict().items() if not k.startswith("head.")}
    channels, places, *sides = moving.embed.weight.shape[1:]
    kernel = fit_kernel("embed", state["embed.weight"], channels, tuple(sides), report)
    state["embed.weight"] = spread(kernel, places, moving.embed)
    was, now = tuple(kernel.shape[2:]), (places, *sides)
    report.resized.append(f"spread: embed from patches of {was} to {now}, evenly")
    begin(state, still, moving, report)
    if not moving.prefix and state.pop("class_token", None) is not None:
        report.left_out.append("class_token")
    named = {f"encoder.{name}": tensor for name, tensor in state.items()}
    fill(nn.ModuleDict({"encoder": moving}), named, report)
    heads = [attentions(encoder)[0].heads for encoder in (still, moving)]
    if heads[0] != heads[1]:
        raise ValueError(f"blocks with {heads[0]} heads do not fit those with {heads[1]}: {report}")
    if not report.complete:
        raise ValueError(f"the two models are of other builds: {report}")
    return report


def spread(kernel: Tensor, places: int, embed: PatchEmbed | UnitEmbed) -> Tensor:
    """A kernel over one axis more in front: (D, C, p, q) -> (D, C, n, p, q).

    Where kernels overlap, the weight lies on what the last one did not see, which is never padding.
    """
    first = places // 2 if isinstance(embed, UnitEmbed) else 0
    last = first + embed.stride[0] if isinstance(embed, UnitEmbed) else places
    weight = kernel.new_zeros(places)
    weight[first:last] = 1 / len(weight[first:last])
    return kernel.unsqueeze(2) * weight.view(-1, *[1] * (kernel.ndim - 2))


def begin(state: State, still: Encoder, moving: Encoder, report: Report) -> None:
    """Give the positions in `state` a new axis, where those of the new encoder are stored."""
    stored = [name for name in state if name.startswith("positions.")]
    tables = {name.removeprefix("positions."): state.pop(name) for name in stored}
    ours, theirs = still.positions, moving.positions
    if not theirs.state_dict():
        report.notes.append(f"computed anew: positions for {theirs.grid}")
    elif tables:
        windowed = isinstance(ours, WindowPositions), isinstance(theirs, WindowPositions)
        if isinstance(theirs, (Positions, FixedPositions)) or windowed[0] != windowed[1]:
            kinds = f"{type(ours).__name__} and {type(theirs).__name__}"
            raise ValueError(f"the two models are of other builds: {kinds}: {report}")
        fitted = theirs.begin(tables, ours.grid)
        state |= {f"positions.{name}": table for name, table in fitted.items()}
        report.resized.append(f"separated: positions of {ours.grid} for {theirs.grid}, bicubic")
