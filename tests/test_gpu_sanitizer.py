"""compute-sanitizer on a real GPU: kernels that are wrong in four ways are each caught by name and line, and their right twins pass."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from gpu_bench import say

from pytest_gpuperf.counters import checker
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.testing import Example

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

_INI = "[pytest]\naddopts = -p no:benchmark -p no:hypothesispytest\n"
_KERNELS = """
    import numpy as np
    from numba import cuda

    @cuda.jit
    def out_of_bounds(dst, past):
        dst[cuda.grid(1) + past] = 1.0

    @cuda.jit
    def in_bounds(dst, past):
        i = cuda.grid(1)
        if i + past < dst.size:
            dst[i + past] = 1.0

    @cuda.jit(device=True)
    def store(dst, i):
        dst[i] = 1.0

    @cuda.jit
    def through_helper(dst, past):
        store(dst, cuda.grid(1) + past)

    @cuda.jit
    def race(dst):
        s = cuda.shared.array(256, "f4")
        i = cuda.threadIdx.x
        s[i] = i
        dst[i] = s[(i + 33) % 256]

    @cuda.jit
    def no_race(dst):
        s = cuda.shared.array(256, "f4")
        i = cuda.threadIdx.x
        s[i] = i
        cuda.syncthreads()
        dst[i] = s[(i + 33) % 256]

    @cuda.jit
    def add_one(dst, src):
        i = cuda.grid(1)
        dst[i] = src[i] + 1

    @cuda.jit
    def divergent_barrier(dst):
        i = cuda.threadIdx.x
        if i < 16:
            cuda.syncthreads()
        dst[i] = i

    @cuda.jit
    def even_barrier(dst):
        i = cuda.threadIdx.x
        cuda.syncthreads()
        dst[i] = i
    """
_TEXT = """
    import os
    import numpy as np
    import pytest
    from numba import cuda
    import kernels as k

    @pytest.fixture
    def array():
        return cuda.to_device(np.zeros(256, np.float32))

    def test_out_of_bounds(gpuperf, array):
        gpuperf.measure(lambda: k.out_of_bounds[1, 64](array, 1 << 20))

    @pytest.mark.gpuperf(time="<= 1 s")
    def test_in_bounds(gpuperf, array):
        gpuperf.measure(lambda: k.in_bounds[1, 64](array, 1 << 20))

    def test_through_helper(gpuperf, array):
        gpuperf.measure(lambda: k.through_helper[1, 32](array, 1 << 20))

    def test_race(gpuperf, array):
        gpuperf.measure(lambda: k.race[1, 256](array))

    def test_no_race(gpuperf, array):
        gpuperf.measure(lambda: k.no_race[1, 256](array), outputs=[array])

    def test_uninitialised(gpuperf, array):
        src = cuda.device_array(256, np.float32)
        gpuperf.measure(lambda: k.add_one[1, 256](array, src))

    def test_initialised(gpuperf, array):
        src = cuda.to_device(np.ones(256, np.float32))
        gpuperf.measure(lambda: k.add_one[1, 256](array, src), outputs=[array])
        gpuperf.identical(array, np.full(256, 2, np.float32))

    def test_divergent_barrier(gpuperf, array):
        gpuperf.measure(lambda: k.divergent_barrier[1, 64](array))

    def test_even_barrier(gpuperf, array):
        gpuperf.measure(lambda: k.even_barrier[1, 64](array))

    def test_dies(gpuperf, array):
        gpuperf.measure(lambda: k.even_barrier[1, 64](array))
        if os.environ.get("GPUPERF_CHILD"):
            os.abort()

    def test_last(gpuperf, array):
        gpuperf.measure(lambda: k.in_bounds[1, 64](array, 0))
    """
#: The line of kernels.py that starts with a text.
LINES = textwrap.dedent(_KERNELS).splitlines()


def line(text: str, after: str) -> int:
    start = next(number for number, one in enumerate(LINES) if one.startswith(f"def {after}("))
    return next(number for number in range(start, len(LINES)) if LINES[number].strip().startswith(text)) + 1


#: For every tool: its wrong cases with what the first finding is to name, and the right ones that stand beside them.
CAUGHT = {
    "memcheck": {
        "test_out_of_bounds": ("invalid __global__ write of size 4 bytes in out_of_bounds", line("dst[", "out_of_bounds")),
        "test_through_helper": ("invalid __global__ write of size 4 bytes in", line("dst[", "store")),
    },
    "racecheck": {"test_race": ("race reported between", line("s[i]", "race"))},
    "initcheck": {"test_uninitialised": ("uninitialized __global__ memory read of size 4 bytes in add_one", line("dst[", "add_one"))},
    "synccheck": {"test_divergent_barrier": ("barrier error detected: Divergent thread(s) in", line("cuda.syncthreads", "divergent_barrier"))},
}
RIGHT = ("test_in_bounds", "test_no_race", "test_initialised", "test_even_barrier", "test_last")


@pytest.fixture(scope="module")
def program() -> Path:
    found = checker.find()
    if found is None:
        pytest.skip("compute-sanitizer is not installed here")
    return found


@pytest.mark.parametrize("tool", CAUGHT)
def test_each_wrong_kernel_is_caught_by_name_and_its_right_twin_passes(tool, program, gpu_runtime):
    made = Example({"pytest.ini": _INI, "kernels.py": _KERNELS, "test_it.py": _TEXT})
    # An access to a wrong address ends the context of every tool but memcheck and initcheck: that costs the case, and another process checks the rest.
    done = made.run_pytest(f"--gpuperf-sanitize={tool}", "-v", timeout=400)
    say(f"{tool}: {next((one for one in done.stdout.splitlines() if 'compute-sanitizer' in one and ' clean' in one), done.stdout[-2000:])}")
    assert done.run is not None, done.stdout + done.stderr
    assert validate(done.run) == []
    assert done.run["problems"] == []
    verdicts = {case["function"]: case["verdict"] for case in done.run["cases"]}
    failed = {name for name, verdict in verdicts.items() if verdict == "FAIL"}
    assert failed == set(CAUGHT[tool]), done.stdout
    assert {name: verdicts[name] for name in RIGHT} == dict.fromkeys(RIGHT, "PASS"), done.stdout
    assert verdicts["test_dies"] == "UNMEASURED"
    assert done.returncode == 1
    (record,) = done.run["sanitizer"]
    found = {case["nodeid"].rpartition("::")[2]: case["findings"] for case in record["cases"]}
    assert record["outside"] == []
    assert record["version"]
    for name, (story, number) in CAUGHT[tool].items():
        first = found[name][0]
        say(f"  {name}: {tool}: {first['story']}")
        assert first["story"].startswith(story)
        places = [first["source"], *([str(first["other"]).rpartition(" ")[2]] if first["other"] else [])]
        assert f"kernels.py:{number}" in places, first
        if tool != "racecheck":
            assert any(frame.startswith(("<lambda> in test_it.py:", f"{name} in test_it.py:")) for frame in first["frames"]), first


def test_torch_tensors_are_checked_too(program, torch, gpu_runtime):
    text = """
        import torch
        from numba import cuda
        import kernels as k

        def test_out_of_bounds(gpuperf):
            tensor = torch.zeros(64, device="cuda")
            gpuperf.measure(lambda: k.out_of_bounds[1, 64](cuda.as_cuda_array(tensor), 1 << 24))

        def test_add(gpuperf):
            tensor = torch.zeros(64, device="cuda")
            gpuperf.measure(lambda: tensor.add_(1), inout=[tensor])
        """
    done = Example({"pytest.ini": _INI, "kernels.py": _KERNELS, "test_it.py": text}).run_pytest("--gpuperf-sanitize=memcheck", timeout=400)
    assert done.run is not None, done.stdout + done.stderr
    assert {case["function"]: case["verdict"] for case in done.run["cases"]} == {"test_out_of_bounds": "FAIL", "test_add": "PASS"}, done.stdout
    say(f"torch: {done.run['sanitizer'][0]['cases'][0]['findings'][0]['story']}")
