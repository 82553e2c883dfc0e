"""Films written to files."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from torch import Tensor

from maskedae.datasets.films.film import Pixels

COLOURS = 256  # of a GIF
SAMPLED = 2**16  # pixels that the palette of a GIF is chosen by


def write_film(
    path: str | Path, frames: Tensor | Pixels, rate: float = 12.5, quality: int = 20
) -> None:
    """Write frames (T, H, W, 3), uint8, as MP4, or as GIF that repeats: the suffix says which.

    Quality is the constant rate factor of H.264: 18 looks lossless, 30 is small.
    """
    path = Path(path)
    pixels = np.asarray(frames.cpu() if isinstance(frames, Tensor) else frames)
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or not len(pixels):
        raise ValueError(f"a film is (T, H, W, 3) of uint8, not {pixels.shape} of {pixels.dtype}")
    writers = {".mp4": write_mp4, ".gif": write_gif}
    if path.suffix.lower() not in writers:
        raise ValueError(f"films are written as .mp4 or .gif, not {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        writers[path.suffix.lower()](draft, pixels, rate, quality)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_mp4(path: Path, pixels: Pixels, rate: float, quality: int) -> None:
    """Encode as H.264 that every browser plays, sides made even by repeating the last line."""
    _, height, width, _ = pixels.shape
    options = {"movflags": "+faststart"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(quality)}
        stream.codec_context.thread_count = 1
        edges = ((0, height % 2), (0, width % 2), (0, 0))
        for picture in pixels:
            padded = np.ascontiguousarray(np.pad(picture, edges, mode="edge"))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")))
        container.mux(stream.encode(None))


def write_gif(path: Path, pixels: Pixels, rate: float, _: int) -> None:
    """Write all frames with one palette, so that colours do not flicker."""
    flat = pixels.reshape(-1, 3)
    sample = flat[:: max(1, len(flat) // SAMPLED)]
    palette = Image.fromarray(sample[None]).quantize(COLOURS, Image.Quantize.MEDIANCUT)
    images = (Image.fromarray(picture).quantize(palette=palette) for picture in pixels)
    first = next(images)
    first.save(
        path,
        format="GIF",
        save_all=True,
        append_images=list(images),
        duration=durations(len(pixels), rate),
        loop=0,
        disposal=1,
    )


def durations(count: int, rate: float) -> list[int]:
    """Milliseconds of every frame, in the hundredths that a GIF knows, none of which is lost.

    >>> durations(4, 30)
    [30, 40, 30, 30]
    """
    ends = [round((number + 1) * 100 / rate) for number in range(count)]
    return [max(2, end - start) * 10 for start, end in zip([0, *ends], ends, strict=False)]
