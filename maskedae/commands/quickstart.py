"""maskedae quickstart [image | video | audio | av] [--model mae | hiera] [--out DIR]."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from maskedae.commands import miniature
from maskedae.commands.pretrain import main as pretrain
from maskedae.datasets import digits, tones
from maskedae.runs import Run


class Kind(NamedTuple):
    """What is learned from: a recipe, and how its data are written."""

    recipe: str
    what: str
    noun: str
    write: Callable[[Path], None]


KINDS = {
    "image": Kind("quickstart", "1,797 handwritten", "digits", digits.write_pictures),
    "video": Kind("quickstart_video", "1,797 films of moving", "digits", digits.write_films),
    "audio": Kind("quickstart_audio", "1,200 files of ten kinds of", "sounds", tones.write_sounds),
}


HIERA = "quickstart_hiera"  # of pictures


def free(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that does not exist."""
    names = [folder, *(folder.with_name(f"{folder.name}-{n}") for n in range(2, 10_000))]
    return next(name for name in names if not name.exists())


def report(out: Path, data: Path, noun: str, seconds: float) -> str:
    """What came of a training, and where to look."""
    rows = list(Run(out).metrics())
    scores = [row["knn"] for row in rows if "knn" in row]
    losses = [row for row in rows if "loss" in row]
    first, last = losses[0], losses[-1]
    name = sorted((out / "pictures").iterdir())[-1].stem
    shown = sorted(str(path) for path in (out / "pictures").glob(f"{name}.*"))
    return (
        f"\nkNN accuracy on held-out {noun}: {scores[0]:.1%} before, {scores[-1]:.1%} after "
        f"pre-training without labels ({seconds:.0f} s)\n"
        f"loss:             {first['loss']:.4f} to {last['loss']:.4f}; knowing the mean of each "
        f"hidden patch, and no more, would give {last['baseline']:.4f}\n"
        f"what it imagines: {' and '.join(shown)}\nthe run:          {out}\n"
        f"look at others:   maskedae reconstruct {out} {data / 'val'}"
    )


def ablate(out: Path) -> int:
    """Learn from films with sound, one objective after the other; return the exit status."""
    if out.exists():
        raise ValueError(f"{out} exists; another --out keeps it")
    began, last = time.monotonic(), out / miniature.STEPS[-1].folder
    status = miniature.run_ablation(out, pretrain)
    if status == 0:
        print(
            f"{time.monotonic() - began:.0f} s\n"
            f"what it imagines: {out / miniature.STEPS[2].folder / 'pictures'}\n"
            f"what it finds:    maskedae retrieve {last} --out {out / 'retrieve'}"
        )
    return status


def main(arguments: list[str]) -> int:
    """Pre-train a small model on data that are at hand, and show what it learned."""
    parser = argparse.ArgumentParser(prog="maskedae quickstart", description=main.__doc__)
    parser.add_argument(
        "kind", choices=[*KINDS, "av"], nargs="?", default="image", help="av: sound and picture"
    )
    parser.add_argument(
        "--model", choices=("mae", "hiera"), default="mae", help="hiera learns from pictures"
    )
    parser.add_argument("--out", type=Path, help="run folder; the next free runs/quickstart")
    options = parser.parse_args(arguments)
    if options.model == "hiera" and options.kind != "image":
        raise ValueError(f"--model hiera learns from pictures only: leave out {options.kind}")
    if options.kind == "av":
        return ablate(options.out or free(Path("runs") / miniature.RECIPE))
    kind = KINDS[options.kind]
    recipe = HIERA if options.model == "hiera" else kind.recipe
    out: Path = options.out or free(Path("runs") / recipe)
    began = time.monotonic()
    data = out.with_name(f"{out.name}-{kind.noun}")
    print(f"writing {kind.what} {kind.noun} to {data}")
    kind.write(data)
    command = [recipe, "--data.root", str(data), "--out", str(out)]
    print(f"maskedae pretrain {' '.join(command)}")
    status = pretrain(command)
    if status == 0:
        print(report(out, data, kind.noun, time.monotonic() - began))
    return status
