"""What the decoders have in common: a sound is samples of one rate, counted from its start."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskedae.datasets.films.film import Refused

Samples = NDArray[np.float32]
Channel: TypeAlias = Literal["mean", "left"]
END = 2**62  # later than any sample
BLOCK = 2**16  # samples held at a time
WILD = 1e10  # no sample is so large: its square is still a number


class Facts(NamedTuple):
    """What a user wants to know of a sound."""

    seconds: float  # that there seem to be; a compressed file that is cut off holds less
    rate: int  # samples per second and channel
    channels: int
    container: str
    codec: str
    bits: int  # of a stored sample; 0 where the codec stores none
    promised: float  # seconds, by a header that may know more than there is


class Sound(Protocol):
    """A sound opened by a decoder."""

    rate: int
    channels: int
    lost: int  # packets so far that cannot be decoded, silence in their place
    good: int  # packets so far that can

    def facts(self) -> Facts:
        """Say what it is, without decoding it."""
        ...

    def pieces(self, first: int, stop: int) -> Iterator[Samples]:
        """Decode from one sample to another, or to the end: -> (samples, channels) each."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def cleaned(samples: Samples) -> tuple[Samples, int]:
    """Put silence in the place of what is no number, or far beyond any; count it."""
    wild = ~(np.abs(samples) <= WILD)  # also true of NaN
    count = int(wild.sum())
    return (np.where(wild, np.float32(0), samples) if count else samples), count


def refuse_lost(sound: Sound) -> None:
    """Refuse a sound of which most of what was asked for could not be decoded."""
    if sound.lost > sound.good:
        raise Refused(f"{sound.lost} of {sound.lost + sound.good} packets cannot be decoded")


class Mixed:
    """Makes one channel of several, and counts what is no number."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self.wild, self.count = channel, 0, 0

    def __call__(self, pieces: Iterable[Samples]) -> Iterator[Samples]:
        for piece in pieces:
            some = piece[:, :1] if self.channel == "left" else piece
            samples, wild = cleaned(some)
            self.wild, self.count = self.wild + wild, self.count + samples.size
            yield np.ascontiguousarray(samples[:, 0]) if samples.shape[1] == 1 else samples.mean(1)


def silence(count: int, channels: int) -> Iterator[Samples]:
    """Nothing, a block at a time: -> (samples, channels) each."""
    while count > 0:
        yield np.zeros((min(count, BLOCK), channels), np.float32)
        count -= BLOCK


def joined(pieces: Iterable[Samples]) -> Iterator[Samples]:
    """The same in larger pieces, as many channels in each as it had."""
    waiting, length = list[Samples](), 0
    for piece in pieces:
        if waiting and (length + len(piece) > BLOCK or waiting[0].shape[1] != piece.shape[1]):
            yield np.concatenate(waiting)
            waiting, length = [], 0
        waiting.append(piece)
        length += len(piece)
    if waiting:
        yield np.concatenate(waiting)
