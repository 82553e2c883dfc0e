"""Work in processes that can be killed: what hangs or crashes costs one item, not all."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any, Generic, NamedTuple, TypeVar

import torch

T = TypeVar("T")
AHEAD = 2  # items in front of a process: while one is worked on, the next is there
TICK = 1.0  # seconds between two looks at the clock; whatever is longer, we were suspended


class Failure(NamedTuple):
    """An item that its process did not survive, and why."""

    reason: str


class Worker(Generic[T]):
    """A process that works on one item after the other."""

    def __init__(self, context: Any, work: Callable[[str], T], imports: Sequence[str]) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, work, imports), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = False
        self.pending: deque[int] = deque()
        self.deadline = float("inf")

    def give(self, index: int, item: str) -> None:
        """Queue an item up; if the process is dead, that shows when its answer is read."""
        self.pending.append(index)
        with suppress(OSError):
            self.pipe.send(item)

    def fate(self) -> str:
        """Say how the process ended by itself."""
        self.process.join()
        code = self.process.exitcode
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def end(self) -> None:
        """Kill the process, wherever it is."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def serve(pipe: Connection, work: Callable[[str], object], imports: Sequence[str]) -> None:
    """Be a worker, for as long as there is somebody to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us in good order
    torch.set_num_threads(1)
    Thread(target=follow_parent, daemon=True).start()
    for name in imports:
        import_module(name)  # before the first item, whose time is limited
    with suppress(EOFError, OSError):
        pipe.send(None)
        while True:
            pipe.send(work(pipe.recv()))


def follow_parent() -> None:
    """Die with the parent, even in the middle of an item that never ends."""
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os._exit(1)


def clean_start(imports: Sequence[str]) -> Any:
    """A context that forks from a clean process: threads and CUDA do not survive a fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *imports])
    return context


class Supervisor(Generic[T]):
    """Spreads items over workers, each item with a time limit in seconds.

    What `imports` names is imported once for all workers.
    """

    def __init__(
        self,
        work: Callable[[str], T],
        items: Sequence[str],
        workers: int,
        limit: float,
        imports: Sequence[str] = (),
    ) -> None:
        self.work, self.items, self.limit = work, items, limit
        self.context, self.imports = clean_start(imports), imports
        self.left = deque(range(len(items)))
        self.workers: list[Worker[T]] = []
        self.number = min(workers, len(items))
        self.clock, self.looked = 0.0, time.monotonic()

    def __iter__(self) -> Generator[tuple[int, T | Failure], None, None]:
        """Number and result of every item, in the order in which they are done."""
        try:
            for _ in range(self.number):
                self.workers.append(self._start())
            while self.left or any(worker.pending for worker in self.workers):
                yield from self._round()
        finally:
            for worker in self.workers:
                worker.end()

    def _start(self) -> Worker[T]:
        return Worker(self.context, self.work, self.imports)

    def _round(self) -> Iterator[tuple[int, T | Failure]]:
        """Wait until something happens, and attend to it."""
        soonest = min(worker.deadline for worker in self.workers)
        pipes = [worker.pipe for worker in self.workers]
        answered = wait(pipes, timeout=min(TICK, max(0.0, soonest - self.clock)))
        now = time.monotonic()
        self.clock, self.looked = self.clock + min(now - self.looked, TICK), now
        for worker in list(self.workers):
            if worker.pipe in answered:
                yield from self._receive(worker)
            elif self.clock >= worker.deadline:
                yield from self._replace(worker, f"took longer than {self.limit:g} s")

    def _receive(self, worker: Worker[T]) -> Iterator[tuple[int, T | Failure]]:
        """Take a worker's answer, and give it more to do."""
        try:
            result = worker.pipe.recv()
        except (EOFError, OSError):
            if not worker.ready:
                raise ChildProcessError(f"a worker {worker.fate()} before its work") from None
            yield from self._replace(worker, f"the process that read it {worker.fate()}")
            return
        if worker.ready:
            yield worker.pending.popleft(), result
        worker.ready = True
        while self.left and len(worker.pending) < AHEAD:
            index = self.left.popleft()
            worker.give(index, self.items[index])
        worker.deadline = self.clock + self.limit if worker.pending else float("inf")

    def _replace(self, worker: Worker[T], reason: str) -> Iterator[tuple[int, Failure]]:
        """Start a new worker in the place of one that is lost with what it worked on."""
        worker.end()
        self.workers[self.workers.index(worker)] = self._start()
        self.left.extendleft(reversed(list(worker.pending)[1:]))
        if worker.pending:
            yield worker.pending[0], Failure(reason)
