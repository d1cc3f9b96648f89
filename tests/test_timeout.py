"""--gpuperf-timeout: a case that never ends costs itself and its process, not the records; it says where it hung."""

from __future__ import annotations

import signal

import pytest
from test_plugin_processes import case, example, journals

from pytest_gpuperf.records.merge import merge
from pytest_gpuperf.records.schema import validate

_SLEEPS = "time.sleep(600)"
_LOOPS = "while True: pass"
#: Both hold the interpreter's lock in C for ever: no thread of this process can do anything meanwhile. A signal lets the second go on.
_SPINS = "import itertools; sum(itertools.repeat(0))"
_WAITS = "import ctypes; ctypes.PyDLL(None).sleep(600)"
_DEVICE = 'gpuperf.measure(fake.kernel(float("inf")), name="endless")'
WAYS = {"sleeps": _SLEEPS, "loops in Python": _LOOPS, "spins in C with the lock": _SPINS, "waits in C with the lock": _WAITS, "waits for the device": _DEVICE}
#: What the signal leaves as exit status.
_ENDED = -(signal.SIGRTMAX - 3)


def hanging(end: str) -> str:
    """Write three cases of which the second measures, checks and judges, and then never ends."""
    parts = 'mine = gpuperf.measure(fake.kernel(8e-6), name="mine"); mine.require(time="<= 10 us")'
    return case("before") + case("hangs", f"{parts}\n    {end}") + case("after")


def check_hung(hangs: dict) -> None:
    """Hold the record of the case that hung against what it had done by then."""
    assert (hangs["verdict"], hangs["outcome"], hangs["reasons"][0]["code"]) == ("FAIL", "failed", "hang")
    assert [one["name"] for one in hangs["measurements"]] == ["main", "mine"]
    assert 7.5e-6 < hangs["measurements"][1]["values"]["time"]["number"] < 8.9e-6
    assert len(hangs["measurements"][1]["samples"]["rounds"]) >= 5
    assert [(one["origin"], one["verdict"]) for one in hangs["budgets"]] == [("function marker", "UNMEASURED"), ("require", "PASS")]


@pytest.mark.parametrize("way", WAYS)
def test_a_case_that_never_ends_fails_and_its_records_are_kept(way):
    made = example(hanging(WAYS[way]), f"t1-{len(way)}")
    done = made.run_pytest("--gpuperf-timeout=3", "--gpuperf-json=out/run.json", timeout=55)
    assert done.returncode == _ENDED
    assert "gpuperf: FAIL hang: test_it.py::test_hangs has not ended within 3 s (--gpuperf-timeout)" in done.stderr
    assert 'test_it.py", line' in done.stderr
    assert "in test_hangs" in done.stderr
    run = done.run
    assert validate(run) == []
    before, hangs = run["cases"]
    assert before["verdict"] == "PASS"
    check_hung(hangs)
    assert run["account"]["UNMEASURED"] == 2
    assert run["account"]["PASS"] == 2
    assert run["problems"] == []
    assert not run["run"]["complete"]
    assert done.report is not None
    page = done.report.read_text(encoding="utf-8")
    assert "test_before" in page
    assert "has not ended within 3 s" in page
    assert [path.suffix for path in (made.path / "reports" / "runs").iterdir() if path.is_file()] == [".json"]
    assert merge(journals(made))["account"] == run["account"]


def test_what_ci_reads_is_written_then_too():
    made = example(hanging(_SLEEPS), "t10")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(made.path.parent), "GITHUB_STEP_SUMMARY": str(made.path / "step.md")}
    done = made.run_pytest("--gpuperf-timeout=2", "--gpuperf-summary=out/summary.md", env=env, timeout=55)
    assert done.returncode == _ENDED
    for written in (made.path / "step.md", made.path / "out" / "summary.md"):
        text = written.read_text(encoding="utf-8")
        assert text.startswith("## ✗ FAIL: 1 of 2 cases fails")
        assert "has not ended within 2 s" in text
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("::error ")]
    assert line.startswith(f"::error file={made.path.name}/test_it.py,line=")
    assert "has not ended within 2 s" in line


@pytest.mark.parametrize("way", ["spins in C with the lock", "waits for the device"])
def test_xdist_replaces_the_worker_and_goes_on(way):
    made = example(hanging(WAYS[way]) + case("last"), f"t3-{len(way)}")
    done = made.run_pytest("--gpuperf-timeout=4", "-n2", timeout=55)
    assert done.returncode == 1
    verdicts = {one["function"]: one["verdict"] for one in done.run["cases"]}
    assert verdicts == {"test_before": "PASS", "test_hangs": "FAIL", "test_after": "PASS", "test_last": "PASS"}
    assert done.run["problems"] == []
    assert done.run["run"]["complete"]
    check_hung(next(one for one in done.run["cases"] if one["function"] == "test_hangs"))
    assert done.report is not None


@pytest.mark.parametrize("where", ["set-up", "tear-down"])
def test_a_fixture_that_never_ends_is_its_cases_hang(where):
    body = "yield\n    time.sleep(600)" if where == "tear-down" else "time.sleep(600)\n    yield"
    text = f"@pytest.fixture\ndef stuck():\n    {body}\n\n" + case("before") + case("hangs").replace("(gpuperf, fake)", "(gpuperf, fake, stuck)")
    done = example(text, f"t8-{len(where)}").run_pytest("--gpuperf-timeout=3", timeout=55)
    assert done.returncode == _ENDED
    assert "in stuck" in done.stderr
    hangs = done.run["cases"][1]
    assert (hangs["verdict"], hangs["reasons"][0]["code"], len(hangs["measurements"])) == ("FAIL", "hang", 1 if where == "tear-down" else 0)


def test_a_process_that_the_signal_cannot_end_is_killed():
    made = example(hanging("signal.signal(signal.SIGRTMAX - 3, signal.SIG_IGN); time.sleep(600)"), "t9")
    done = made.run_pytest("--gpuperf-timeout=3", timeout=55)
    assert done.returncode == -signal.SIGKILL
    check_hung(done.run["cases"][1])
    assert done.report is not None


def test_a_page_that_cannot_be_written_then_is_told_and_costs_no_record():
    made = example(hanging("import shutil; shutil.rmtree('reports/page'); pathlib.Path('reports/page').touch(); time.sleep(600)"), "t6")
    done = made.run_pytest("--gpuperf-timeout=3", "--gpuperf-report=reports/page/it.html", timeout=55)
    assert done.returncode == _ENDED
    assert "gpuperf: run file or page: ended with status 2" in done.stderr
    check_hung(done.run["cases"][1])


def test_a_record_that_cannot_be_written_then_does_not_save_the_process():
    made = example(hanging("import shutil; shutil.rmtree('reports/runs'); time.sleep(600)"), "t7")
    done = made.run_pytest("--gpuperf-timeout=3", timeout=55)
    assert done.returncode == _ENDED
    assert "gpuperf: its record: [Errno 2] No such file or directory" in done.stderr
    assert "in test_hangs" in done.stderr


def test_a_case_in_time_is_left_alone():
    made = example(case("quick") + case("again"), "t4")
    done = made.run_pytest("--gpuperf-timeout=30")
    assert done.returncode == 0
    assert done.stderr == ""
