"""Compare our log-mel features with torchaudio's, which take one waveform at a time.

python benchmarks/fbank_speed.py [--batch 16] [--seconds 10] [--rounds 15] [--device cpu]

Both make the features of the same batch in turn, on one CPU thread or one GPU, so that a busy
machine slows both down alike; what counts is the median of the ratios. Above 1, ours is the
faster. First, both are compared with torchaudio in float64.
"""

import argparse
from statistics import median

import torch
from comparing import in_turn
from torch import Tensor
from torchaudio.compliance import kaldi

from maskedae.datasets.audio.fbank import Fbank


def main() -> None:
    """Say how far both are from float64, then time them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16, help="waveforms at once")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each waveform")
    parser.add_argument("--rate", type=int, default=16000, help="samples per second")
    parser.add_argument("--mels", type=int, default=128, help="bands")
    parser.add_argument("--rounds", type=int, default=15, help="pairs of measurements")
    parser.add_argument("--threads", type=int, default=1, help="on the CPU")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    fbank = Fbank(options.rate, options.mels)
    shape = (options.batch, int(options.seconds * options.rate))
    waveforms = 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    exact = usual(waveforms.double(), fbank)
    for name, found in (("ours", fbank(waveforms)), ("torchaudio", usual(waveforms, fbank))):
        off = (found - exact).abs()
        print(f"{name}: off float64 by {off.mean():.1e} on average, {off.max():.1e} at most")
    waveforms = waveforms.to(device)
    sides = [lambda: fbank(waveforms), lambda: usual(waveforms, fbank)]
    with torch.no_grad():
        pairs = in_turn(sides, device, options.rounds)
    new, old = (median(column) * 1e3 / options.batch for column in zip(*pairs, strict=True))
    ratios = sorted(old / new for new, old in pairs)
    print(
        f"{options.batch} waveforms of {options.seconds:g} s on {device}: ours {new:.3f} ms, "
        f"torchaudio {old:.3f} ms each, median ratio {median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}, {options.rounds} rounds)"
    )


def usual(waveforms: Tensor, fbank: Fbank) -> Tensor:
    """The same features, one waveform after the other: (B, samples) -> (B, T, F)."""
    features = [
        kaldi.fbank(
            waveform[None],
            htk_compat=True,
            use_energy=False,
            window_type="hanning",
            dither=0.0,
            num_mel_bins=fbank.mels,
            sample_frequency=fbank.rate,
            frame_length=fbank.frame_length,
            frame_shift=fbank.frame_shift,
        )
        for waveform in waveforms
    ]
    return torch.stack(features)


if __name__ == "__main__":
    main()
