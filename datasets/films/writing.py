"""Films written to files."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from maskedae.datasets.films.film import Pixels

COLOURS = 256  # of a GIF
Sound = tuple[NDArray[np.float32], int]  # (samples,), and how many are a second
SAMPLED = 2**16  # pixels that the palette of a GIF is chosen by


def write_film(
    path: str | Path,
    frames: Tensor | Pixels,
    rate: float = 12.5,
    quality: int = 20,
    sound: Sound | None = None,
) -> None:
    """Write frames (T, H, W, 3), uint8, as MP4, or as GIF that repeats: the suffix says which.

    Quality is the constant rate factor of H.264: 18 looks lossless, 30 is small. An MP4 may have
    sound, one channel from -1 to 1, as AAC.
    """
    path = Path(path)
    pixels = np.asarray(frames.cpu() if isinstance(frames, Tensor) else frames)
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or not len(pixels):
        raise ValueError(f"a film is (T, H, W, 3) of uint8, not {pixels.shape} of {pixels.dtype}")
    writers: dict[str, Callable[..., None]] = {".mp4": write_mp4, ".gif": write_gif}
    if path.suffix.lower() not in writers:
        raise ValueError(f"films are written as .mp4 or .gif, not {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if sound is not None and path.suffix.lower() != ".mp4":
        raise ValueError(f"films with sound are written as .mp4, not {path.name}")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        writers[path.suffix.lower()](draft, pixels, rate, quality, sound)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_mp4(path: Path, pixels: Pixels, rate: float, quality: int, sound: Sound | None) -> None:
    """Encode as H.264 that every browser plays, sides made even by repeating the last line."""
    _, height, width, _ = pixels.shape
    options = {"movflags": "+faststart"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(quality)}
        stream.codec_context.thread_count = 1
        track = None if sound is None else container.add_stream("aac", sound[1], layout="mono")
        if track is not None:
            track.options = {"aac_coder": "fast"}
        edges = ((0, height % 2), (0, width % 2), (0, 0))
        for picture in pixels:
            padded = np.ascontiguousarray(np.pad(picture, edges, mode="edge"))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")))
        container.mux(stream.encode(None))
        if sound is not None and track is not None:
            for packet in encoded(track, *sound):
                container.mux(packet)


def encoded(
    track: AudioStream, samples: NDArray[np.float32], rate: int
) -> Iterator["Packet[AudioStream]"]:
    """Packets of one channel."""
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
    fifo = av.AudioFifo()
    fifo.write(frame)
    size = track.codec_context.frame_size
    while piece := fifo.read(size) or fifo.read(0, partial=True):
        yield from track.encode(piece)
    yield from track.encode(None)


def write_gif(path: Path, pixels: Pixels, rate: float, *_: object) -> None:
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
