"""How far what a model imagines is from the sound itself, as a picture and as heard.

python benchmarks/imagined_sound.py CHECKPOINT SOUND_OR_FOLDER... [--most 40] [--seed 0]

Mean absolute distance of log-mel values, in nepers of energy, where patches were hidden: of what is
imagined, of what the masked sound has there (silence), and of a guess that needs no model, the mean
of what is visible in the same bands. First of the spectrograms, then of the features of the sounds
that are made of them (which the phases, found by Griffin and Lim's algorithm, do not leave as they
were: the original, made a sound again, tells how much).
"""

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from maskedae.datasets.audio.fbank import FLOOR
from maskedae.datasets.audio.inversion import to_waveform
from maskedae.evaluation import spread
from maskedae.ragged import suit
from maskedae.recipe import make_data
from maskedae.viewing import data_node
from maskedae.weights import load_with_report


def guessed(masked: Tensor) -> Tensor:
    """The mean of what is visible in every band, of all bands where none is: (T, F) -> (T, F)."""
    bands = masked.nanmean(dim=0).nan_to_num(float(masked.nanmean()))
    return torch.where(masked.isnan(), bands, masked)


@torch.no_grad()
def main() -> None:
    """Measure some sounds and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("sounds", nargs="+")
    parser.add_argument("--most", type=int, default=40, help="sounds")
    parser.add_argument("--seed", type=int, default=0, help="of the masks")
    options = parser.parse_args()
    loaded = load_with_report(options.checkpoint)
    model, data = loaded.model, make_data(data_node(loaded))
    suit(model, data)
    source = data.files(options.sounds, loaded.config.shape)
    mean, std = data.statistics
    found = []
    for index in spread(len(source), options.most):
        signal = data.signal(source.read(index)[:1])
        generator = torch.Generator().manual_seed(options.seed + index)
        mask = model.encoder.settle(model.draw_mask(1, generator=generator), signal)
        masked = model.encoder.hide(signal, mask)
        imagined = model.encoder.whole(model.imagine(signal, mask))
        there = ~signal[0, 0].isnan().any(dim=1)
        original, seen, dreamt = (
            (x[0, 0] * 2 * std + mean)[there]
            for x in (signal, masked, torch.where(masked.isnan(), imagined, signal))
        )
        hidden = seen.isnan()
        sides = original, dreamt, guessed(seen), seen.masked_fill(hidden, math.log(FLOOR))
        heard = [data.fbank(to_waveform(side, data.fbank)) for side in sides]
        rows = [
            *((side - original)[hidden].abs().mean() for side in sides[1:]),
            *((side - original)[hidden].abs().mean() for side in heard),
        ]
        found.append(torch.stack(rows))
    seen_as = "imagined {:.2f}, mean of visible bands {:.2f}, silence {:.2f}"
    values = torch.stack(found).mean(dim=0).tolist()
    print(f"{len(found)} sounds, where they were hidden")
    print("as spectrograms: " + seen_as.format(*values[:3]))
    print(f"as sounds:       {seen_as.format(*values[4:])}, the original {values[3]:.2f}")


if __name__ == "__main__":
    main()
