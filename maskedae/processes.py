"""The processes of a run: how long they wait for each other, and what each has of its machine."""

import os
from datetime import timedelta

import torch
from accelerate import PartialState

# One may read, draw or save while the others wait; PyTorch would end them after ten minutes.
PATIENCE = timedelta(hours=3)


def make_state() -> PartialState:
    """Which process of how many one is, and on which device."""
    return PartialState(cpu=not torch.accelerator.is_available(), timeout=PATIENCE)


def cores_each(processes: int) -> int:
    """The cores that each of so many processes has of its machine, one at least."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))  # torchrun's word for this machine
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(cores // here, 1)


def readers(state: PartialState) -> int:
    """Processes that read data for one that only looks at it.

    Where a GPU computes, the cores are free to read.
    """
    return cores_each(state.num_processes) if state.device.type != "cpu" else 1
