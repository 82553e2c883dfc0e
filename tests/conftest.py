"""What all tests share."""

from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

torch.set_num_threads(1)  # tiny models: two threads only wait for each other

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def fresh_accelerator():
    """Let no test find the device, precision or processes of another."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def shared():
    """Small real data sets that lie beside the checkout on a developer's machine."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder of real data that is not part of the project")
    return SHARED


@pytest.fixture
def tiny_clips(tiny):
    """The same for models of clips."""
    return {**tiny, "size": (16, 32, 32), "patch": (2, 8, 8)}


@pytest.fixture
def tiny_sounds(tiny):
    """The same for models of sounds: a grid of 8 slots and 4 bands."""
    return {**tiny, "size": (64, 32), "decoder_depth": 2}


@pytest.fixture
def tiny():
    """Overrides that make any MAE small."""
    return {
        "size": (32, 32),
        "patch": (8, 8),
        "width": 32,
        "depth": 2,
        "heads": 4,
        "decoder_width": 16,
        "decoder_depth": 1,
        "decoder_heads": 2,
    }
