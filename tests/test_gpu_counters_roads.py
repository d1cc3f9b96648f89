"""Counters on a real GPU by every road: beside a hand-written command line of ncu, over two workers, stored ones, a whole region at once."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import textwrap

import pytest
from counted_sessions import KERNELS, READ, WARPS, WRITE, cases, example, find_ncu, measured, number, run, why
from gpu_bench import say

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

SECTORS = "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum"
L2_WRITE = "lts__t_sectors_op_write.sum"
METRICS = (WRITE, READ, WARPS, SECTORS, L2_WRITE)
BIG = 1 << 27


@pytest.fixture(scope="module", autouse=True)
def ncu(gpu_runtime):
    """The path of ncu; skips where there is no GPU, or no ncu."""
    return find_ncu()


BY_HAND = (
    textwrap.dedent(KERNELS)
    + f"""
import numpy as np
source, target = cuda.to_device(np.zeros({BIG}, np.float32)), cuda.device_array({BIG}, np.float32)
for _ in range(3):
    copy[{BIG} // 256, 256](source, target)
cuda.synchronize()
"""
)
OURS = f"""
@pytest.mark.gpuperf(counters={list(METRICS)!r})
def test_it(gpuperf):
    source, target = cuda.to_device(np.zeros({BIG}, np.float32)), cuda.device_array({BIG}, np.float32)
    gpuperf.measure(lambda: copy[{BIG} // 256, 256](source, target), outputs=[target])
"""


def by_hand(ncu, folder):
    """Profile the third launch of a script as a user would who writes the command line; numbers by metric."""
    script = folder / "by_hand.py"
    script.write_text(BY_HAND, encoding="utf-8")
    command = [ncu, "--clock-control", "none", "--cache-control", "all", "--kernel-name", "regex:copy", "--launch-skip", "2", "--launch-count", "1"]
    command += ["--csv", "--page", "raw", "--print-units", "base", "--metrics", ",".join(METRICS), sys.executable, str(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    lines = done.stdout[done.stdout.index('"ID"') :]
    _, values = csv.DictReader(io.StringIO(lines))
    return {name: float(values[name].replace(",", "")) for name in METRICS}


@pytest.fixture(scope="module")
def copied():
    return cases(run(example(OURS)))["test_it"]


def test_numbers_are_those_of_a_command_line_written_by_hand(ncu, copied, tmp_path):
    theirs = by_hand(ncu, tmp_path)
    say("; ".join(f"{name}: {number(copied, name):.0f}, by hand {theirs[name]:.0f}" for name in METRICS))
    for name in METRICS:
        assert number(copied, name) == pytest.approx(theirs[name], rel=0.02), name
    assert number(copied) == theirs[WARPS] == BIG // 32


def test_times_are_not_of_the_profiled_run(copied):
    timed = measured(copied)["values"]["time"]
    assert timed["source"] == "device"
    (kernel,) = measured(copied)["profiled"]["kernels"]
    assert kernel["time_s"] != timed["number"]


MANY = """
@pytest.mark.parametrize("blocks", [10, 20, 30, 40])
@counted
def test_many(gpuperf, array, blocks):
    assert gpuperf.measure(lambda: fill[blocks, 64](array, 1.0), inout=[array])[WARPS] == 2 * blocks
"""


def test_two_workers_read_what_one_pass_counted():
    done = run(example(MANY), "-n", "2")
    assert done.outcomes() == {"passed": 4}, done.stdout
    assert done.run["run"]["workers"] == ["gw0", "gw1"]
    assert [number(case) for case in cases(done).values()] == [20, 40, 60, 80]
    assert (done.run["counters"]["starts"], done.run["counters"]["cases"]) == (1, 4)


def test_stored_counters_are_those_of_the_same_code():
    made = example(MANY)
    first = run(made)
    assert first.run["counters"]["starts"] == 1
    second = run(made, ncu="cached")
    assert second.outcomes() == {"passed": 4}, second.stdout
    assert second.run["counters"]["starts"] == 0
    for name, case in cases(second).items():
        assert number(case) == number(cases(first)[name])
        assert measured(case)["profiled"]["age_s"] > 0
    # Another kernel is not what was counted: where its source says so it is profiled again,
    made.write({"kernels_here.py": KERNELS.replace("array[index] = value", "array[index] = 2 * value + FACTOR").replace("from numba", "import os\n    FACTOR = int(os.environ.get('FACTOR', '1'))\n    from numba")})
    third = run(made, ncu="cached")
    assert third.run["counters"]["starts"] == 1
    assert third.outcomes() == {"passed": 4}, third.stdout
    assert run(made, ncu="cached").run["counters"]["starts"] == 0
    # and where only the compiled code does, its counters are not taken.
    fourth = run(made, ncu="cached", env={"FACTOR": "3"})
    assert fourth.run["counters"]["starts"] == 0
    assert {why(case) for case in cases(fourth).values()} == {"code-changed"}
    assert fourth.outcomes() == {"unmeasured": 4}, fourth.stdout


#: One range for all kernels of a body, the whole session repeated for each pass.
APP_RANGE = "--gpuperf-ncu-replay=app-range"


def test_a_whole_region_at_once():
    made = example("""
        @counted
        def test_region(gpuperf, array):
            def body():
                fill[10, 64](array, 1.0)
                fill[20, 32](array, 2.0)
            assert gpuperf.measure(body, inout=[array])[WARPS] == 40
        """)
    done = run(made, APP_RANGE)
    found = cases(done)["test_region"]
    assert (found["verdict"], number(found)) == ("PASS", 40), found
    assert done.run["counters"]["replay"] == "app-range"
    assert len(measured(found)["profiled"]["kernels"]) == 1
