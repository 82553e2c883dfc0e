"""What the decoders have in common: a film is frames with times, in the order of their showing."""

import os
import re
import stat
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Times = NDArray[np.float64]
HEAD = 4096  # bytes that say what a file is
FRAME_RATE = 30.0  # of folders of pictures, unless another is given


class Refused(Exception):
    """A film that a decoder does not take; the message is the reason that a user reads."""


class Unknown(Refused):
    """A film of a codec that a decoder does not have; another may."""


class Absent(Refused):
    """A file that lacks what is looked for, though nothing is wrong with it."""


class Film(Protocol):
    """A film opened by a decoder; frames are counted in the order in which they are shown."""

    times: Times  # (frames,) seconds since the first
    rate: float  # frames per second, on average
    size: tuple[int, int]  # height, width, upright
    lost: int  # frames asked for that could not be decoded, the last good one in their place

    def frames(self, indices: Sequence[int], size: tuple[int, int] | None = None) -> Pixels:
        """Decode frames by ascending numbers, upright and in RGB: (T,) -> (T, height, width, 3)."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def check(path: str) -> None:
    """Refuse what no decoder need look at."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise Refused(error.strerror or str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not a file")  # opening a pipe would wait for ever
    if not status.st_size:
        raise Refused("empty file")


def why(path: str, error: object, what: str = "film") -> str:
    """Say in a user's words why a file is no film, or sound, given what the decoder said."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if head[4:8] == b"ftyp" and b"moov" not in boxes(path):
        return "cut off before its index (moov atom)"
    text = " ".join(head[:40].decode(errors="replace").split())
    return f"text, not a {what}: {text!r}" if text.isprintable() and text else str(error)


def boxes(path: str) -> list[bytes]:
    """Names of the outermost boxes of an MP4 that are there in full."""
    found = []
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        start = 0
        while len(header := file.read(16)) >= 8:
            size, name = int.from_bytes(header[:4], "big"), header[4:8]
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size < 8 or start + size > length:
                break
            found.append(name)
            start += size
            file.seek(start)
    return found


def mean_rate(times: Times, claimed: float | None) -> float:
    """Frames per second, by their times, or as claimed where there is but one."""
    if len(times) > 1 and times[-1] > times[0]:
        return float((len(times) - 1) / (times[-1] - times[0]))
    return claimed or 25.0


def agree(count: int, size: tuple[int, ...], film: Film) -> None:
    """Refuse a film of which a decoder shows something else than its packets promise."""
    if count != len(film.times) or size != film.size:
        height, width = film.size
        found = f"{count} frames of {size[1]} x {size[0]}"
        raise Refused(f"{found}, not {len(film.times)} of {width} x {height}")


def first_line(error: Exception) -> Refused:
    """Keep the first line of what a decoder says: the rest, and what it begins with, is where."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return Refused(re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", line))


def hold(pixels: Pixels, good: NDArray[np.bool_]) -> int:
    """Put the last good frame, or the first there is, in the place of lost ones; count them."""
    if not good.any():
        raise Refused("no frame can be decoded")
    last = np.maximum.accumulate(np.where(good, np.arange(len(good)), -1))
    last[last < 0] = int(good.argmax())
    for row in np.flatnonzero(~good):
        pixels[row] = pixels[last[row]]
    return int((~good).sum())


def resized(pixels: Pixels, size: tuple[int, int] | None) -> Pixels:
    """Resize frames whose decoder does not: (T, H, W, 3) -> (T, *size, 3)."""
    if size is None or size == pixels.shape[1:3]:
        return pixels
    resample = Image.Resampling.BILINEAR
    images = (Image.fromarray(frame).resize(size[::-1], resample) for frame in pixels)
    return np.stack([np.asarray(image) for image in images])
