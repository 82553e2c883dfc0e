"""Which frames make a clip."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Times = NDArray[np.float64]
SLACK = 1.001e-3  # seconds by which equal times may differ: some files round to milliseconds
NEARER = 0.55  # of the way to the next frame, from where on that is the nearer: half, and rounding


@dataclass(frozen=True)
class Moments:
    """Choose `frames` of a film: `stride` frames apart, or `interval` seconds apart where given.

    An interval takes the frames that begin nearest to its moments, of two equally near the earlier:
    so clips are regular where time stamps are rounded, or where the rate is 29.97 instead of 30.
    With `segments` it is one frame from each of as many equal parts of the film instead. A film
    that is shorter than a clip is begun at its start, and its last frame is held.
    """

    frames: int
    stride: int = 4
    interval: float | None = None
    segments: bool = False

    def __post_init__(self) -> None:
        if self.frames < 1 or self.stride < 1:
            raise ValueError(f"a clip has frames, not {self.frames} with stride {self.stride}")
        if self.interval is not None and self.interval <= 0:
            raise ValueError(f"an interval is some seconds, not {self.interval:g}")

    def draw(self, times: Times, chances: NDArray[np.float64]) -> Indices:
        """Choose by chance, given numbers from [0, 1): (frames in the film,), (T,) -> (T,).

        >>> Moments(3, stride=2).draw(np.arange(8) / 25, np.array([0.99, 0, 0]))
        array([3, 5, 7])
        """
        if self.segments:
            return self._parts(len(times), chances)
        return self._from(times, int(chances[0] * (self._slack(times) + 1)))

    def view(self, times: Times, number: int = 0, count: int = 1) -> Indices:
        """Choose view `number` of `count` that are spread evenly, of one the middle: -> (T,).

        >>> [Moments(3, stride=2).view(np.arange(9) / 25, view, 3).tolist() for view in range(3)]
        [[0, 2, 4], [2, 4, 6], [4, 6, 8]]
        """
        if self.segments:
            return self._parts(len(times), np.full(self.frames, (number + 0.5) / count))
        slack = self._slack(times)
        return self._from(times, slack // 2 if count == 1 else number * (slack // (count - 1)))

    def _slack(self, times: Times) -> int:
        """Number of the last frame that a clip may begin with."""
        if self.interval is None:
            return max(0, len(times) - 1 - (self.frames - 1) * self.stride)
        span = (self.frames - 1) * self.interval
        return max(0, shown_at(times, times[-1] - span))

    def _from(self, times: Times, start: int) -> Indices:
        steps = np.arange(self.frames)
        if self.interval is not None:
            return nearest(times, times[start] + steps * self.interval)
        return np.minimum(start + steps * self.stride, len(times) - 1)

    def _parts(self, length: int, places: NDArray[np.float64]) -> Indices:
        edges = np.arange(self.frames + 1) * length / self.frames
        chosen = edges[:-1] + places * length / self.frames
        return np.minimum(chosen, np.ceil(edges[1:]) - 1).astype(np.int64)


def nearest(times: Times, moments: Times) -> Indices:
    """Number of the frame that begins nearest to each moment: (T,) -> (T,).

    >>> nearest(np.array([0.0, 0.033, 0.067, 0.1]), np.array([0.0334, 0.05, 0.0833, 0.5]))
    array([1, 1, 2, 3])
    """
    return np.searchsorted(times[:-1] + NEARER * np.diff(times), moments)


def shown_at(times: Times, moment: float) -> int:
    """Number of the frame that is shown at a moment, -1 before the first."""
    return int(np.searchsorted(times, moment + SLACK, side="right")) - 1


def within(times: Times, window: tuple[float, float]) -> tuple[int, int]:
    """First frame of a window in seconds, and the one after its last; never none at all.

    A frame is in the window if it begins there, or less than a millisecond before.

    >>> within(np.arange(10) / 2, (1.0, 2.0)), within(np.arange(10) / 2, (1.1, 1.2))
    ((2, 4), (2, 3))
    """
    first, stop = np.searchsorted(times, np.asarray(window) - SLACK).tolist()
    if stop <= first:
        first = max(0, shown_at(times, window[0]))
    return first, max(stop, first + 1)
