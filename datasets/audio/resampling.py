"""Another rate for a sound of any length, some of it at a time."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskedae.datasets.audio.sound import BLOCK, END, Samples

if TYPE_CHECKING:
    from torchaudio.transforms import Resample

ZEROS = 6  # crossings on either side that the filter reaches, as in torchaudio
ROLLOFF = 0.99  # of the lower of the two rates is kept, as in torchaudio
TABLE = 2**20  # weights of the filter of torchaudio; more cost more than they save


@lru_cache(maxsize=16)  # filters take memory, and odd rates are many
def resampler(source: int, target: int) -> "Resampler":
    """Make the filter from one rate to another once."""
    return Resampler(source, target)


@dataclass(frozen=True)
class Resampler:
    """Sinc interpolation as torchaudio's, which is used where the two rates have much in common."""

    source: int
    target: int

    @cached_property
    def up(self) -> int:
        """Samples that come for `down` ones."""
        return self.target // math.gcd(self.source, self.target)

    @cached_property
    def down(self) -> int:
        return self.source // math.gcd(self.source, self.target)

    @cached_property
    def scale(self) -> float:
        """Crossings of the filter per sample of the source."""
        return ROLLOFF * min(1.0, self.up / self.down)

    @cached_property
    def reach(self) -> int:
        """Samples of the source on either side that one of the target hangs on."""
        return math.ceil(ZEROS / self.scale) + 1

    @cached_property
    def margin(self) -> int:
        """The same in blocks of `down`."""
        return -(-self.reach // self.down)

    def pieces(
        self, start: int, pieces: Iterable[Samples], first: int, stop: int
    ) -> Iterator[Samples]:
        """Samples of the target from one to another, given those of the source from `start` on."""
        held, base, done = np.empty(0, np.float32), start // self.down, first
        waiting, length, least = [held], 0, int(BLOCK * min(1.0, self.down / self.up))
        for piece in pieces:
            waiting.append(piece)
            length += len(piece)
            sure = (base + length // self.down - self.margin) * self.up
            if length < least or sure <= done:
                continue
            held = np.concatenate(waiting)
            yield self(held)[done - base * self.up : min(sure, stop) - base * self.up]
            done = sure
            cut = sure // self.up - self.margin - base
            base, held = base + cut, held[cut * self.down :]
            waiting, length = [held], len(held)
        sure = min(stop, base * self.up - (-length * self.up // self.down))
        if done < sure:
            yield self(np.concatenate(waiting))[done - base * self.up : sure - base * self.up]

    def before(self, first: int) -> int:
        """Number of the sample of the source from which one of the target can be made."""
        return max(0, first // self.up - self.margin) * self.down

    def after(self, stop: int) -> int:
        """Number of the sample of the source that is no more needed."""
        return END if stop >= END else (-(-stop // self.up) + self.margin) * self.down

    def __call__(self, samples: Samples) -> Samples:
        import torch  # not on top: who only asks what is needed does without

        if self.up * (self.down + 2 * self.reach) <= TABLE:
            return self._filter(torch.from_numpy(samples)).numpy()
        return self._one_by_one(samples)

    @cached_property
    def _filter(self) -> "Resample":
        import torch
        from torchaudio.transforms import Resample

        # Made in single precision it would be off by a ten-thousandth.
        return Resample(self.down, self.up, dtype=torch.float64).float()

    def _one_by_one(self, samples: Samples) -> Samples:
        """Weigh what is around each sample: few rates in common make torchaudio's filter huge."""
        count = -(-len(samples) * self.up // self.down)
        places = np.arange(count) * self.down
        padded = np.pad(samples, self.reach)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * self.reach + 1)
        weights = self._weights[places % self.up]
        return np.einsum("kt,kt->k", around[places // self.up], weights)

    @cached_property
    def _weights(self) -> NDArray[np.float32]:
        """Weights of the samples around each place between two: (up, samples around)."""
        around = np.arange(-self.reach, self.reach + 1)
        between = np.arange(self.up)[:, None] / self.up
        x = np.clip((around - between) * self.scale, -ZEROS, ZEROS)
        window = np.cos(x * np.pi / ZEROS / 2) ** 2
        return (np.sinc(x) * window * self.scale).astype(np.float32)
