"""A masker of whole slots and whole bands, for grids of two axes such as time and frequency."""

from dataclasses import dataclass

import torch
from torch import Tensor

from maskedae.masking import Mask, Masker, draw_noise, keep_lowest


@dataclass(frozen=True)
class BandMasker(Masker):
    """Hide whole slots of the first axis and whole bands of the second (arXiv:2207.06405, 3.2).

    A patch is hidden if its slot or its band is; what each leaves visible is cut, as published, but
    at least one. With a share of 0 only slots, or only bands, are hidden. Slots take the first of a
    sample's noise, bands the last.
    """

    time: float = 0.7
    """Share of the slots to hide."""

    frequency: float = 0.3
    """Share of the bands to hide."""

    def __call__(
        self,
        batch: int,
        grid: tuple[int, ...],
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        if len(grid) != 2:
            raise ValueError(f"slots and bands are those of a grid of two axes, not of {grid}")
        noise = draw_noise(batch, grid, noise, generator)
        slots, bands = grid
        visible = self._visible(slots, self.time), self._visible(bands, self.frequency)
        if visible == grid:
            raise ValueError(
                f"shares of {self.time} of {slots} slots and {self.frequency} of {bands} bands "
                f"hide none; above {1 / slots:.3f} and {1 / bands:.3f}, or either, each hides some"
            )
        chances = noise[:, :slots]
        hidden = _hidden(chances, visible[0]).unsqueeze(2)
        hidden = hidden | _hidden(noise[:, -bands:], visible[1]).unsqueeze(1)
        # Where samples end early, a few more are hidden, or fewer: then by slots, drawn by chance.
        scores = hidden + chances.argsort(dim=1).argsort(dim=1).unsqueeze(2) / (slots + 1)
        return keep_lowest(scores.flatten(1), visible[0] * visible[1])

    def _visible(self, places: int, share: float) -> int:
        if not 0 <= share < 1:
            raise ValueError(f"a share of {share} cannot be hidden; from 0 to below 1 would fit")
        return max(int(places * (1 - share)), 1)


def _hidden(noise: Tensor, visible: int) -> Tensor:
    """Where places stay hidden, those of lowest noise being visible: (B, K) -> (B, K) bool."""
    return torch.ones_like(noise, dtype=torch.bool).scatter(
        1, keep_lowest(noise, visible).visible, False
    )
