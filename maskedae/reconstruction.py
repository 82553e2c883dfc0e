"""What a model imagines behind the mask, as panels to draw."""

import torch
from torch import Tensor

from maskedae.autoencoder import MaskedAutoencoder
from maskedae.data import Panel
from maskedae.masking import Mask, Masker


@torch.no_grad()
def imagine_row(
    model: MaskedAutoencoder,
    signal: Tensor,
    name: str,
    maskers: list[Masker],
    seed: int,
    oracle: bool = False,
) -> list[Panel]:
    """Original, then for every masker: masked, imagined, imagined with what was visible.

    The signal is one sample (C, *size). Slices of its first axis of which the model predicts
    nothing, such as every second frame, are left out.
    """
    row, predicted = [Panel(name, signal)], torch.ones(signal.shape[1], dtype=torch.bool)
    encoder, batch = model.encoder, signal.unsqueeze(0)
    noise = torch.rand(1, model.noise_size, generator=torch.Generator().manual_seed(seed))
    for masker in maskers:
        mask = Mask(*(i.to(signal.device) for i in masker(1, encoder.grid, noise=noise)))
        mask = encoder.settle(mask, batch)
        out = model(batch, mask)
        masked = encoder.hide(batch, mask)
        imagined = encoder.whole(model.imagine(batch, mask, oracle))
        whole = torch.where(masked.isnan(), imagined, batch)
        share = encoder.share_hidden(mask, batch)
        row += [
            Panel(f"{share:.0%} hidden", masked[0]),
            Panel(f"imagined, loss {out.loss:.3f}", imagined[0]),
            Panel("imagined + visible", whole[0]),
        ]
        predicted = ~imagined[0].isnan().movedim(1, 0).flatten(1).all(dim=1).cpu()
    return [Panel(caption, part[:, predicted.to(part.device)]) for caption, part in row]


def note(model: MaskedAutoencoder, oracle: bool) -> str:
    """What a viewer must know of where the brightness of hidden patches comes from."""
    if not model.target.needs_statistics:
        return "The model predicts values. Hidden values were not used to draw hidden values."
    if oracle:
        return (
            "ORACLE: mean and deviation of every hidden patch are the TRUE ones, taken from the "
            "original; only the pattern within a patch was imagined."
        )
    return (
        "The model predicts patches normalised by their own mean and deviation; these were "
        "estimated from the visible patches. Hidden values were not used to draw hidden values."
    )
