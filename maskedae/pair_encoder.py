"""What an encoder of sound and picture knows of its signals."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from maskedae.encoder import Encoder
from maskedae.joint import Both
from maskedae.masking import Masker
from maskedae.meeting import blanked, draw_masks, filled, sides
from maskedae.pairs import Pair
from maskedae.vit import VisionTransformer


class PairEncoder(Encoder):
    """Where all that an encoder says of its signals, it says of two.

    Samples may lack either, unless it is told that none is `lacking`, which is faster.
    """

    layer: ClassVar[str] = "block"
    takes_ragged: ClassVar[bool] = False

    def __init__(self, audio: VisionTransformer, video: VisionTransformer) -> None:
        super().__init__(audio.width, audio.prefix + video.prefix, audio.eps)
        self.audio, self.video = audio, video
        self.lacking = True  # whether a sample may lack sound or pictures

    @property
    def parts(self) -> tuple[VisionTransformer, VisionTransformer]:
        """The encoders of sound and of pictures."""
        return self.audio, self.video

    @property
    def grids(self) -> list[tuple[int, ...]]:
        """Patches per axis, of sounds and of pictures."""
        return [part.grid for part in self.parts]

    @property
    def grid(self) -> Any:
        """Both grids."""
        return tuple(self.grids)

    @property
    def unit(self) -> Any:
        """Sizes of both kinds of patches, in values of their signals."""
        return tuple(part.unit for part in self.parts)

    @property
    def size(self) -> Any:
        """Values along every axis of both signals."""
        return tuple(part.size for part in self.parts)

    @property
    def shape(self) -> Any:
        """What it takes, without the batch: (1, T, F), (C, T, H, W)."""
        return tuple(part.shape for part in self.parts)

    def patches(self, mask: Any) -> Any:
        """The masks themselves: a patch is a unit."""
        return mask

    def whole(self, patches: Any) -> Any:
        """Put patches together again: (B, N, P), (B, N', P') -> 2 x (B, C, *size)."""
        return self.audio.whole(patches[0]), self.video.whole(patches[1])

    def hide(self, signal: Any, mask: Any) -> Any:
        """Put NaN where no visible patch covers the signals, and in place of what is not there."""
        hidden = [
            part.hide(side, its)
            for part, side, its in zip(self.parts, sides(signal), mask, strict=True)
        ]
        return Pair(*blanked(tuple(hidden), signal), *signal.present)

    def check(self, signal: Any) -> None:
        """Raise ValueError for what is no pair of signals that this encoder was built for."""
        if not isinstance(signal, Pair):
            raise ValueError(
                f"a {type(signal).__name__} came to an encoder of sound and picture together, "
                f"which takes a Pair; modality=a or v loads what takes one of them"
            )
        for part, side in zip(self.parts, sides(signal), strict=True):
            part.check(side)

    def choose(self, masker: Masker, signal: Any, noise: Tensor) -> Both:
        """What a masker leaves visible, by noise (B, N + N'): (B, V), (B, V')."""
        audio, video = draw_masks(masker, self.grids, len(signal), noise)
        return audio.visible, video.visible

    def there(self, signal: Any) -> Both | None:
        """Which samples have sound, and which pictures: 2 x (B,); None where none lacks either."""
        heard, seen = signal.present
        return (heard, seen) if self.lacking else None

    def share_hidden(self, mask: Any, signal: Any) -> float:
        """The share of the patches of signals that masks hide, of those there are."""
        hidden = every = 0
        for its, there in zip(mask, signal.present, strict=True):
            hidden += int(there.sum()) * its.hidden.shape[1]
            every += int(there.sum()) * (its.hidden.shape[1] + its.visible.shape[1])
        return hidden / max(every, 1)

    def filled(self, signal: Pair) -> Sequence[Tensor]:
        """Signals with zeros for what is not there, which may be anything."""
        return filled(sides(signal), signal) if self.lacking else sides(signal)

    def blanked(self, tokens: Both, signal: Pair) -> Both:
        """Tokens with NaN for what is not there."""
        return blanked(tokens, signal) if self.lacking else tokens

    def outputs_apart(self, signal: Pair, chosen: set[int]) -> dict[int, Both]:
        """Tokens after chosen blocks of each, and after the last: 2 x (B, 1 + N, D) by number."""
        self.check(signal)
        numbers = sorted(chosen | {self.audio.depth - 1})
        options: Any = {"output_fmt": "NLC", "intermediates_only": True}
        audio, video = (
            cast(list[Both], part.forward_intermediates(side, numbers, True, **options))
            for part, side in zip(self.parts, self.filled(signal), strict=True)
        )
        return {
            number: (torch.cat(x[::-1], dim=1), torch.cat(y[::-1], dim=1))
            for number, x, y in zip(numbers, audio, video, strict=True)
        }

    def shown(self, signal: Pair, masks: Any, patches: Sequence[Tensor]) -> tuple[Pair, Pair, Pair]:
        """What is seen behind masks, what predicted patches make, and the one within the other.

        Of patches 2 x (B, N, P); NaN where there is nothing.
        """
        masked, made = self.hide(signal, masks), blanked(self.whole(patches), signal)
        audio, video = (
            torch.where(side.isnan(), new, whole)
            for side, new, whole in zip(sides(masked), made, sides(signal), strict=True)
        )
        there = signal.present
        return masked, Pair(*made, *there), Pair(audio, video, *there)

    def attended(self, maps: list[Tensor], layer: int) -> Tensor:
        """Raises ValueError: tokens of sound and picture look at each other, which is no map."""
        raise ValueError(
            "where sound and picture look is drawn of each by itself: modality=a or v would fit"
        )
