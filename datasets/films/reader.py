"""Films decoded in a process that can be killed: one that hangs or crashes costs only itself."""

import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from threading import Timer
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from maskedae.data import BadSample
from maskedae.datasets.films.describing import Facts
from maskedae.datasets.films.film import FRAME_RATE, Refused
from maskedae.datasets.films.films import Decoder
from maskedae.datasets.films.moments import Moments
from maskedae.datasets.films.reading import Frames, Order
from maskedae.datasets.films.recording import Listening, Recording

START = "import sys; sys.path[:] = {path!r}; from {module} import main; main({parent})"
MODULE = "maskedae.datasets.films.child"


class Reader:
    """Reads films, each within `limit` seconds; the process starts where and when it is needed.

    The frame rate is that of folders of pictures, which do not say. A reader may be forked and
    pickled, but at a time serves one thread.
    """

    def __init__(
        self, decoder: Decoder = "auto", limit: float = 60.0, frame_rate: float = FRAME_RATE
    ) -> None:
        if not frame_rate > 0:
            raise ValueError(f"a frame rate is some frames per second, not {frame_rate:g}")
        self.decoder, self.limit, self.frame_rate = decoder, limit, frame_rate
        self.child: Child | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"child": None}

    def read(
        self,
        path: str,
        moments: Moments,
        chances: NDArray[np.float64] | None = None,
        views: int = 1,
        window: tuple[float, float] | None = None,
        short_side: int | None = None,
    ) -> Frames:
        """Decode clips, as many as chances (V, T), or this many views. Raises BadSample."""
        how = (self.decoder, self.frame_rate)
        frames = self._ask("clips", Order(path, moments, chances, views, window, short_side, *how))
        assert isinstance(frames, Frames)
        return frames

    def record(self, order: Order, listening: Listening | None) -> Recording:
        """Decode clips and, if it is wanted, the sound around them. Raises BadSample."""
        order = replace(order, decoder=self.decoder, frame_rate=self.frame_rate)
        order = replace(order, track=listening is not None)
        recording = self._ask("both", (order, listening))
        assert isinstance(recording, Recording)
        return recording

    def facts(self, path: str) -> Facts:
        """Say what a film is. Raises BadSample."""
        found = self._ask("facts", (path, self.frame_rate))
        assert isinstance(found, Facts)
        return found

    def close(self) -> None:
        """End the process; the next film starts another."""
        if self.child and self.child.owner == os.getpid():
            self.child.end()
        self.child = None

    def _ask(self, work: str, request: object) -> object:
        child = self.child
        if child is None or child.owner != os.getpid() or child.process.poll() is not None:
            self.child = child = Child()
        try:
            answer, tired = child.ask((work, request), self.limit)
        except BaseException:  # an interrupt, too: the answer to it would be taken for the next
            self.close()
            raise
        if tired:
            self.close()
        if isinstance(answer, Refused):
            raise BadSample(str(answer))
        return answer


class Child:
    """A process that decodes one film after the other."""

    def __init__(self) -> None:
        self.owner, self.late = os.getpid(), False
        code = START.format(path=sys.path, module=MODULE, parent=self.owner)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdin and self.process.stdout
        self.requests, self.answers = self.process.stdin, self.process.stdout
        enlarge(self.answers.fileno())
        self.end = finalize(self, end, self.process, self.owner)
        try:
            pickle.load(self.answers)
        except EOFError:
            raise ChildProcessError(f"the process for films {self.fate()} at its start") from None

    def ask(self, request: object, limit: float) -> tuple[object, bool]:
        """Have something done: the answer, and whether the process had better be replaced."""
        timer = Timer(limit, self._stop)
        timer.daemon = True
        timer.start()
        try:
            pickle.dump(request, self.requests)
            self.requests.flush()
            answer, tired = pickle.load(self.answers)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            if self.late:
                raise BadSample(f"took longer than {limit:g} s to decode") from error
            raise BadSample(f"the process that decoded it {self.fate()}") from error
        finally:
            timer.cancel()
        return answer, tired or self.late  # killed as it answered

    def fate(self) -> str:
        """Say how the process ended by itself."""
        code = self.process.wait()
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def _stop(self) -> None:
        self.late = True
        self.process.kill()


def end(process: subprocess.Popen[bytes], owner: int) -> None:
    """Kill the process, wherever it is, unless it belongs to the one that we were forked from."""
    if owner == os.getpid():
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what was on the way to a dead process
            pipe.close() if pipe else None


def enlarge(pipe: int) -> None:
    """Let a pipe hold a whole clip, where it can."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a user may have so much in pipes, and no more
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 2**20)
