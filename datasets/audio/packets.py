"""What PyAV says of a track of sound, packet by packet and sample by sample."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TypeAlias

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet as AnyPacket
from av.stream import Disposition
from av.video.stream import VideoStream

from maskedae.datasets.audio.sound import Samples
from maskedae.datasets.films.film import Refused
from maskedae.datasets.films.packets import OPTIONS

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
        unknown = "sound of a codec that is not known" if stream else "no sound track"
        raise Refused(unknown)
    stream.codec_context.thread_count = 1
    return container, stream


def packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet]:
    """Packets that hold something, as far as they can be read."""
    with suppress(FFmpegError, IndexError):  # a packet of a stream that was not announced
        yield from (packet for packet in container.demux(stream) if packet.size)


def shown_from(container: InputContainer) -> Fraction | None:
    """When the pictures start, by the clock of the container; None without pictures."""
    for stream in container.streams.video:
        film = isinstance(stream, VideoStream)
        if not film or stream.disposition & Disposition.attached_pic:
            continue
        if stream.start_time is not None and stream.time_base:
            return stream.start_time * stream.time_base
    return None


def length(container: InputContainer, stream: AudioStream) -> float:
    """Seconds from the first sample to the last, or to the end of a film that does not say."""
    base = stream.time_base or Fraction(1)
    promised = float((stream.duration or 0) * base)
    if container.format.name in RAW or not (promised or container.duration):
        counted = count(container, stream)
        known = container.format.name == "mp3" and 0 < counted - promised < SURE
        return promised if known else counted
    if promised:
        return promised
    start = float((stream.start_time or 0) * base)
    with suppress(ValueError):  # of Matroska, the time at which a track ends
        hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
        return 3600 * hours + 60 * minutes + seconds - start
    return (container.duration or 0) / av.time_base - start


def count(container: InputContainer, stream: AudioStream) -> float:
    """Seconds by the packets that are there."""
    ticks = sum(packet.duration or 0 for packet in packets(container, stream))
    return float(ticks * (stream.time_base or Fraction(1)))


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
