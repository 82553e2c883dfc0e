"""Signals that end early: they are NaN from there on, and nothing is made of that.

Patches that hold NaN are absent: left out of mask, attention, loss and pooling. Their tokens take
part in the arithmetic, so that every sample of a batch has as many, and are NaN when they come out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.data import Data
from maskedae.masking import Mask
from maskedae.patches import patchify


def set_ragged(model: nn.Module, on: bool) -> None:
    """Let the signals of a model end early, or not; what never does need not be looked through."""
    for module in model.modules():
        if hasattr(module, "ragged"):
            module.ragged = on  # type: ignore[assignment]


def suit(model: nn.Module, data: Data) -> None:
    """Let the signals of a model end early, or lack sound or pictures, if those of its data do.

    Raises ValueError where they could end within a patch.
    """
    set_ragged(model, data.ragged)
    for part in model.modules():
        if hasattr(part, "lacking"):
            part.lacking = data.lacking  # type: ignore[assignment]
    for encoder in (part for part in model.modules() if hasattr(part, "ragged")):
        if data.ragged and not encoder.takes_ragged:
            raise ValueError("signals of this model cannot end early: --data.short=zeros would fit")
        side = encoder.unit[0]  # type: ignore[index]
        if data.ragged and data.ends_at % side:
            raise ValueError(
                f"a patch is {side} long, and signals end at multiples of {data.ends_at}, so that "
                f"some would lose their last part: --data.grain={side} would fit"
            )


def whole_patches(
    signal: Tensor, patch: tuple[int, ...], stride: tuple[int, ...] | None = None
) -> Tensor:
    """Which patches are present: (B, C, *size) -> (B, N) bool."""
    return ~patchify(signal.isnan(), patch, stride).any(dim=-1)


def shut_out(x: Tensor, present: Tensor | None) -> Tensor | None:
    """A bias that lets nothing attend to absent tokens: (B, N, D), (B, N) -> (B, 1, 1, N).

    It is finite, so that attention among absent tokens alone is, too.
    """
    if present is None:
        return None
    device = x.device.type
    mixed = device != "meta" and torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if mixed else x.dtype
    bias = torch.zeros(present.shape, dtype=dtype, device=x.device)
    return bias.masked_fill(~present, torch.finfo(dtype).min / 2)[:, None, None]


def blank(tokens: Tensor, present: Tensor | None) -> Tensor:
    """Put NaN in place of absent tokens, if any may be: (B, N, D), (B, N) -> (B, N, D)."""
    return tokens if present is None else tokens.masked_fill(~present.unsqueeze(-1), torch.nan)


def spare(mask: Mask, present: Tensor) -> Mask:
    """Hide the same share of every sample, of which only the patches `present` (B, N) count.

    The masker's order decides: of those present the first stay visible, at least one, and at least
    one is hidden if there are two. The absent fill up both parts, last.
    """
    order, visible = torch.cat(mask, dim=1), mask.visible.shape[1]
    there = present.gather(1, order)
    order = order.gather(1, (~there).byte().argsort(dim=1, stable=True))
    count = there.sum(dim=1, keepdim=True)
    seen = (count * visible // order.shape[1]).clamp(min=1).minimum((count - 1).clamp(min=1))
    rank = torch.arange(order.shape[1], device=order.device).expand_as(order)
    absent = 1 + 2 * (rank - count >= visible - seen)
    part = torch.where(rank < seen, 0, torch.where(rank < count, 2, absent))
    order = order.gather(1, part.argsort(dim=1, stable=True))
    return Mask(order[:, :visible], order[:, visible:])


def squared_error(prediction: Tensor, target: Tensor, asked: Tensor | None) -> Tensor:
    """The mean over all values of 2 x (B, M, P), or over the patches `asked` (B, M) for.

    Then every sample counts the same, however early it ends.
    """
    if asked is None:
        return F.mse_loss(prediction, target)
    return sample_mean((prediction - target).square().mean(dim=-1), asked)


def sample_mean(values: Tensor, asked: Tensor) -> Tensor:
    """The mean over samples of the mean over the values that count: 2 x (B, M) -> scalar."""
    return ((values * asked).sum(dim=1) / asked.sum(dim=1).clamp(min=1)).mean()
