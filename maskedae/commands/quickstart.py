"""maskedae quickstart [--out DIR]."""

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from maskedae.commands.pretrain import main as pretrain
from maskedae.runs import Run


def write_digits(folder: Path) -> None:
    """Write scikit-learn's 1,797 handwritten digits as PNG files of 32 pixels, a fifth as val/."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / ("val" if number % 5 == 0 else "train") / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray((pixels * 255 / 16).astype(np.uint8))
        small.resize((32, 32), Image.Resampling.BICUBIC).save(path)


def free(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that does not exist."""
    names = [folder, *(folder.with_name(f"{folder.name}-{n}") for n in range(2, 10_000))]
    return next(name for name in names if not name.exists())


def main(arguments: list[str]) -> int:
    """Pre-train a small model on handwritten digits and show what it learned."""
    parser = argparse.ArgumentParser(prog="maskedae quickstart", description=main.__doc__)
    parser.add_argument("--out", type=Path, help="run folder; the next free runs/quickstart")
    options = parser.parse_args(arguments)
    out: Path = options.out or free(Path("runs/quickstart"))
    began = time.monotonic()
    digits = out.with_name(f"{out.name}-digits")
    print(f"writing 1,797 handwritten digits to {digits}")
    write_digits(digits)
    command = ["quickstart", "--data.root", str(digits), "--out", str(out)]
    print(f"maskedae pretrain {' '.join(command)}")
    status = pretrain(command)
    if status:
        return status
    scores = [row["knn"] for row in Run(out).metrics() if "knn" in row]
    print(
        f"\nkNN accuracy on held-out digits: {scores[0]:.1%} before, {scores[-1]:.1%} after "
        f"pre-training without labels ({time.monotonic() - began:.0f} s)\n"
        f"what it imagines: {max((out / 'pictures').glob('*.png'))}\nthe run:          {out}\n"
        f"look at others:   maskedae reconstruct {out} {digits / 'val'} --out grid.png"
    )
    return 0
