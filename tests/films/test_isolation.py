import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402

from maskedae.data import BadSample  # noqa: E402
from maskedae.datasets.films import reader as module  # noqa: E402
from maskedae.datasets.films.moments import Moments  # noqa: E402
from maskedae.datasets.films.reader import Reader  # noqa: E402

# A process whose work is what a test needs: to hang, to crash, to eat.
TROUBLE = """import sys; sys.path[:] = {path!r}
import ctypes, time
import numpy as np
from {module} import WORK, main
WORK["hang"] = lambda seconds: ctypes.PyDLL(None).usleep(int(seconds * 1e6))
WORK["crash"] = lambda number: __import__("os").kill(__import__("os").getpid(), number)
WORK["eat"] = lambda size: np.ones(size, np.uint8).shape
WORK["grow"] = lambda size: globals().setdefault("kept", np.ones(size, np.uint8)).shape
WORK["say"] = lambda text: print(text)
WORK["echo"] = lambda value: value
main({parent})
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return numbered.write(tmp_path_factory.mktemp("films") / "film.mp4", frames=100, g=12, bf=3)


@pytest.fixture
def reader():
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture
def trouble(reader, monkeypatch):
    monkeypatch.setattr(module, "START", TROUBLE)
    return reader


def test_a_film_that_hangs_costs_itself(trouble):
    trouble._ask("echo", 1)
    trouble.limit = 0.3
    start = time.monotonic()
    with pytest.raises(BadSample, match="took longer than 0.3 s to decode"):
        trouble._ask("hang", 60)  # without ever giving Python a chance
    assert time.monotonic() - start < 5
    trouble.limit = 60
    assert trouble._ask("echo", 1) == 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_film_that_crashes_costs_itself(trouble, number):
    with pytest.raises(BadSample, match=f"the process that decoded it died of {number.name}"):
        trouble._ask("crash", int(number))
    assert trouble._ask("echo", 1) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_a_film_that_eats_memory_costs_itself(trouble):
    with pytest.raises(BadSample, match="more memory"):
        trouble._ask("eat", 2**34)
    first = trouble.child.process.pid
    trouble._ask("grow", 2**30)
    assert trouble.child is None  # replaced, because it has grown
    trouble._ask("echo", 1)
    assert trouble.child.process.pid != first


def test_what_is_printed_is_no_answer(trouble, capfd):
    assert trouble._ask("say", "hello") is None
    assert trouble._ask("echo", 2) == 2


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_have_processes_of_their_own(reader, film, method):
    reader.facts(film)
    mine = reader.child.process.pid
    loader = DataLoader(
        numbered.Films(film, reader), 1, num_workers=2, multiprocessing_context=method
    )
    rows = torch.cat(list(loader))
    assert (rows[:, 1] - rows[:, 0]).tolist() == list(range(1, 7))
    children = set(rows[:, 2].tolist())
    assert len(children) == 2 and mine not in children
    assert reader.facts(film).frames == 100 and reader.child.process.pid == mine
    until(lambda: not any(alive(child) for child in children))


def test_it_dies_with_the_parent_even_when_it_hangs(tmp_path):
    code = f"""
import maskedae.datasets.films.reader as module
from threading import Thread
import os, time
module.START = {TROUBLE!r}
reader = module.Reader()
reader._ask("echo", 1)
print(reader.child.process.pid, flush=True)
Thread(target=reader._ask, args=("hang", 60)).start()
time.sleep(0.2)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9
    until(lambda: not alive(int(done.stdout)))


def test_it_ends_in_silence(film):
    code = f"""
from maskedae.datasets.films.reader import Reader
reader = Reader()
print(reader.facts({film!r}).frames, reader.child.process.pid)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert not done.stderr
    frames, child = map(int, done.stdout.split())
    assert frames == 100 and not alive(child)


def test_it_starts_without_torch():
    code = "import sys, maskedae.datasets.films.child, maskedae.datasets.films.with_pyav as _; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_over_thousands_of_films(reader, tmp_path):
    def held():
        place = Path(f"/proc/{reader.child.process.pid}")
        pages = int((place / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(list((place / "fd").iterdir()))

    films = [numbered.write(tmp_path / f"{name}.mp4", frames=2) for name in "ab"]
    moments, seen, sizes = Moments(1), set(), []
    for number in range(1250):  # each opens two: what is asked twice in a row stays open
        reader.facts(films[0])
        reader.read(films[number % 2], moments)
        if reader.child:
            seen.add(reader.child.process.pid)
            if number in (100, 490):
                sizes.append(held())
    assert len(seen) == 3  # a new one after each thousand
    assert sizes[1][0] - sizes[0][0] < 5 and sizes[1][1] == sizes[0][1]


def alive(process):
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat")
        return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except ProcessLookupError:
        return False


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
