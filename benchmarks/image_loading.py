"""Compare our image loading with the usual chain of Pillow, ToTensor and Normalize.

python benchmarks/image_loading.py FOLDER [--rounds 5]

One process, one thread, both chains in turn over the same files, so that a busy machine slows
both down alike; what counts is the median of the ratios.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from PIL import Image
from torchvision import transforms

from maskedae.datasets.images import Images

SIZE = (224, 224)


def main() -> None:
    """Time both chains and print images per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="pictures, sub-folders included")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours, usual, count = chains(options.folder)
    speed(ours, count)  # the files come into the cache, the libraries into memory
    rounds = [(speed(ours, count), speed(usual, count)) for _ in range(options.rounds)]
    for number, (new, old) in enumerate(rounds, 1):
        print(f"round {number}: ours {new:6.0f}/s, usual {old:6.0f}/s, ratio {new / old:.2f}")
    new, old = (median(column) for column in zip(*rounds, strict=True))
    ratio = median(new / old for new, old in rounds)
    print(f"median:  ours {new:6.0f}/s, usual {old:6.0f}/s, ratio {ratio:.2f} on {count} pictures")


def chains(folder: str) -> tuple[Callable[[int], object], Callable[[int], object], int]:
    """Make both chains, each from a number to a training sample, and count the samples."""
    data = Images(root=folder)
    source = data.source("train", (3, *SIZE), augment=True)
    assert source is not None
    normalise = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                SIZE, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    def usual(index: int) -> object:
        with Image.open(source.name(index)) as image:
            return normalise(image.convert("RGB"))

    return source.read, usual, len(source)


def speed(chain: Callable[[int], object], count: int) -> float:
    """Load every picture once: pictures per second."""
    start = time.perf_counter()
    for index in range(count):
        chain(index)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
