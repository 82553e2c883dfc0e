"""Log-mel features of whole batches of waveforms, with the numbers of Kaldi's filter banks."""

from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchaudio.compliance.kaldi import get_mel_banks

LOWEST = 20.0  # Hz, where the lowest filter begins; the highest ends at half the rate
EMPHASIS = 0.97
FLOOR = torch.finfo(torch.float32).eps  # of the energy, before the logarithm
TOGETHER = 16  # neighbouring bands that are one matrix product: they see the same few frequencies


@dataclass(frozen=True)
class Fbank:
    """Logarithms of mel band energies, as torchaudio.compliance.kaldi.fbank computes them.

    The settings are those of AST (Gong et al. 2021): a symmetric Hann window, frames without
    offset, pre-emphasis, no dither, powers of a spectrum of the next power of two.
    """

    rate: int = 16000
    mels: int = 128
    frame_length: float = 25.0  # ms
    frame_shift: float = 10.0  # ms

    def __post_init__(self) -> None:
        if self.shift < 1 or self.length < 2:
            raise ValueError(
                f"frames of {self.frame_length:g} ms every {self.frame_shift:g} ms hold too few "
                f"samples at {self.rate} Hz; longer ones, or a higher rate, would fit"
            )

    @property
    def length(self) -> int:
        """Samples in a frame."""
        return int(self.rate * self.frame_length * 0.001)

    @property
    def shift(self) -> int:
        """Samples from one frame to the next."""
        return int(self.rate * self.frame_shift * 0.001)

    @property
    def padded(self) -> int:
        """Samples of which a spectrum is taken: the next power of two."""
        return 1 << (self.length - 1).bit_length()

    def frames(self, samples: int) -> int:
        """How many frames fit into so many samples."""
        return max(0, 1 + (samples - self.length) // self.shift)

    def samples(self, frames: int) -> int:
        """The fewest samples that make so many frames."""
        return self.length + (frames - 1) * self.shift

    def centres(self) -> Tensor:
        """Hz at which every band is most sensitive: (mels,)."""
        return mel_filters(self)[1]

    def __call__(self, waveform: Tensor) -> Tensor:
        """Float32, NaN in every frame that touches a NaN: (..., samples) -> (..., T, F)."""
        samples = waveform.shape[-1]
        if samples < self.length:
            raise ValueError(
                f"{samples} samples are too short: a frame takes {self.length} samples "
                f"({self.frame_length:g} ms at {self.rate} Hz)"
            )
        with torch.autocast(waveform.device.type, enabled=False):
            features = self.features(waveform.reshape(-1, samples).float())
        return features.view(*waveform.shape[:-1], -1, self.mels)

    def features(self, waveforms: Tensor) -> Tensor:
        """Features, some frames at a time: (B, samples) -> (B T, F)."""
        most, count = at_once(waveforms.device), self.frames(waveforms.shape[-1])
        parts, done = ceil(count / most), 0
        # Written in place: fresh memory for every part costs more than the arithmetic.
        features = waveforms.new_empty(len(waveforms) * count, self.mels)
        for some in torch.split(waveforms, max(1, most // count)):
            every = (part.chunk(parts, 1) for part in self.cut(some))
            for frames, offsets in zip(*every, strict=True):
                energies = self.energies(frames, offsets)
                features[done : done + len(energies)] = energies
                done += len(energies)
        return features

    def cut(self, waveforms: Tensor) -> tuple[Tensor, Tensor]:
        """Frames after pre-emphasis, what it left of offsets: (B, T, padded), (B, T, 1)."""
        sums = waveforms.unfold(-1, self.length, self.shift).sum(-1, keepdim=True)
        # The window is zero at a frame's first sample, so that none needs the one before.
        sharp = torch.add(waveforms[:, 1:], waveforms[:, :-1], alpha=-EMPHASIS)
        # Beyond a frame's end lie samples of others, times zero: NaN comes from the offset.
        rest = sharp.new_zeros(len(sharp), self.padded - self.length + 1)
        frames = torch.cat([sharp, rest], 1).nan_to_num_(0.0).unfold(-1, self.padded, self.shift)
        return frames, sums * ((1 - EMPHASIS) / self.length)

    def energies(self, frames: Tensor, offsets: Tensor) -> Tensor:
        """Log energies of mel bands: (B, T, padded), (B, T, 1) -> (B T, F)."""
        window, filters = tables(self, frames.device)
        # offset + window (frame - offset): a constant added is frequency 0, which no filter sees.
        windowed = torch.lerp(offsets, frames, window).flatten(0, 1)
        squares = torch.view_as_real(torch.fft.rfft(windowed)).flatten(-2).square_()
        bands = [squares[:, first:last].mm(weights) for first, last, weights in filters]
        return torch.cat(bands, -1).clamp_(min=FLOOR).log_()


class Band(NamedTuple):
    """Neighbouring filters on the squares of real and imaginary parts in turn."""

    first: int
    last: int
    weights: Tensor  # (last - first, filters)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def at_once(device: torch.device) -> int:
    """Frames at a time: few enough for the cache of a CPU, and for the memory of a GPU."""
    return 1024 * torch.get_num_threads() if device.type == "cpu" else 2**16


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def tables(fbank: Fbank, device: torch.device) -> tuple[Tensor, tuple[Band, ...]]:
    """The window, without its first sample and padded with zeros, and all filters; made once."""
    return made(fbank, device)


@cache
@torch.inference_mode(False)  # else, made while somebody evaluates, they would serve no gradients
def made(fbank: Fbank, device: torch.device) -> tuple[Tensor, tuple[Band, ...]]:
    """The same, made anew."""
    window = torch.hann_window(fbank.length, periodic=False, dtype=torch.float64)[1:].float()
    window = pad(window, (0, fbank.padded - len(window)))
    bands = []
    for rows in torch.split(mel_filters(fbank)[0], TOGETHER):
        seen = rows.any(0).nonzero().flatten().tolist() or [0]
        weights = rows[:, seen[0] : seen[-1] + 1].T.repeat_interleave(2, 0).contiguous()
        bands.append(Band(2 * seen[0], 2 * seen[-1] + 2, weights.to(device)))
    return window.to(device), tuple(bands)


def mel_filters(fbank: Fbank) -> tuple[Tensor, Tensor]:
    """Weights of all bands, but for half the rate, and their centres: (F, padded / 2), (F,)."""
    # The last three numbers leave out what adapts to speakers.
    weights, centres = get_mel_banks(
        fbank.mels, fbank.padded, fbank.rate, LOWEST, 0.0, 100.0, -500.0, 1.0
    )
    return weights, centres.flatten()
