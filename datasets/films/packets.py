"""What the packets of a film say about its frames, before any is decoded."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet as AnyPacket
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from maskedae.datasets.films.film import Absent, Refused, Times, check, mean_rate, why

Packet: TypeAlias = "AnyPacket[VideoStream]"
# Formats that name other files are no films.
OPTIONS = {"protocol_whitelist": "file", "format_blacklist": "hls,concat,concatf,dash,image2,tty"}
# Some formats are sought by when packets are decoded, which is before they are shown, and some
# begin amid a packet: the key frames before the right one that are tried, the packets let pass.
BACK = (0, 1, 4, 16)
STRAY = 3


@dataclass(frozen=True)
class Index:
    """Where the frames of a film are, in the order of their showing, and packets in the file's."""

    pts: NDArray[np.int64]  # (frames,) time stamps
    packet: NDArray[np.int64]  # (frames,) number of the packet that holds it
    start: NDArray[np.int64]  # (frames,) number of the packet where decoding has to start
    stamps: NDArray[np.int64]  # (packets,) time stamps, shown or not
    sizes: NDArray[np.int64]  # (packets,) bytes
    keys: NDArray[np.int64]  # numbers of the packets where decoding can start
    exact: bool = True  # time stamps name frames; otherwise frames are counted from the first
    closed: bool = True  # no frame needs another from before the key frame that it follows


def opened(path: str) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose the stream that is the film."""
    container = av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        sound = ": audio only" if container.streams.audio else ""
        container.close()
        raise Absent("no video stream" + sound)
    return container, stream


def demux(container: InputContainer, *streams: Stream) -> Iterator[Any]:
    """Packets of streams that hold something, as far as they can be read."""
    with suppress(FFmpegError, IndexError):  # a packet of a stream that was not announced
        yield from (packet for packet in container.demux(*streams) if packet.size)


def look(packets: Iterable[Packet]) -> Index | None:
    """Find out from packets what is shown when; None where they do not say."""
    rows = [(p.pts, p.size, p.is_keyframe, p.is_discard) for p in packets]
    if not rows:
        raise Refused("no frames")
    stamps = [row[0] for row in rows]
    if None in stamps or len(set(stamps)) < len(stamps):
        return None
    pts, sizes, is_key, hidden = (np.array(column) for column in zip(*rows, strict=True))
    keys = np.flatnonzero(is_key)
    if not len(keys):
        keys = np.zeros(1, np.int64)
    # What is shown before the key frame that it follows in the file may need the one before.
    newest = np.searchsorted(keys, np.arange(len(pts)), side="right") - 1
    leading = pts < pts[keys[np.maximum(newest, 0)]]
    newest = np.maximum(newest - leading, 0)
    order = np.flatnonzero(~hidden)
    order = order[np.argsort(pts[order])]
    if not len(order):
        raise Refused("no frames")
    closed = not leading.any()
    return Index(pts[order], order, keys[newest][order], pts, sizes, keys, closed=closed)


def sought(
    container: InputContainer, stream: VideoStream, index: Index, first: int
) -> Iterator[Packet] | None:
    """Packets from a certain one on, most before it left unread; None where there is no way to it.

    Ends at the first packet that is not the one that is due.
    """
    place = int(np.searchsorted(index.keys, first, side="right")) - 1
    for key in (index.keys[place - back] for back in BACK if back <= place):
        try:
            container.seek(int(index.stamps[key]), stream=stream)
        except FFmpegError:
            return None
        packets = demux(container, stream)
        for packet in islice(packets, STRAY):
            found = np.flatnonzero(index.stamps == packet.pts)
            if len(found) and found[0] <= first and packet.size == index.sizes[found[0]]:
                due = expected(chain([packet], packets), index, int(found[0]))
                return islice(due, first - int(found[0]), None)
    return None


def expected(packets: Iterator[Packet], index: Index, number: int) -> Iterator[Packet]:
    """Packets as long as they are those of the index, from a number on."""
    due = zip(index.stamps[number:], index.sizes[number:], strict=True)
    for packet, (stamp, size) in zip(packets, due, strict=False):
        if (packet.pts, packet.size) != (stamp, size):
            return
        yield packet


def timing(index: Index, stream: VideoStream) -> tuple[Times, float]:
    """Seconds of every frame since the first, and frames per second."""
    times = (index.pts - index.pts[0]) * float(stream.time_base or 1)
    rate = stream.average_rate
    return times, mean_rate(times, float(rate) if rate else None)


@contextmanager
def refusing(path: str) -> Iterator[None]:
    """Refuse a file over which FFmpeg fails, in words."""
    check(path)
    try:
        yield
    except (FFmpegError, OSError, ValueError) as error:
        raise Refused(why(path, getattr(error, "strerror", None) or error)) from error
