"""Whole sessions under a real ncu: files, a command line, and the counters that came into the run file."""

from __future__ import annotations

import os
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.testing import Example

if TYPE_CHECKING:
    from pytest_gpuperf.testing.example import Result

#: An exact count: a warp for each 32 threads of the grid.
WARPS = "sm__warps_launched.sum"
WRITE, READ = "dram__bytes_write.sum", "dram__bytes_read.sum"

_INI = "[pytest]\naddopts = -p no:benchmark -p no:hypothesispytest --gpuperf --gpuperf-limit=0.05\n"
_TIMEOUT = 240
#: What every example's tests may use: `fill[blocks, threads](array, value)`, `copy[blocks, threads](source, target)`, `wild[1, 1](array)`, which faults.
KERNELS = """
    from numba import cuda

    @cuda.jit
    def fill(array, value):
        index = cuda.grid(1)
        if index < array.size:
            array[index] = value

    @cuda.jit
    def copy(source, target):
        index = cuda.grid(1)
        if index < source.size:
            target[index] = source[index]

    @cuda.jit
    def wild(array):
        array[1 << 40] = 1
    """
CONFTEST = """
    import os
    os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"
    import numpy as np
    import pytest
    from numba import cuda

    @pytest.fixture
    def array():
        return cuda.to_device(np.zeros(1 << 16, np.float32))
    """
HEAD = """\
import os, pathlib, threading
import numpy as np
import pytest
from numba import cuda
from kernels_here import copy, fill, wild
from pytest_gpuperf import *

CHILD = os.environ.get("GPUPERF_CHILD") == "1"
WARPS, WRITE, READ = "sm__warps_launched.sum", "dram__bytes_write.sum", "dram__bytes_read.sum"
counted = pytest.mark.gpuperf(counters=[WARPS])

"""


def find_ncu() -> str:
    """Return the path of ncu; skips where this machine has none."""
    roots = [root for root in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if root]
    found = shutil.which("ncu", path=os.pathsep.join([os.environ.get("PATH", ""), *(f"{root}/bin" for root in roots)]))
    if found is None:
        pytest.skip("no ncu on this machine")
    return found


def example(text: str, **files: str) -> Example:
    """Make a folder of one test file with our kernels."""
    return Example({"pytest.ini": _INI, "conftest.py": CONFTEST, "kernels_here.py": KERNELS, "test_it.py": HEAD + textwrap.dedent(text)} | files)


def run(made: Example, *options: str, ncu: str = "auto", timeout: float = _TIMEOUT, env: dict[str, str] | None = None) -> Result:
    """Run the session of an example; its run file must be sound, whatever its outcome."""
    done = made.run_pytest(f"--gpuperf-ncu={ncu}", "-rA", *options, timeout=timeout, env={"COLUMNS": "240", **(env or {})})
    assert done.run is not None, done.stdout + done.stderr
    assert validate(done.run) == []
    assert done.run["problems"] == []
    return done


def cases(done: Result) -> dict[str, dict[str, Any]]:
    """Return the records of a session's cases by the name of their function, with its parameters."""
    return {one["nodeid"].rpartition("::")[2]: one for one in (done.run or {})["cases"]}


def measured(case: dict[str, Any], name: str = "main") -> dict[str, Any]:
    """Return a measurement of a case."""
    return next(one for one in case["measurements"] if one["name"] == name)


def number(case: dict[str, Any], counter: str = WARPS, name: str = "main") -> float | None:
    """Return a counter of a measurement of a case."""
    found: float | None = measured(case, name)["counters"][counter]["number"]
    return found


def why(case: dict[str, Any], counter: str = WARPS, name: str = "main") -> str:
    """Return the code of the reason for which a counter has no number."""
    reason = measured(case, name)["counters"][counter]["reason"]
    return reason["code"] if reason else ""
