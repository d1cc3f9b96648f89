"""The fixtures of the examples: `device` has arrays and kernels, real ones where there is a GPU."""

from __future__ import annotations

import os

import pytest
from devices import device_for, fake_backend

# Each of them fails on purpose: name the folder to see what it says, as in `pytest --gpuperf examples/failing`.
collect_ignore = ["failing"]
# Some examples launch tiny grids, and numba would warn of each.
os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"

FAKE = fake_backend()
MADE_UP = "examples: no GPU here, so a FakeDevice stands in: kernels do their work in NumPy, and all times are made up"


def pytest_gpuperf_backend():
    """Give the plugin a fake device where there is no GPU; None lets it take the GPU."""
    return FAKE


def pytest_report_header():
    """Say it where a fake device stands in: no figure of such a run is one of a GPU."""
    return MADE_UP if FAKE is not None else None


def pytest_terminal_summary(terminalreporter):
    """Say it at the end too: -q has no header."""
    if FAKE is not None:
        terminalreporter.write_line(MADE_UP, yellow=True)


@pytest.fixture
def device(gpuperf):
    """Give arrays and kernels: `device.random(rows)`, `device.empty(rows)`, `device.double(x, out)`."""
    return device_for(gpuperf, FAKE)


@pytest.fixture
def gpu():
    """Skip where there is no GPU: for examples about a library that launches its own kernels."""
    if FAKE is not None:
        pytest.skip("needs a GPU: a fake device runs no kernels of a library")
