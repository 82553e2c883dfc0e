"""The sound of any container, decoded by PyAV."""

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice

import numpy as np
from av.audio.frame import AudioFrame
from av.error import FFmpegError

from maskedae.datasets.audio.packets import (
    RAW,
    FileReel,
    Reel,
    count,
    floats,
    length,
    shown_from,
    time_of,
)
from maskedae.datasets.audio.sound import END, Facts, Samples, joined, silence
from maskedae.datasets.films.film import Absent, Refused, why

# Seconds before a window from where it is decoded: what codecs remember is then what it would be.
BACK = (1.0, 10.0)
JITTER = 0.1  # seconds by which rounded time stamps may be off without a gap
CLOSE = 0.005  # the same where they are exact, or a packet was lost
SILENCE = 3600.0  # seconds of gaps that are believed; time stamps that leave more are wrong
FEW = 4  # frames that show what the others are like
SOME = 9  # frames by whose time stamps it is found where a leap has led
EXACT = frozenset({"flac", "alac", "wavpack", "tta", "ape"})  # codecs that keep the bits


class Track:
    """The sound of a film, or one that is compressed; it starts when the pictures do, if any."""

    def __init__(self, path: str, reel: Reel | None = None) -> None:
        self.path, self.lost, self.good = path, 0, 0
        try:
            self.reel = reel or FileReel(path)
            self._open()
            self._look()
        except EOFError as error:
            raise Refused("cut off before any sample can be decoded") from error
        except (FFmpegError, OSError, ValueError) as error:
            reason = why(path, getattr(error, "strerror", None) or error, "sound")
            raise Refused(reason) from error

    def facts(self) -> Facts:
        codec, kind = self.stream.codec_context, self.container.format.name.split(",")[0]
        name = codec.codec.canonical_name
        stored = name.startswith("pcm") or name in EXACT
        bits = codec.format.bits if stored and codec.format else 0
        self._again()
        self.at_start = False
        seconds = promised = max(0.0, self.late + length(self.reel))
        if promised > os.path.getsize(self.path):  # no codec lets a byte last a second
            self._again()
            seconds = max(0.0, self.late + count(self.reel))
        return Facts(seconds, self.rate, self.channels, kind, name, bits, promised)

    def pieces(self, first: int, stop: int) -> Iterator[Samples]:
        yield from joined(self._pieces(first, stop))

    def _pieces(self, first: int, stop: int) -> Iterator[Samples]:
        place = first
        for begin, samples in self._placed(first):
            if begin > place:
                yield from silence(min(begin, stop) - place, samples.shape[1])
                place = min(begin, stop)
            samples = samples[place - begin : max(0, stop - begin)]
            if len(samples):
                yield samples
                place += len(samples)
            if place >= stop:
                return

    def close(self) -> None:
        self.reel.close()

    def _open(self) -> None:
        self.container, self.stream = self.reel.container, self.reel.stream
        self.hole = False  # whether a packet has been lost since the last good one

    def _again(self) -> None:
        """Back to the start of the file."""
        self.reel.rewind()
        self._open()
        self.begun: Iterator[AudioFrame] = self._frames()

    def _look(self) -> None:
        """Decode a little: what headers say of rate, channels and start is often wrong."""
        self.begun = self._frames()
        frames = list(islice(self.begun, FEW))
        if not frames:
            self.close()
            if not self.lost:
                raise Absent("a sound track in which there is nothing")
            raise Refused("no sample can be decoded")
        self.begun, self.at_start, first = chain(frames, self.begun), True, frames[0]
        self.rate, self.channels = first.sample_rate, first.layout.nb_channels
        begin, shown = time_of(first) or Fraction(0), shown_from(self.container)
        self.zero = begin if shown is None else shown
        self.late = float(begin - self.zero)
        self.raw = self.container.format.name in RAW  # where rounded times add up
        self.tick = float((first.time_base or 0) * self.rate)  # samples
        self.offset = float(self.zero * self.rate)
        slack = CLOSE if self.tick <= 1 else JITTER
        self.slack = END if self.raw else slack * self.rate
        # From the second frame on they are equally long, mostly.
        self.second = round((begin - self.zero) * self.rate) + first.samples
        self.step = frames[-1].samples if len(frames) > 2 else 0

    def _frames(self) -> Iterator[AudioFrame]:
        """Decode packets, over those that are broken."""
        codec = self.stream.codec_context
        codec.flush_buffers()
        for packet in chain(self.reel.packets(), [None]):
            try:
                for frame in codec.decode(packet):
                    self.good += 1
                    yield frame
            except FFmpegError:
                self.lost, self.hole = self.lost + 1, True

    def _placed(self, first: int) -> Iterator[tuple[int, Samples]]:
        """Samples from one on, or from a little before, with their places."""
        for back in BACK:
            target = Fraction(first, self.rate) - Fraction(back)
            if target <= max(0.0, self.late):
                break
            self.at_start, self.lost, self.good = False, 0, 0
            frames = self._sought(target + self.zero)
            found = next(frames, None)
            if found and found[0] <= first:
                yield from chain([found], frames)
                return
        if not self.at_start:
            self._again()
            self.lost = self.good = 0
        self.at_start = False
        yield from self._timed(self.begun)

    def _sought(self, moment: Fraction) -> Iterator[tuple[int, Samples]]:
        """Samples from before a moment on; none where there is no way to it."""
        try:
            self.reel.seek(moment)
        except FFmpegError:
            return
        frames = self._frames()
        few = list(islice(frames, SOME))
        places = [place for frame in few if (place := self._place(frame)) is not None]
        if not few or len(places) < len(few):
            return
        # The first time stamp may be that of another frame, whose start was not seen.
        before = np.cumsum([0, *(frame.samples for frame in few[:-1])])
        due = self._snapped(round(float(np.median(places - before))))
        yield from self._timed(chain(few, frames), due)

    def _timed(
        self, frames: Iterable[AudioFrame], due: int | None = None
    ) -> Iterator[tuple[int, Samples]]:
        """Samples with their places: one after the other, over jumps in time as far apart."""
        gaps = SILENCE * self.rate
        for frame in frames:
            if frame.sample_rate != self.rate:
                self.lost, self.good, self.hole = self.lost + 1, self.good - 1, True
                continue
            place = self._place(frame)
            if due is None:
                due = min(place or 0, 0)
            gap = 0 if place is None else place - due
            if (CLOSE * self.rate if self.hole else self.slack) < gap <= gaps:
                due, gaps = self._snapped(due + gap), gaps - gap
            yield due, floats(frame)
            due += frame.samples
            self.hole = False

    def _place(self, frame: AudioFrame) -> int | None:
        """Number of its first sample, by its time stamp."""
        return None if frame.pts is None else round(frame.pts * self.tick - self.offset)

    def _snapped(self, place: int) -> int:
        """Place of a frame to the sample, where time stamps are rounded and frames equally long."""
        if not self.step or (self.tick <= 1 and not self.raw):
            return place
        near = self.second + round((place - self.second) / self.step) * self.step
        return near if self.raw or abs(near - place) <= self.tick else place
