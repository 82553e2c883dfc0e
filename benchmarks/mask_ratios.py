"""What hiding more saves: operations and time of a training step over mask ratios.

python benchmarks/mask_ratios.py [--model NAME] [--size 16 112 112] [--batch 1] [--out FILE.json]

Operations are those of the encoder over what is visible, forward and backward. Times are medians
of a step of the whole model and of the encoder alone, forward and backward, all ratios in turn so
that a busy machine slows all down alike. Where nothing is hidden there is nothing to imagine: the
encoder alone is timed. A picture is written beside the numbers, as FILE.png.
"""

import argparse
import json
import math
from pathlib import Path
from statistics import median
from typing import Any

import torch
from comparing import Step, in_turn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from maskedae.attention import set_kernel
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.charts import COLOURS
from maskedae.flops import count
from maskedae.masking import Mask, keep_lowest
from maskedae.pictures import FAINT, INK
from maskedae.zoo import create_model

RATIOS = (0.0, 0.5, 0.75, 0.9, 0.95)


def main() -> None:
    """Count, time, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="videomae_vit_base_patch16", help="of clips or images")
    parser.add_argument("--size", type=int, nargs="+", help="of the signal; the model's own if not")
    parser.add_argument("--batch", type=int, default=1, help="samples in a step")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of every ratio")
    parser.add_argument("--ratios", type=float, nargs="+", default=RATIOS, help="shares hidden")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("mask_ratios.json"), help="numbers")
    options = parser.parse_args()
    device = torch.device(options.device)
    overrides = {"size": tuple(options.size)} if options.size else {}
    torch.manual_seed(0)
    model = create_model(options.model, **overrides).to(device).train()
    signal = torch.randn(options.batch, *shape(model), device=device)
    masks = {ratio: draw(model, options.batch, ratio, device) for ratio in options.ratios}
    steps = {
        (part, ratio): step(model, signal, mask, part)
        for ratio, mask in masks.items()
        for part in (("encoder", "whole") if mask else ("encoder",))
    }
    table = in_turn(list(steps.values()), device, options.rounds, warm_up=1)
    times = dict(zip(steps, map(median, zip(*table, strict=True)), strict=True))
    rows = [row(model, options, ratio, masks[ratio], times) for ratio in options.ratios]
    told = {"model": options.model, "size": shape(model)[1:], "batch": options.batch}
    told |= {"device": str(device), "threads": torch.get_num_threads(), "rounds": options.rounds}
    options.out.write_text(json.dumps({**told, "ratios": rows}, indent=2) + "\n")
    title = (
        f"{options.model}, {' x '.join(map(str, told['size']))}, batch {options.batch}, {device}"
    )
    draw_lines(rows, title, options.out.with_suffix(".png"))
    print(options.out.read_text())


def shape(model: MaskedAutoencoder) -> tuple[int, ...]:
    """What a model takes: (C, *size)."""
    encoder = model.encoder
    return (encoder.embed.weight.shape[1], *encoder.size)


def draw(model: MaskedAutoencoder, batch: int, ratio: float, device: torch.device) -> Mask | None:
    """A mask that hides a share of the patches, all equally likely; None where it hides none."""
    patches = math.prod(model.encoder.grid)
    if not ratio:
        return None
    return keep_lowest(torch.rand(batch, patches, device=device), round(patches * (1 - ratio)))


def step(model: MaskedAutoencoder, signal: Tensor, mask: Mask | None, part: str) -> Step:
    """Forward and backward of the whole model, or of its encoder."""

    def take() -> None:
        if part == "whole":
            value = model(signal, mask=mask).loss
        else:
            visible = mask.visible if mask else None
            value = model.encoder.forward_features(signal, visible).square().mean()
        torch.autograd.backward(value)
        model.zero_grad()

    return take


def row(
    model: MaskedAutoencoder,
    options: argparse.Namespace,
    ratio: float,
    mask: Mask | None,
    times: dict[tuple[str, float], float],
) -> dict[str, Any]:
    """The numbers of one ratio; operations and seconds are those of one sample."""
    with torch.device("meta"):
        bare = create_model(options.model, size=shape(model)[1:])
        signal = torch.empty(1, *shape(model))
        seen = mask.visible[:1].to("meta") if mask else None
    set_kernel(bare, "eager")  # its products the counter sees
    operations = count(lambda: bare.encoder(signal, seen).sum().backward())
    whole = times.get(("whole", ratio))
    return {
        "ratio": ratio,
        "visible": seen.shape[1] if seen is not None else math.prod(model.encoder.grid),
        "encoder_flops": operations,
        "encoder_seconds": times["encoder", ratio] / options.batch,
        "step_seconds": whole / options.batch if whole else None,
    }


def draw_lines(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw operations and times over the ratio."""
    figure = Figure(figsize=(8.5, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    percent = [100 * row["ratio"] for row in rows]
    left.plot(percent, [row["encoder_flops"] / 1e9 for row in rows], "o-", color=COLOURS[0])
    left.set_title("encoder, GFLOPs a sample", loc="left", fontsize=9, color=INK)
    names = (("step_seconds", "whole model"), ("encoder_seconds", "encoder"))
    for colour, (key, name) in zip(COLOURS, names, strict=False):
        points = [(share, row[key]) for share, row in zip(percent, rows, strict=True) if row[key]]
        right.plot(*zip(*points, strict=True), "o-", color=colour, label=name)
    right.set_title("seconds a sample", loc="left", fontsize=9, color=INK)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set_ylim(bottom=0)
        axes.set_xticks(percent, [f"{share:g}" for share in percent])
        axes.set_xlabel("hidden, %", fontsize=8, color=FAINT)
        axes.tick_params(length=0, colors=INK, labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=INK)
    figure.savefig(path, dpi=130, format="png")


if __name__ == "__main__":
    main()
