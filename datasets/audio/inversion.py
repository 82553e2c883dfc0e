"""From log-mel features back to sound, to hear what a model reconstructs.

Band energies are spread over frequencies by the multiplicative updates of Lee and Seung (2000),
phases are found by Griffin and Lim's algorithm with momentum (Perraudin et al. 2013).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchaudio.functional import deemphasis, griffinlim

from maskedae.datasets.audio.fbank import EMPHASIS, FLOOR, Fbank, mel_filters

UPDATES = 50  # of the powers: the bands come out right to a hundredth
ITERATIONS = 64  # of the phases
MOMENTUM = 0.99


def to_waveform(log_mel: Tensor, fbank: Fbank) -> Tensor:
    """A sound in [-1, 1] with about these features, silent where NaN: (T, F) -> (samples,).

    Frame k of the features is made from samples k shift to k shift + length, as Fbank cuts them.
    """
    log_mel = log_mel.detach().cpu().float()
    # Also what is just above the floor is silence: its energy is rounding.
    energies = log_mel.exp().where(log_mel > math.log(FLOOR) + 1e-3, 0.0)
    # The frames of Griffin and Lim are centred at multiples of the shift, ours begin there: with
    # silence around, no half frame is lost, and what precedes the first frame is cut off.
    around = math.ceil(fbank.padded / 2 / fbank.shift)
    spectrum = pad(to_powers(energies, mel_filters(fbank)[0]), (0, 1, around, around))
    sharp = griffinlim(
        spectrum.T,
        torch.hann_window(fbank.length, periodic=False),
        fbank.padded,
        fbank.shift,
        fbank.length,
        power=2.0,
        n_iter=ITERATIONS,
        momentum=MOMENTUM,
        length=None,
        rand_init=False,
    )
    first = around * fbank.shift - fbank.length // 2
    waveform = deemphasis(sharp[first : first + fbank.samples(len(log_mel))], EMPHASIS)
    return waveform / waveform.abs().max().clamp(min=1.0)


def to_powers(energies: Tensor, filters: Tensor) -> Tensor:
    """Powers, none negative, that make these energies: (T, F), (F, K) -> (T, K).

    The updates diminish the Kullback-Leibler divergence, which weighs faint bands like loud ones
    relative to their energy. They start smooth and stay so, where exact least squares put all
    energy of a band at a few frequencies.
    """
    tiny = torch.finfo(torch.float32).tiny
    seen = filters.sum(0).clamp(min=tiny)
    powers = energies @ (filters / filters.sum(1, keepdim=True).clamp(min=tiny)) / seen
    for _ in range(UPDATES):
        ratios = energies / (powers @ filters.T).clamp(min=tiny)
        powers = powers * (ratios @ filters) / seen
    return powers
