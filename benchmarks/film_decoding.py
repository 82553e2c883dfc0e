"""Compare our ways to clips of films with a plain loop over PyAV.

python benchmarks/film_decoding.py FOLDER [--films 40] [--rounds 5]

Films from the folder, and films that are made for it: 320 x 240, 10 s, a key frame every 12 or 250
frames. 16 frames, 4 apart, the shorter side made 128 or 224. One process, one thread, all ways in
turn over the same films, so that a busy machine slows them alike; what counts is the median of the
ratios to the plain loop, which decodes every frame, and resizes the clip with torch. The thrifty
loop does not set up a converter, with its threads, for every frame as `to_ndarray` does.

Last come windows of one long film, larger than what is kept in memory: one after the other, and far
apart. They should take as long, whatever their place, and far less than to read the file.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from torchvision.transforms.v2 import functional as F

from maskedae.datasets.films.films import EXTENSIONS
from maskedae.datasets.films.moments import Moments
from maskedae.datasets.films.reader import Reader
from maskedae.datasets.films.reading import Order, read_clips, shrunk

MOMENTS = Moments(frames=16, stride=4)
MADE = 12  # films of each kind
SECONDS, REPEATS = 10, 120  # of a film, and what makes a long one of it
Way = Callable[[str, np.ndarray, int], object]


def main() -> None:
    """Time all ways and print clips per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="films, sub-folders included")
    parser.add_argument("--films", type=int, default=40, help="how many of them")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = sorted(str(path) for path in options.folder.rglob("*") if path.suffix in EXTENSIONS)
    some = found[:: max(1, len(found) // options.films)][: options.films]
    with TemporaryDirectory() as folder:
        compare(options.folder.name, some, 128, options.rounds)
        for gop in (12, 250):
            compare(f"made, key frames {gop} apart", make(folder, gop), 224, options.rounds)
        browse(lengthen(make(folder, 50, crf=8, count=1)[0], f"{folder}/long.mp4"))


def make(folder: str, gop: int, crf: int = 25, count: int = MADE) -> list[str]:
    """Write films of noise that moves: their paths."""
    paths = [f"{folder}/{gop}-{number}.mp4" for number in range(count)]
    for seed, path in enumerate(paths):
        rng = np.random.default_rng(seed)
        scene = rng.integers(0, 255, (30, 40, 3), np.uint8).repeat(16, 0).repeat(16, 1)
        grain = rng.integers(-12, 12, (240, 320, 3))
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            stream.options = {"g": str(gop), "preset": "medium", "crf": str(crf)}
            for step in range(250):
                picture = scene[step // 2 : step // 2 + 240, step : step + 320] + grain
                frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8))
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return paths


def lengthen(path: str, longer: str) -> str:
    """Write a film over and over into one that is long: its path."""
    with av.open(path) as source, av.open(longer, "w") as container:
        video = source.streams.video[0]
        stream = container.add_stream_from_template(video)
        shift = round(SECONDS / video.time_base)
        for repeat in range(REPEATS):
            source.seek(0)
            for packet in source.demux(video):
                if packet.size:
                    packet.pts, packet.dts = (t + repeat * shift for t in (packet.pts, packet.dts))
                    packet.stream = stream
                    container.mux(packet)
    return longer


def browse(path: str) -> None:
    """Print seconds per window of 2 s."""
    reader, moments = Reader(limit=600), Moments(16, stride=2)
    start = time.perf_counter()
    length = reader.facts(path).seconds
    took, size = time.perf_counter() - start, Path(path).stat().st_size / 2**20
    print(f"{length:.0f} s of film in {size:.0f} MB: {took:.2f} s to look through it")
    places = {"neighbours": 0.6 * length + 2.0 * np.arange(20)}
    places["far apart"] = np.random.default_rng(0).permutation(20) * (length / 20)
    for name, starts in places.items():
        times = [time.perf_counter()]
        for second in starts.tolist():
            reader.read(path, moments, window=(second, second + 2.0), short_side=224)
            times.append(time.perf_counter())
        print(f"  {name:10} {np.median(np.diff(times)):.3f} s per window", flush=True)
    reader.close()


def plain(path: str, chances: np.ndarray, short_side: int, thrifty: bool = False) -> object:
    """Decode everything, keep the clips; thrifty is to keep the converter and its one thread."""
    reformat = VideoReformatter().reformat
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        pictures = container.decode(video=0)
        if thrifty:
            pictures = (reformat(frame, format="rgb24", threads=1) for frame in pictures)
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in pictures])
    times = np.arange(len(frames)) / 25
    size = list(shrunk(frames.shape[1:3], short_side))
    for row in chances:
        clip = torch.from_numpy(frames[MOMENTS.draw(times, row)]).movedim(-1, 1)
        F.resize(clip, size, antialias=True)
    return None


def here(decoder: str, path: str, chances: np.ndarray, short_side: int) -> object:
    """Decode in this process."""
    return read_clips(Order(path, MOMENTS, chances, short_side=short_side, decoder=decoder))


def ways() -> dict[str, Way]:
    """Every way that can be taken here, as training goes first."""
    reader = Reader()
    apart: Way = lambda path, chances, side: reader.read(path, MOMENTS, chances, short_side=side)  # noqa: E731
    libraries = {"pyav": "av", "torchcodec": "torchcodec", "decord": "decord"}
    loops: dict[str, Way] = {"plain": plain, "thrifty": partial(plain, thrifty=True)}
    names = [name for name, library in libraries.items() if find_spec(library)]
    return {"Reader": apart} | {name: partial(here, name) for name in names} | loops


def compare(title: str, paths: list[str], short_side: int, rounds: int) -> None:
    """Print clips per second of every way, and its ratio to the plain loop."""
    chains = ways()
    for clips in (1, 4):
        rng = np.random.default_rng(0)
        chances = rng.random((len(paths), clips, MOMENTS.frames))
        for way in chains.values():
            way(paths[0], chances[0], short_side)  # libraries come into memory
        results = [
            {name: speed(way, paths, chances, short_side) for name, way in chains.items()}
            for _ in range(rounds)
        ]
        print(f"{title}: {len(paths)} films, {clips} clips of each")
        for name in chains:
            ratio = median(result[name] / result["plain"] for result in results)
            rate = median(result[name] for result in results)
            print(f"  {name:10} {rate:7.1f} clips/s, ratio {ratio:5.2f}", flush=True)


def speed(way: Way, paths: list[str], chances: np.ndarray, short_side: int) -> float:
    """Read clips from every film once: clips per second."""
    start = time.perf_counter()
    for path, rows in zip(paths, chances, strict=True):
        way(path, rows, short_side)
    return len(paths) * chances.shape[1] / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
