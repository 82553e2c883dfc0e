"""Films of every kind that a decoder knows, and the choice of the decoder."""

import os
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from typing import Literal

from maskedae.datasets.films.film import FRAME_RATE, Film, Refused, Unknown

Decoder = Literal["auto", "pyav", "decord", "torchcodec"]
ORDER = ("pyav", "torchcodec", "decord")  # of those that are installed, fastest and surest first
LIBRARIES = {"pyav": "av", "torchcodec": "torchcodec", "decord": "decord"}
CONTAINERS = (
    "mp4 m4v mov f4v 3gp 3g2 mkv webm avi divx gif mpg mpeg m2v vob ts mts m2ts wmv asf flv"
    " ogv ogm mjpeg mjpg mxf y4m 264 h264 265 h265 hevc"
)
EXTENSIONS = frozenset(f".{name}" for name in CONTAINERS.split())
STARTS = (b"\x1aE\xdf\xa3", b"GIF8", b"FLV\x01", b"OggS", b"\0\0\x01\xba", b"\0\0\x01\xb3")
BRANDS = (b"ftyp", b"moov", b"mdat", b"wide")  # at the fifth byte of MP4 and its kin
SOUND_OR_PICTURE = (b"M4A ", b"M4B ", b"avif", b"avis", b"heic", b"mif1")
SAID: set[tuple[str, str]] = set()  # decoders, of which one has taken what the other refused
WINDOWS_MEDIA = bytes.fromhex("3026b2758e66cf11")


def open_film(
    path: str, decoder: Decoder = "auto", frame_rate: float = FRAME_RATE, track: bool = False
) -> Film:
    """Open a file with one decoder or the first that takes it, or a folder of numbered frames.

    The frame rate is that of folders; files say it themselves. With `track` PyAV keeps the sound.
    """
    if os.path.isdir(path):
        from maskedae.datasets.films.stills import Stills

        return Stills(path, frame_rate)
    if decoder != "auto":
        return opener(decoder, track)(path)
    first: tuple[str, Refused] | None = None
    for name in installed():
        try:
            film = opener(name, track)(path)
        except Refused as reason:
            first = first or (name, reason)
            if not isinstance(first[1], Unknown):
                break  # broken for all: to import the next would cost seconds
            continue
        if first:
            tell(first[0], name, f"{path}: {first[1]}")
        return film
    assert first
    raise first[1]


def opener(decoder: str, track: bool = False) -> Callable[[str], Film]:
    """Import a decoder when it is first used: each takes its time."""
    if decoder == "pyav":
        from maskedae.datasets.films.with_pyav import PyAVFilm

        return partial(PyAVFilm, track=True) if track else PyAVFilm
    if decoder == "torchcodec":
        from maskedae.datasets.films.with_torchcodec import TorchCodecFilm

        return TorchCodecFilm
    if decoder == "decord":
        from maskedae.datasets.films.with_decord import DecordFilm

        return DecordFilm
    raise ValueError(f"a decoder is one of auto, {', '.join(ORDER)}, not {decoder}")


@cache
def installed() -> tuple[str, ...]:
    """Decoders that are there, in the order in which they are tried."""
    return tuple(name for name in ORDER if find_spec(LIBRARIES[name]))


def tell(decoder: str, other: str, reason: str) -> None:
    """Say once in a process that a decoder refused a film that another takes."""
    if (decoder, other) not in SAID:
        SAID.add((decoder, other))
        print(f"{decoder} refuses what {other} takes, first {reason}", file=sys.stderr)


def sniff(head: bytes) -> bool:
    """Recognise a film by its first bytes."""
    if head[4:8] in BRANDS:
        return head[8:12] not in SOUND_OR_PICTURE
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    stream = head[:1] == head[188:189] == head[376:377] == b"G"  # MPEG-TS
    return stream or head.startswith((*STARTS, WINDOWS_MEDIA))
