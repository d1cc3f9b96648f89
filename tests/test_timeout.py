"""--gpuperf-timeout: a case that never ends costs itself and its process, not the records; it says where it hung."""

from __future__ import annotations

import signal

import pytest
from test_plugin_processes import case, example, journals

from pytest_gpuperf.records.merge import merge
from pytest_gpuperf.records.schema import validate

_SLEEPS = "time.sleep(600)"
#: Both hold the interpreter's lock in C for ever: no thread of this process can do anything meanwhile. A signal lets the second go on.
_SPINS = "import itertools\n    sum(itertools.repeat(0))"
_WAITS = "import ctypes\n    ctypes.PyDLL(None).sleep(600)"
#: What the signal leaves as exit status.
_ENDED = -(signal.SIGRTMAX - 3)


@pytest.mark.parametrize(("end", "uuid"), [(_SLEEPS, "t1"), (_SPINS, "t2"), (_WAITS, "t5")], ids=["sleeps in Python", "spins in C with the lock", "waits in C with the lock"])
def test_a_case_that_never_ends_fails_and_its_records_are_kept(end, uuid):
    made = example(case("before") + case("hangs", end) + case("after"), uuid)
    done = made.run_pytest("--gpuperf-timeout=2", timeout=50)
    assert done.returncode == _ENDED
    assert "gpuperf: FAIL hang: test_it.py::test_hangs has not ended within 2 s (--gpuperf-timeout)" in done.stderr
    assert 'test_it.py", line' in done.stderr
    assert "in test_hangs" in done.stderr
    run = merge(journals(made))
    assert validate(run) == []
    before, hangs = run["cases"]
    assert before["verdict"] == "PASS"
    assert (hangs["verdict"], hangs["outcome"], hangs["reasons"][0]["code"]) == ("FAIL", "failed", "hang")
    assert run["account"]["UNMEASURED"] == 2
    assert run["account"]["PASS"] == 1
    assert run["problems"] == []
    assert not run["run"]["complete"]


def test_xdist_replaces_the_worker_and_goes_on():
    made = example(case("before") + case("hangs", _SPINS) + case("after"), "t3")
    done = made.run_pytest("--gpuperf-timeout=3", "-n1", timeout=55)
    assert done.returncode == 1
    verdicts = {one["function"]: one["verdict"] for one in done.run["cases"]}
    assert verdicts == {"test_before": "PASS", "test_hangs": "FAIL", "test_after": "PASS"}


def test_a_case_in_time_is_left_alone():
    made = example(case("quick") + case("again"), "t4")
    done = made.run_pytest("--gpuperf-timeout=30")
    assert done.returncode == 0
    assert done.stderr == ""
