"""What a model imagines behind the mask, as panels to draw."""

from typing import Any

import torch

from maskedae.data import Panel
from maskedae.learner import Learner
from maskedae.masking import Masker


@torch.no_grad()
def imagine_row(
    model: Learner, signal: Any, name: str, maskers: list[Masker], seed: int, oracle: bool = False
) -> list[Panel]:
    """Original, then for every masker: masked, imagined, imagined with what was visible.

    The signal is a batch of one sample (1, C, *size). Slices of its first axis of which the model
    predicts nothing, such as every second frame, are left out.
    """
    noise = torch.rand(1, model.noise_size, generator=torch.Generator().manual_seed(seed))
    row, predicted = [(name, signal)], None
    for masker in maskers:
        seen = model.picture(signal, masker, noise, oracle)
        row += [
            (f"{seen.share:.0%} hidden", seen.masked),
            (f"imagined, loss {seen.loss:.3f}", seen.imagined),
            ("imagined + visible", seen.whole),
        ]
        predicted = seen.predicted
    parts = [(caption, part[0]) for caption, part in row]
    if predicted is not None:
        parts = [(caption, part[:, predicted]) for caption, part in parts]
    return [Panel(*pair) for pair in parts]


def note(model: Learner, oracle: bool) -> str:
    """What a viewer must know of where the brightness of hidden patches comes from."""
    if not model.needs_statistics:
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
