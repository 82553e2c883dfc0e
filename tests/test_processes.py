"""Processes of a run: their patience, their share of the machine, and what makes them part."""

import os
import signal

import pytest
import torch

from maskedae import stepping
from maskedae.loading import leave_signals_to_main
from maskedae.processes import PATIENCE, cores_each
from maskedae.settings import Train
from maskedae.stepping import make_accelerator
from maskedae.stopping import SIGNALS


def settings(**changed):
    return Train(epochs=1, batch_size=2, base_lr=0.1, warmup_epochs=0, device="cpu", **changed)


def test_processes_wait_longer_than_the_usual_ten_minutes(tmp_path):
    assert make_accelerator(settings(), tmp_path).init_handler.timeout == PATIENCE


@pytest.mark.parametrize(("processes", "alone"), [("1", True), ("2", False)])
def test_one_process_compiles_one_graph(processes, alone, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.setattr(stepping, "Accelerator", lambda **given: given)
    given = make_accelerator(settings(compile=True), tmp_path)
    assert given["dynamo_plugin"].fullgraph is alone


def test_cores_are_shared_by_the_processes_of_one_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(96)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert [cores_each(count) for count in (1, 8, 64, 1000)] == [96, 12, 1, 1]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert cores_each(64) == 12


def test_macos_knows_no_affinity(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert cores_each(2) == 4


def test_workers_leave_all_signals_to_their_parent():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    threads = torch.get_num_threads()
    try:
        leave_signals_to_main()
        assert all(signal.getsignal(number) is signal.SIG_IGN for number in SIGNALS)
    finally:
        torch.set_num_threads(threads)
        for number, handler in before.items():
            signal.signal(number, handler)
