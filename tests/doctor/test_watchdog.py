import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskedae.doctor.watchdog import Failure, Supervisor

WORK = """
import os, signal, sys, time

def work(item):
    if item == "sleep":
        time.sleep(1000)
    if item == "nap":
        time.sleep(1)
    if item == "spin":
        while True:
            pass
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "exit":
        os._exit(3)
    if item.startswith("/"):
        with open(item, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(1000)
    return item.upper()
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    # Workers import what they are to do: by a name, from a place that they know.
    (tmp_path / "kinds_of_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("kinds_of_work").work
    sys.modules.pop("kinds_of_work")


def test_every_item_has_its_result(work):
    items = [f"item {number}" for number in range(50)]
    results = dict(Supervisor(work, items, workers=2, limit=30))
    assert results == {number: item.upper() for number, item in enumerate(items)}


def test_what_hangs_or_crashes_costs_itself_only(work):
    items = ["a", "sleep", "b", "crash", "spin", "c", "exit", "d", "e"]
    start = time.monotonic()
    results = dict(Supervisor(work, items, workers=2, limit=1))
    assert time.monotonic() - start < 20
    assert [results.pop(number) for number in (0, 2, 5, 7, 8)] == ["A", "B", "C", "D", "E"]
    assert results == {
        1: Failure("took longer than 1 s"),
        3: Failure("the process that read it died of SIGSEGV"),
        4: Failure("took longer than 1 s"),
        6: Failure("the process that read it ended with status 3"),
    }


def test_time_in_which_all_are_suspended_does_not_count(work, monkeypatch):
    real, start = time.monotonic, time.monotonic()
    late = {False: 0.0, True: 1000.0}  # as after Ctrl-Z, and fg
    monkeypatch.setattr(time, "monotonic", lambda: real() + late[real() > start + 0.5])
    assert list(Supervisor(work, ["nap"], workers=1, limit=10)) == [(0, "NAP")]


def test_imports_do_not_count(work, tmp_path):
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1)")
    (tmp_path / "kinds_of_work.py").write_text("def work(item):\n    import slow_to_import")
    results = Supervisor(work, ["a"], workers=1, limit=0.7, imports=["slow_to_import"])
    assert list(results) == [(0, None)]


def test_nothing_to_do(work):
    assert list(Supervisor(work, [], workers=2, limit=1)) == []


def test_workers_that_cannot_start(work, tmp_path):
    (tmp_path / "kinds_of_work.py").write_text("raise SystemExit(7)")
    with pytest.raises(ChildProcessError, match="a worker ended with status . before its work"):
        list(Supervisor(work, ["a"], workers=1, limit=1))


def test_workers_die_with_their_parent(work, tmp_path):
    note = tmp_path / "pid"
    script = tmp_path / "parent.py"
    script.write_text(
        "from kinds_of_work import work\n"
        "from maskedae.doctor.watchdog import Supervisor\n"
        "if __name__ == '__main__':\n"
        f"    list(Supervisor(work, [{str(note)!r}], workers=1, limit=1000))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        assert soon(lambda: note.exists() and note.read_text())
    finally:
        parent.kill()
        parent.wait()
    assert soon(lambda: not alive(int(note.read_text())))


def soon(happens, seconds=60):
    end = time.monotonic() + seconds
    while not happens() and time.monotonic() < end:
        time.sleep(0.05)
    return happens()


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # a zombie awaits its parent
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")
