"""Compare reading films with their sound by one opening with reading pictures and sound apart.

python benchmarks/audio_video_reading.py [FOLDER] [--films 40] [--rounds 5]

Films that are made for it, 320 x 240, 10 s, a key frame every 50 frames, and those of the folder.
As published: 8 frames of 224 pixels, half a second apart, and 10.26 s of sound around them, in
training. One process and its child, one thread, which work in turn, so that what is told is films
per second and core; both ways in turn over the same films, so that a busy machine slows them alike;
what counts is the median of the ratios. Apart is what `Videos` and `Sounds` do.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from maskedae.datasets.audio.source import SoundSource
from maskedae.datasets.audio_video import AudioVideo
from maskedae.datasets.av.source import PairSource
from maskedae.datasets.films.films import EXTENSIONS
from maskedae.datasets.films.writing import write_film
from maskedae.datasets.videos import VideoSource
from maskedae.listing import list_named

SHAPES = ((1, 1024, 128), (3, 8, 224, 224))
MADE, SECONDS, RATE, SOUND_RATE = 12, 10, 25, 44100
Way = Callable[[int], object]


def main() -> None:
    """Time both ways and print films per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="films, sub-folders included")
    parser.add_argument("--films", type=int, default=40, help="how many of them")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        compare("made", make(Path(folder)), options.rounds)
    if options.folder:
        found = sorted(str(p) for p in options.folder.rglob("*") if p.suffix in EXTENSIONS)
        some = found[:: max(1, len(found) // options.films)][: options.films]
        compare(str(options.folder), some, options.rounds)


def make(folder: Path) -> list[str]:
    """Write films of noise that moves, with noise that one hears: their paths."""
    paths = [folder / f"{number}.mp4" for number in range(MADE)]
    for seed, path in enumerate(paths):
        rng = np.random.default_rng(seed)
        scene = rng.integers(0, 255, (40, 40, 3), np.uint8).repeat(16, 0).repeat(16, 1)
        frames = [scene[n : n + 240, n : n + 320] for n in range(SECONDS * RATE)]
        sound = rng.standard_normal(SECONDS * SOUND_RATE).astype(np.float32) / 10
        write_film(path, np.stack(frames), RATE, sound=(sound, SOUND_RATE))
    return [str(path) for path in paths]


def compare(title: str, paths: list[str], rounds: int) -> None:
    """Print films per second of both ways, and the ratio."""
    ways = both_ways(paths)
    for way in ways.values():
        way(0)  # the child starts, libraries come into memory
    results = [{name: speed(way, len(paths)) for name, way in ways.items()} for _ in range(rounds)]
    print(f"{title}: {len(paths)} films")
    for name in ways:
        rate = median(result[name] for result in results)
        ratio = median(result[name] / result["apart"] for result in results)
        print(f"  {name:9} {rate:6.1f} films/s, {ratio:5.2f} times as fast as apart", flush=True)


def both_ways(paths: list[str]) -> dict[str, Way]:
    """Every way to read the film of a number."""
    data = AudioVideo()
    listing = list_named(paths, data.wanted)
    pairs = PairSource(data, listing, SHAPES, augment=True)
    sounds = SoundSource(data.sounds, listing, SHAPES[0], augment=True)
    films = VideoSource(data.videos, listing, SHAPES[1], augment=True)
    return {
        "together": pairs.read,
        "apart": lambda index: (films.read(index), sounds.read(index)),
        "pictures": films.read,
        "sound": sounds.read,
    }


def speed(way: Way, count: int) -> float:
    """Read every film once: films per second."""
    start = time.perf_counter()
    for index in range(count):
        way(index)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
