"""Read a sound in full and say what it is."""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from maskedae.data import BadSample
from maskedae.datasets.audio.fbank import Fbank
from maskedae.datasets.audio.reading import opened, resampled
from maskedae.datasets.audio.sound import END, Channel, Facts, Mixed, Samples, cleaned, refuse_lost

FULL = 0.999  # of full scale, from where on a sample may be clipped
CLIPPED = 0.01  # share of such samples that is too many
BEYOND = 2.0  # decoders of compressed sound overshoot full scale by less
CANCELLED = 1e-4  # of the power of the channels is all that is left in their mean
GONE = 0.3  # seconds that may be missing without a word: MP3 at 8 kHz pads by as much
SHORTEST = 0.025  # seconds, one frame of most spectrograms
CHUNK = 2**18  # samples of which features are taken at a time


def report(path: str, fbank: Fbank | None = None, channel: Channel = "mean") -> dict[str, object]:
    """Decode a sound in full and say what it is. Raises BadSample.

    With `fbank` there are the sums of its log-mel values, too.
    """
    look, more = Look(), dict[str, object]()
    with opened(path) as sound:
        if fbank is None:
            deque(look(sound.pieces(0, END)), maxlen=0)
        else:
            mixed = Mixed(channel)
            pieces = resampled(sound, lambda whole: mixed(look(whole)), fbank.rate)
            more = {"features": described(fbank, channel), "sums": feature_sums(pieces, fbank)}
        refuse_lost(sound)
        lost = sound.lost
        found = sound.facts()
    if not look.samples:
        raise BadSample("no samples")
    return summary(found, look, lost) | more


def described(fbank: Fbank, channel: Channel) -> str:
    """Say in words what log-mel values are taken of.

    >>> described(Fbank(), "mean")
    '128 bands at 16000 Hz, 25 ms every 10 ms, mean of channels'
    """
    heard = "mean of channels" if channel == "mean" else f"{channel} channel"
    frames = f"{fbank.frame_length:g} ms every {fbank.frame_shift:g} ms"
    return f"{fbank.mels} bands at {fbank.rate} Hz, {frames}, {heard}"


class Look:
    """Adds up what is worth knowing of all channels as they come by."""

    def __init__(self) -> None:
        self.samples = self.full = self.wild = 0  # in each channel; in all, these two
        self.low, self.high = np.inf, -np.inf
        self.power, self.mean_power = 0.0, 0.0  # of the channels, of their mean
        self.channels = 1

    def __call__(self, pieces: Iterable[Samples]) -> Iterator[Samples]:
        for piece in pieces:
            clean, wild = cleaned(piece)
            self.channels = clean.shape[1]
            self.samples += len(clean)
            self.full += int((np.abs(clean) >= FULL).sum())
            self.wild += wild
            self.low = min(self.low, float(clean.min()))
            self.high = max(self.high, float(clean.max()))
            self.power += float(np.square(clean, dtype=np.float64).sum()) / self.channels
            self.mean_power += float(np.square(clean.mean(1), dtype=np.float64).sum())
            yield piece

    def notes(self) -> dict[str, bool]:
        """What may surprise."""
        peak = max(-self.low, self.high)
        share = self.full / (self.samples * self.channels)
        constant, beyond = self.low == self.high, peak > BEYOND
        cancelled = self.mean_power < CANCELLED * self.power
        return {
            "silent throughout": peak == 0,
            f"constant throughout: {self.high:.3g}": constant and peak > 0,
            f"clipped: {share:.0%} of the samples are at full scale": share > CLIPPED
            and not (beyond or constant),
            f"samples of up to {peak:.3g}, where full scale is 1": beyond,
            f"{self.wild} samples are not numbers": self.wild > 0,
            "channels cancel each other out in their mean; data.channel=left is not silent": (
                cancelled
            ),
        }


def summary(found: Facts, look: Look, lost: int) -> dict[str, object]:
    """Say in the words of a report what a sound is, and what may surprise."""
    seconds = look.samples / found.rate
    gone = found.promised - seconds
    notes = {
        f"cut off: {gone:.1f} of {found.promised:.1f} seconds are gone": gone > GONE,
        f"{lost} packets cannot be decoded": lost > 0,
        f"shorter than {1000 * SHORTEST:g} ms: {1000 * seconds:.3g} ms": seconds < SHORTEST,
        **look.notes(),
    }
    return {
        "kind": "sound",
        "container": found.container,
        "codec": found.codec,
        "bits": str(found.bits or "none"),
        "rate": found.rate,
        "channels": found.channels,
        "seconds": round(seconds, 3),
        "warnings": [note for note, holds in notes.items() if holds],
    }


def feature_sums(pieces: Iterable[Samples], fbank: Fbank) -> list[list[float]]:
    """Sums of ones, values and squares over the features of a sound: -> (3, 1)."""
    total = torch.zeros(3, dtype=torch.float64)
    for chunk in chunks(pieces, fbank):
        features = fbank(torch.from_numpy(chunk)).double()
        total += torch.stack(
            [torch.ones_like(features).sum(), features.sum(), features.square().sum()]
        )
    return total[:, None].tolist()


def chunks(pieces: Iterable[Samples], fbank: Fbank) -> Iterator[Samples]:
    """Parts of a sound that hold all frames of it, each once."""
    waiting, length = list[Samples](), 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length < CHUNK:
            continue
        held = np.concatenate(waiting)
        frames = fbank.frames(length) - 1  # what follows the last may begin beyond what is here
        yield held[: fbank.samples(frames)]
        waiting = [held[fbank.samples(frames + 1) - fbank.samples(1) :]]
        length = len(waiting[0])
    if fbank.frames(length):
        yield np.concatenate(waiting)
