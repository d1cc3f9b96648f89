"""Where the suites run: on the GPU, or in numba's simulator where there is none. Decided before anything imports numba."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from suites.place import Place


def _devices() -> int:
    """Ask the driver, not numba, how many GPUs this process may use; 0 where there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


if _devices() == 0 and os.environ.get("NUMBA_ENABLE_CUDASIM", "0") in ("", "0"):
    if "numba" in sys.modules:
        raise pytest.UsageError("suites: no GPU here, and numba was imported before suites/conftest.py could turn its simulator on")
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
# Grids here are as small as the edge cases; numba would warn of each.
os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"

hypothesis.settings.register_profile(
    "suites", deadline=None, derandomize=True, database=None, print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
hypothesis.settings.load_profile("suites")


@pytest.fixture(scope="session")
def place() -> Place:
    """Give the place where arrays of this run live."""
    from suites.place import Place

    return Place()


@pytest.fixture
def measuring(request: pytest.FixtureRequest) -> None:
    """Skip what needs more than the one call that `measure` makes without --gpuperf."""
    if not request.config.getoption("--gpuperf"):
        pytest.skip("needs --gpuperf: measure makes one call without it")
