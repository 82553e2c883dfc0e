"""Films decoded by PyAV, which knows nearly all there are."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeAlias

import numpy as np
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet as AnyPacket
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from maskedae.datasets.films.film import Pixels, Refused, Unknown, hold
from maskedae.datasets.films.packets import (
    Index,
    Packet,
    demux,
    look,
    opened,
    refusing,
    sought,
    timing,
)

Heard: TypeAlias = "AnyPacket[AudioStream]"
END = 2**62  # later than any packet
KEPT = 2**26  # bytes of a film up to which its packets stay in memory
REMEMBERED = 64  # larger films of which it is known what is in them
# A picture of H.264 that says that no other refers to it can be left out without a trace.
SKIPPING = frozenset({"h264"})

INDICES: dict[tuple[str, int, int], Index] = {}


class PyAVFilm:
    """A film whose packets are looked through once, and decoded as far as needed.

    With its track, the packets of its sound are kept, too, unless the file is large.
    """

    def __init__(self, path: str, track: bool = False) -> None:
        self.path, self.lost = path, 0
        self.reformatter = VideoReformatter()
        with refusing(path):
            self._open()
            small = os.path.getsize(path) <= KEPT
            self.packets: list[Packet] | None = None
            self.track: list[Heard] | None = None
            if small:
                self.packets, self.track = self._held(track)
            self.index = self._index()
            self.size, self.turns = self._shape()
        self.times, self.rate = timing(self.index, self.stream)
        self.kind = self.container.format.name

    def frames(self, indices: Sequence[int], size: tuple[int, int] | None = None) -> Pixels:
        height, width = size or self.size
        pixels = np.empty((len(indices), height, width, 3), np.uint8)
        rows = {int(self.index.pts[index]): row for row, index in enumerate(indices)}
        good, clean = self._fill(pixels, rows, list(self._stretches(indices)))
        if not clean:  # what is broken shows the same, whatever else is asked for
            last = int(self.index.packet[list(indices)].max())
            good, _ = self._fill(pixels, rows, [(0, last)], shortcuts=False)
        self.lost += hold(pixels, good)
        return pixels

    def close(self) -> None:
        self.packets = self.track = None
        self.container.close()

    def decodable(self) -> int:
        """Decode everything, and count what comes out."""
        return sum(1 for _ in self._pictures(self._between(0, END)))

    def _open(self) -> None:
        self.container, self.stream = opened(self.path)
        if self.stream.codec_context is None:
            raise Unknown("of a codec that is not known")
        self.stream.codec_context.thread_count = 1

    def _held(self, track: bool) -> tuple[list[Packet], list[Heard] | None]:
        """Packets of the pictures and, if it is asked for and there, of the sound."""
        sound = self.container.streams.best("audio") if track else None
        if sound is None:
            return list(demux(self.container, self.stream)), None
        pictures, heard = list[Any](), list[Any]()
        for packet in demux(self.container, self.stream, sound):
            (pictures if packet.stream_index == self.stream.index else heard).append(packet)
        return pictures, heard

    def _index(self) -> Index:
        """Look through the packets, or remember what was seen."""
        if self.packets is not None:
            return look(self.packets) or self._count()
        status = os.stat(self.path)
        key = (self.path, status.st_mtime_ns, status.st_size)
        if key not in INDICES:
            if len(INDICES) >= REMEMBERED:
                del INDICES[next(iter(INDICES))]
            INDICES[key] = look(demux(self.container, self.stream)) or self._count()
        return INDICES[key]

    def _count(self) -> Index:
        """Decode all there is where the packets do not say when they are shown."""
        count = self.decodable()
        pts, end, zeros = (
            np.arange(count) * self.step,
            np.full(count, END),
            np.zeros(count, np.int64),
        )
        return Index(pts, end, zeros, pts, zeros, zeros[:1], exact=False)

    @property
    def step(self) -> int:
        """Ticks from one frame to the next, where packets do not say."""
        return max(1, round(1 / ((self.stream.average_rate or 25) * (self.stream.time_base or 1))))

    def _shape(self) -> tuple[tuple[int, int], int]:
        """Height and width, upright, and quarter turns to the left that make it so."""
        for frame in self._pictures(self._between(0, END)):
            turns = round(frame.rotation / 90) % 4
            size = (frame.height, frame.width)
            return (size[::-1] if turns % 2 else size), turns
        raise Refused("no frame can be decoded")

    def _stretches(self, indices: Sequence[int]) -> Iterator[tuple[int, int]]:
        """First and last packets to decode, where leaving some out saves work."""
        chosen = np.asarray(indices)
        places = sorted(set(zip(self.index.start[chosen], self.index.packet[chosen], strict=True)))
        first, last = places[0]
        for start, packet in places:
            if start > last + 1:
                yield int(first), int(last)
                first = start
            last = max(last, packet)
        yield int(first), int(last)

    def _fill(
        self,
        pixels: Pixels,
        rows: dict[int, int],
        stretches: Sequence[tuple[int, int]],
        shortcuts: bool = True,
    ) -> tuple[NDArray[np.bool_], bool]:
        """Decode what is wanted; say which frames are there, and whether all went well."""
        good, self.clean = np.zeros(len(pixels), bool), True
        for first, last in stretches:
            packets = self._between(first, last)
            if shortcuts and self.index.exact and self.stream.codec_context.name in SKIPPING:
                packets = self._skipping(packets, rows)
            for number, frame in enumerate(self._pictures(packets)):
                # Broken, or where decoding began the picture is yet to be refreshed bit by bit.
                self.clean &= not frame.is_corrupt
                name = frame.pts if self.index.exact else number * self.step
                if name is not None and (row := rows.get(name)) is not None:
                    self._convert(frame, pixels[row])
                    good[row] = True
        return good, self.clean and bool(good.all())

    def _skipping(self, packets: Iterator[Packet], rows: dict[int, int]) -> Iterator[Packet]:
        codec = self.stream.codec_context
        for packet in packets:
            codec.skip_frame = "DEFAULT" if packet.pts in rows else "NONREF"
            yield packet
        codec.skip_frame = "DEFAULT"

    def _between(self, first: int, last: int) -> Iterator[Packet]:
        """Packets from one to another, or fewer where a large file is not what it was."""
        if self.packets is not None:
            return iter(self.packets[first : last + 1])
        if first and (found := sought(self.container, self.stream, self.index, first)):
            return islice(found, last + 1 - first)
        self.container.close()
        self._open()
        return islice(demux(self.container, self.stream), first, last + 1)

    def _pictures(self, packets: Iterator[Packet]) -> Iterator[VideoFrame]:
        """Decode packets, over those that are broken."""
        codec = self.stream.codec_context
        codec.flush_buffers()
        for packet in chain(packets, [None]):
            try:
                yield from codec.decode(packet)
            except FFmpegError:
                self.clean = False

    def _convert(self, frame: VideoFrame, out: Pixels) -> None:
        height, width = out.shape[:2]
        if self.turns % 2:
            height, width = width, height
        rgb = self.reformatter.reformat(
            frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1
        )
        plane = rgb.planes[0]
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        picture = lines[:height, : 3 * width].reshape(height, width, 3)
        out[:] = np.rot90(picture, self.turns)
