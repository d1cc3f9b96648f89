"""A kernel that never ends, on a real GPU: --gpuperf-timeout ends the process, and the records are there. (It gives up by itself after 20 s.)"""

from __future__ import annotations

import signal
import textwrap
import time

import pytest
from gpu_bench import say

from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.testing import Example

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

_INI = "[pytest]\naddopts = -p no:benchmark -p no:hypothesispytest --gpuperf --gpuperf-limit=0.1\n"
_CONFTEST = """
    import os
    os.environ["NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS"] = "0"
    import numpy as np
    import pytest
    from llvmlite import ir
    from numba import cuda
    from numba.core import types
    from numba.cuda.extending import intrinsic

    @intrinsic
    def globaltimer(typing_context):
        def lower(context, builder, signature, args):
            asm = ir.InlineAsm(ir.FunctionType(ir.IntType(64), []), "mov.u64 $0, %globaltimer;", "=l", side_effect=True)
            return builder.call(asm, [])

        return types.int64(), lower

    @cuda.jit
    def endless(flag):
        start = globaltimer()
        while cuda.atomic.add(flag, 0, 0) == 0 and globaltimer() - start < 20_000_000_000:
            pass

    @cuda.jit
    def increment(array):
        index = cuda.grid(1)
        if index < array.size:
            array[index] += 1

    @pytest.fixture
    def array():
        return cuda.to_device(np.zeros(1 << 20, np.int32))

    @pytest.fixture
    def flag():
        return cuda.to_device(np.zeros(1, np.int32))
    """
_TEXT = """
    import pytest
    from conftest import endless, increment

    @pytest.mark.gpuperf(time="<= 100 us")
    @pytest.mark.parametrize("n", range(2))
    def test_before(gpuperf, array, n):
        gpuperf.measure(increment[4096, 256], array, inout=[array])

    @pytest.mark.gpuperf(time="<= 100 us")
    def test_hangs(gpuperf, array, flag):
        gpuperf.measure(increment[4096, 256], array, inout=[array])
        gpuperf.measure(endless[1, 1], flag, name="endless", cache="warm")

    @pytest.mark.gpuperf(time="<= 100 us")
    @pytest.mark.parametrize("n", range(2))
    def test_after(gpuperf, array, n):
        gpuperf.measure(increment[4096, 256], array, inout=[array])
    """


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "two workers"])
def test_a_kernel_that_never_ends_costs_its_case_alone(gpu_runtime, workers):
    made = Example({"pytest.ini": _INI, "conftest.py": textwrap.dedent(_CONFTEST), "test_it.py": textwrap.dedent(_TEXT)})
    began = time.perf_counter()
    done = made.run_pytest("--gpuperf-timeout=8", *workers, timeout=100)
    say(f"{workers}: ended with {done.returncode} after {time.perf_counter() - began:.1f} s")
    say(done.stdout[-1500:] + done.stderr[-3000:])
    assert done.returncode == (1 if workers else -(signal.SIGRTMAX - 3))
    assert "gpuperf: FAIL hang: test_it.py::test_hangs has not ended within 8 s" in done.stdout + done.stderr
    assert done.report is not None
    assert validate(done.run) == []
    assert done.run["problems"] == []
    verdicts = {one["nodeid"].rpartition("::")[2]: one["verdict"] for one in done.run["cases"]}
    after = {"test_after[0]": "PASS", "test_after[1]": "PASS"} if workers else {}
    assert verdicts == {"test_before[0]": "PASS", "test_before[1]": "PASS", "test_hangs": "FAIL"} | after
    hangs = next(one for one in done.run["cases"] if one["function"] == "test_hangs")
    assert hangs["reasons"][0]["code"] == "hang"
    (main,) = hangs["measurements"]
    assert main["name"] == "main"
    assert main["values"]["time"]["number"] > 0
