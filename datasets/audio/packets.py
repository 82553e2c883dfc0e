"""What PyAV says of a track of sound, packet by packet and sample by sample."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Protocol, TypeAlias

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet as AnyPacket
from av.stream import Disposition
from av.video.stream import VideoStream

from maskedae.datasets.audio.sound import Samples
from maskedae.datasets.films.film import Absent, Unknown
from maskedae.datasets.films.packets import OPTIONS, demux

Packet: TypeAlias = "AnyPacket[AudioStream]"
# Streams without a header: FFmpeg guesses how long they are, and adds up rounded times.
RAW = frozenset({"aac", "ac3", "eac3", "mp3", "dts", "loas", "truehd", "amr", "amrnb", "amrwb"})
KINDS = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
SURE = 0.1  # seconds that MP3 may know to be only padding


def opened(path: str) -> tuple[InputContainer, AudioStream]:
    """Open a file and choose the track."""
    container = av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream) or stream.codec_context is None:
        container.close()
        if stream:
            raise Unknown("sound of a codec that is not known")
        raise Absent("no sound track")
    stream.codec_context.thread_count = 1
    return container, stream


class Reel(Protocol):
    """The packets of a track, in their order."""

    container: InputContainer
    stream: AudioStream

    def packets(self) -> Iterator[Packet]:
        """Those that hold something, from where it stands, as far as they can be read."""
        ...

    def seek(self, moment: Fraction) -> None:
        """Go to a little before a moment by the clock of the container, if one can."""
        ...

    def rewind(self) -> None:
        """Go back to the first."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class FileReel:
    """The track of a file that is opened for it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.container, self.stream = opened(path)

    def packets(self) -> Iterator[Packet]:
        return demux(self.container, self.stream)

    def seek(self, moment: Fraction) -> None:
        self.container.seek(int(moment / (self.stream.time_base or 1)), stream=self.stream)

    def rewind(self) -> None:
        self.close()
        self.container, self.stream = opened(self.path)

    def close(self) -> None:
        self.container.close()


class HeldReel:
    """A track whose packets are in memory; the file is another's to close."""

    def __init__(
        self, container: InputContainer, stream: AudioStream, held: Sequence[Packet]
    ) -> None:
        self.container, self.stream, self.held, self.first = container, stream, held, 0

    def packets(self) -> Iterator[Packet]:
        return iter(self.held[self.first :])

    def seek(self, moment: Fraction) -> None:
        ticks = moment / (self.stream.time_base or 1)
        stamps = [-math.inf if packet.pts is None else packet.pts for packet in self.held]
        self.first = max((n for n, stamp in enumerate(stamps) if stamp <= ticks), default=0)

    def rewind(self) -> None:
        self.first = 0

    def close(self) -> None:
        pass


def shown_from(container: InputContainer) -> Fraction | None:
    """When the pictures start, by the clock of the container; None without pictures."""
    for stream in container.streams.video:
        film = isinstance(stream, VideoStream)
        if not film or stream.disposition & Disposition.attached_pic:
            continue
        if stream.start_time is not None and stream.time_base:
            return stream.start_time * stream.time_base
    return None


def length(reel: Reel) -> float:
    """Seconds from the first sample to the last, or to the end of a film that does not say."""
    container, stream = reel.container, reel.stream
    base = stream.time_base or Fraction(1)
    promised = float((stream.duration or 0) * base)
    if container.format.name in RAW or not (promised or container.duration):
        counted = count(reel)
        known = container.format.name == "mp3" and 0 < counted - promised < SURE
        return promised if known else counted
    if promised:
        return promised
    start = float((stream.start_time or 0) * base)
    with suppress(ValueError):  # of Matroska, the time at which a track ends
        hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
        return 3600 * hours + 60 * minutes + seconds - start
    return (container.duration or 0) / av.time_base - start


def count(reel: Reel) -> float:
    """Seconds by the packets that are there."""
    ticks = sum(packet.duration or 0 for packet in reel.packets())
    return float(ticks * (reel.stream.time_base or Fraction(1)))


def time_of(frame: AudioFrame) -> Fraction | None:
    """Seconds by the clock of the container."""
    return None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base


def floats(frame: AudioFrame) -> Samples:
    """Samples of a frame as decoded, full scale being 1: -> (samples, channels)."""
    kind = np.dtype(KINDS[frame.format.name.removesuffix("p")])
    count, channels = frame.samples, frame.layout.nb_channels
    if frame.format.is_planar:
        planes = [np.frombuffer(memoryview(plane), kind, count) for plane in frame.planes]
        values = planes[0][:, None] if channels == 1 else np.stack(planes, 1)
    else:
        packed = np.frombuffer(memoryview(frame.planes[0]), kind, count * channels)
        values = packed.reshape(count, channels)
    samples = values.astype(np.float32)
    if kind == np.uint8:
        samples -= 128
    if kind.kind != "f":
        samples /= 2.0 ** (8 * kind.itemsize - 1)
    return samples
