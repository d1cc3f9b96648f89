"""Counters on a real GPU when something breaks: one broken case never costs the others theirs, and the broken one says why."""

from __future__ import annotations

import pytest
from counted_sessions import WARPS, cases, example, find_ncu, measured, number, run, why
from gpu_bench import say

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def _on_a_gpu(gpu_runtime):
    """Skip where there is no GPU, or no ncu."""
    find_ncu()


HEALTHY = """
@counted
def test_{name}(gpuperf, array):
    assert gpuperf.measure(lambda: fill[10, 64](array, 1.0), inout=[array])[WARPS] == 20
"""

BROKEN = """
calls = []

@counted
def test_raises(gpuperf, array):
    gpuperf.measure(lambda: fill[10, 64](array, 1.0), inout=[array], name="before")
    def body():
        raise ArithmeticError("of mine")
    gpuperf.measure(body, name="broken")

@counted
def test_raises_in_the_child(gpuperf, array):
    gpuperf.measure(lambda: fill[10, 64](array, 1.0), inout=[array], name="before")
    def body():
        fill[10, 64](array, 1.0)
        if CHILD:
            raise ArithmeticError("in the child")
    gpuperf.measure(body, inout=[array], name="broken")

{between}

@counted
def test_faults(gpuperf, array):
    calls = []
    def body():
        calls.append(1)
        # Not in the warm-up call: inside the range, under ncu.
        (wild[1, 1](array) if CHILD and len(calls) > 1 else fill[10, 64](array, 1.0))
    gpuperf.measure(body, inout=[array])

{after}

@counted
def test_aborts(gpuperf, array):
    gpuperf.measure(lambda: fill[10, 64](array, 1.0), inout=[array], name="before")
    if CHILD:
        os.abort()
    gpuperf.measure(lambda: fill[20, 64](array, 1.0), inout=[array], name="broken")

{last}
""".format(**{name: HEALTHY.format(name=name) for name in ("between", "after", "last")})


@pytest.fixture(scope="module")
def broken():
    done = run(example(HEALTHY.format(name="first") + BROKEN))
    say(f"{done.outcomes()}; {done.run['counters']}")
    return done


@pytest.mark.parametrize("name", ["first", "between", "after", "last"])
def test_the_others_have_theirs(broken, name):
    found = cases(broken)[f"test_{name}"]
    assert (found["verdict"], number(found)) == ("PASS", 20), found


#: What broke, the reason of its counter, and how the timed run of the case ended.
REASONS = {
    "test_raises_in_the_child": ("ncu-body-failed", "passed"),
    "test_faults": ("ncu-died", "passed"),
    "test_aborts": ("ncu-died", "passed"),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_broken_one_says_why(broken, case):
    found = cases(broken)[case]
    code, outcome = REASONS[case]
    name = "main" if case == "test_faults" else "broken"
    assert (why(found, name=name), number(found, name=name)) == (code, None), measured(found, name)
    assert found["outcome"] == outcome, found["error"]


@pytest.mark.parametrize("case", ["test_raises_in_the_child", "test_raises", "test_aborts"])
def test_what_was_profiled_before_it_broke_is_kept(broken, case):
    assert number(cases(broken)[case], name="before") == 20


def test_its_own_error_is_told_as_ever(broken):
    found = cases(broken)["test_raises"]
    assert (found["verdict"], found["outcome"]) == ("FAIL", "failed")
    assert "ArithmeticError: of mine" in found["error"]


def test_a_child_more_for_each_that_died(broken):
    # One for all, one after the fault, one after the abort; not one a case.
    assert broken.run["counters"]["starts"] == 3


def test_an_unknown_counter_is_refused_before_anything_runs():
    made = example("""
        @pytest.mark.gpuperf(metrics={"dram__bytes_writ.sum": "<= 1e6"})
        def test_it(gpuperf, array):
            pathlib.Path("ran").touch()
            gpuperf.measure(lambda: fill[10, 64](array, 1.0))
        """)
    done = made.run_pytest("--gpuperf-ncu=require", timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode not in {0, 1}, said
    assert "'dram__bytes_writ.sum'; nearest 'dram__bytes_write.sum'" in said, said
    assert not (made.path / "ran").exists()


def test_an_unknown_suffix_is_refused():
    made = example("""
        @pytest.mark.gpuperf(counters=["sm__warps_launched.sum.pct"])
        def test_no_such_suffix(gpuperf, array):
            gpuperf.measure(lambda: fill[10, 64](array, 1.0))
        """)
    done = made.run_pytest("--gpuperf-ncu=require", timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode not in {0, 1}, said
    assert "no suffix '.sum.pct'" in said, said


INFLATED = """
BIG = 1 << 27

@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.gpuperf(counters=[WRITE, READ])
def test_work(gpuperf, times):
    source, target = cuda.to_device(np.zeros(BIG, np.float32)), cuda.device_array(BIG, np.float32)
    gpuperf.measure(lambda: copy[BIG // 256, 256](source, target), outputs=[target], work=Work(reads=times * 4 * BIG, writes=times * 4 * BIG))
"""


def test_inflated_work_is_a_warning_and_fails_in_strict_mode():
    made = example(INFLATED)
    lenient = run(made)
    found = cases(lenient)
    assert {name: case["outcome"] for name, case in found.items()} == {"test_work[1]": "passed", "test_work[2]": "passed"}
    told = [line for line in lenient.stdout.splitlines() if line.startswith("WARNING") and "Work says" in line]
    say(f"{told}")
    assert len(told) == 2, lenient.stdout
    assert all("test_work[2]" in line for line in told)
    strict = run(made, "--gpuperf-strict=all")
    assert {name: case["outcome"] for name, case in cases(strict).items()} == {"test_work[1]": "passed", "test_work[2]": "failed"}, strict.stdout


def test_off_is_a_reason_and_no_start():
    done = run(example(HEALTHY.format(name="it")), ncu="off")
    found = cases(done)["test_it"]
    assert (found["verdict"], found["reasons"][0]["code"]) == ("UNMEASURED", "ncu-off")
    assert done.returncode == 0
    assert WARPS not in measured(found).get("counters", {}) or number(found) is None
