"""Changes of sounds in training, of waveforms and of spectrograms."""

from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Beta

Roll = Literal["none", "cyclic", "published"]


def roll(waveform: Tensor, kind: Roll) -> Tensor:
    """Begin a sound elsewhere, what was before coming last: (samples,) -> (samples,).

    Audio-MAE means to, but draws its offset below the number of channels, so that the sound stays
    as it is: "published" does the same.
    """
    if kind != "cyclic" or not len(waveform):
        return waveform
    return waveform.roll(int(torch.randint(len(waveform), ())))


def change_gain(waveform: Tensor) -> Tensor:
    """Make a sound louder or softer, by 0.5 to 1.5, mostly little (Audio-MAE, official code)."""
    return waveform * (float(Beta(10.0, 10.0).sample()) + 0.5)


def add_noise(waveform: Tensor, decibels: float) -> Tensor:
    """Add white noise so many decibels below the power of a sound: (samples,) -> (samples,)."""
    power = waveform.square().mean() / 10 ** (decibels / 10)
    return waveform + torch.randn_like(waveform) * power.sqrt()


def hide_bands(log_mel: Tensor, noise: Tensor, time: int, frequency: int) -> Tensor:
    """SpecAugment (arXiv:1904.08779): zero in a stretch of time, and in some bands.

    (B, T, F), noise (B, 4) in [0, 1) -> (B, T, F). Each is at most so wide, drawn evenly, and cut,
    not rounded, as in torchaudio. What is NaN stays so.
    """
    hidden = torch.zeros_like(log_mel, dtype=torch.bool)
    for axis, most, (width, start) in (
        (2, frequency, noise[:, :2].unbind(1)),
        (1, time, noise[:, 2:].unbind(1)),
    ):
        size = log_mel.shape[axis]
        wide = width * min(most, size)
        first = (start * (size - wide)).floor()
        last = first + wide.floor()
        places = torch.arange(size, device=log_mel.device)
        inside = (places >= first.unsqueeze(1)) & (places < last.unsqueeze(1))
        hidden |= inside.unsqueeze(3 - axis)
    return log_mel.masked_fill(hidden & ~log_mel.isnan(), 0.0)
