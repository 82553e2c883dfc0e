"""The process that films are decoded in: what a film does to it, it does to nothing else."""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any, BinaryIO

from maskedae.datasets.films.describing import facts
from maskedae.datasets.films.film import Refused
from maskedae.datasets.films.keeping import Keeper
from maskedae.datasets.films.recording import record
from maskedae.stopping import SIGNALS

REQUESTS = 1000  # after which a process is replaced, in case a decoder leaks
FULL = 2**30  # bytes in memory after which it is, too
MOST = 2**33  # bytes that a film may claim at all
WORK: dict[str, Callable[[Any], object]] = {
    "clips": Keeper().clips,
    "both": lambda request: record(*request),
    "facts": lambda request: facts(*request),
}


def main(parent: int) -> None:
    """Answer requests, pickles through standard input and output, until there are no more."""
    for number in SIGNALS:  # the parent ends us in good order
        signal.signal(number, signal.SIG_IGN)
    follow(parent)
    limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    send(answers, None)  # all is imported: from here on, time is limited
    requests = 0
    while True:
        try:
            name, request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        requests += 1
        answer = attempt(WORK[name], request)
        send(answers, (answer, requests >= REQUESTS or memory() > FULL))


def attempt(work: Callable[[Any], object], request: object) -> object:
    """The result, or as Refused why there is none."""
    try:
        return work(request)
    except Refused as reason:
        return reason
    except MemoryError:
        return Refused("needs more memory than a film may")
    except Exception as error:  # ours, or a library's: named, and no end of a run
        return Refused(f"{type(error).__name__}: {error}")


def send(pipe: BinaryIO, answer: object) -> None:
    """Write a pickle whose arrays are not copied on the way."""
    pickle.dump(answer, pipe, protocol=5)
    pipe.flush()


def follow(parent: int) -> None:
    """Die with the parent, even in the middle of a film that never ends."""
    if sys.platform == "linux":
        import ctypes

        # PR_SET_PDEATHSIG: also where the thread ends that started us; then we are replaced.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    Thread(target=watch, args=(parent,), daemon=True).start()


def watch(parent: int) -> None:
    """End when another process has become the parent."""
    from time import sleep

    while os.name != "posix" or os.getppid() == parent:
        sleep(1.0)
    os._exit(1)


def limit_memory() -> None:
    """Let a film that wants too much have an error, and not the machine."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (MOST, hard))


def memory() -> int:
    """Bytes of this process in memory; 0 where that is not known."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
