"""Parts of a running case: on disk as soon as they are known, whatever ends the process, and never twice."""

from __future__ import annotations

import json
import signal
import threading

import pytest
from plugin_runs import run_pytest
from record_events import FIRST, SECOND, case, journal, judged, start, sums
from test_plugin_processes import case as written
from test_plugin_processes import example, journals

from pytest_gpuperf.records.journal import Journal, read_journal
from pytest_gpuperf.records.merge import merge
from pytest_gpuperf.records.schema import validate

_MEASURED = "mine = gpuperf.measure(fake.kernel(8e-6), name='mine'); mine.require(time='<= 10 us'); gpuperf.identical(np.zeros(2), np.zeros(2))"


def part(**lists):
    return ("part", {"nodeid": FIRST} | lists)


def check(verdict="PASS"):
    return {"kind": "identical", "name": "identical 1", "verdict": verdict, "detail": "4 elements"}


def merged(path, *events):
    run = merge([journal(path, *events, end=False)])
    assert validate(run) == []
    assert sums(run)
    return run["cases"][0]


class TestMerge:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "main.jsonl"

    def test_a_case_that_was_cut_off_keeps_its_parts(self, path):
        required = judged(origin="require", text="<= 20 us")
        found = merged(path, start(FIRST), part(measurements=[{"name": "main"}]), part(checks=[check()]), part(budgets=[required]))
        assert [one["name"] for one in found["measurements"]] == ["main"]
        assert [one["name"] for one in found["checks"]] == ["identical 1"]
        assert [(one["text"], one["verdict"]) for one in found["budgets"]] == [("<= 20 us", "PASS"), ("<= 12 us", "UNMEASURED")]
        assert (found["verdict"], found["outcome"], found["reasons"][0]["code"]) == ("UNMEASURED", None, "interrupted")

    def test_what_had_failed_by_then_has_failed(self, path):
        assert merged(path, start(FIRST), part(checks=[check("FAIL")]))["verdict"] == "FAIL"

    def test_the_record_of_a_case_that_ended_is_all_there_is(self, path):
        found = merged(path, start(FIRST), part(measurements=[{"name": "main"}]), part(checks=[check("FAIL")]), ("case", case(FIRST, judged())))
        assert (found["measurements"], found["checks"], found["verdict"]) == ([], [], "PASS")

    def test_a_hang_has_its_parts_and_its_own_verdict(self, path):
        own = case(FIRST, judged("UNMEASURED"), outcome="failed", verdict="FAIL")
        found = merged(path, start(FIRST), part(measurements=[{"name": "main"}]), ("hang", own))
        assert ([one["name"] for one in found["measurements"]], len(found["budgets"]), found["verdict"]) == (["main"], 1, "FAIL")

    def test_a_case_that_ends_after_it_had_hung_has_hung(self, path):
        own = case(FIRST, judged("UNMEASURED"), outcome="failed", verdict="FAIL")
        run = merge([journal(path, start(FIRST), ("hang", own), ("case", case(FIRST, judged())), end=False)])
        assert [one["verdict"] for one in run["cases"]] == ["FAIL"]
        run = merge([journal(path.parent / "again.jsonl", start(FIRST), ("hang", own), start(FIRST), ("case", case(FIRST, judged())), end=False)])
        assert [one["verdict"] for one in run["cases"]] == ["FAIL", "PASS"]

    def test_a_measurement_that_is_told_twice_counts_once_with_its_last_values(self, path):
        found = merged(path, start(FIRST), *(part(measurements=[{"name": "main", "wall_s": number}]) for number in (1.0, 2.0)), part(measurements=[{"name": "b"}]))
        assert [(one["name"], one["wall_s"]) for one in found["measurements"]] == [("main", 2.0), ("b", None)]

    def test_parts_of_an_attempt_are_not_those_of_the_next(self, path):
        run = merge([journal(path, start(FIRST), part(measurements=[{"name": "main"}]), ("case", case(FIRST, judged(), outcome="failed", verdict="FAIL")), start(FIRST), end=False)])
        assert [len(one["measurements"]) for one in run["cases"]] == [0, 0]

    def test_a_part_of_a_case_that_never_began_is_left_out(self, path):
        run = merge([journal(path, start(SECOND), part(measurements=[{"name": "main"}]), end=False)])
        assert [one["nodeid"] for one in run["cases"]] == [SECOND]
        assert run["cases"][0]["measurements"] == []


def test_threads_write_every_line_once(tmp_path):
    lines = Journal(tmp_path / "a.jsonl")
    real = lines._file

    class Slow:
        def write(self, line):
            written = real.write(line)
            threading.Event().wait(0.0005)
            return written

        def __getattr__(self, name):
            return getattr(real, name)

    lines._file = Slow()
    threads = [threading.Thread(target=lambda number=number: [lines.append("start", case={"nodeid": f"{number}-{one}"}) for one in range(20)]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines.close() == 0
    found = [event["case"]["nodeid"] for event in read_journal(lines.path).events]
    assert sorted(found) == sorted(f"{number}-{one}" for number in range(4) for one in range(20))


#: How a process ends in the middle of a case, and what it ends with.
ENDS = {
    "kill -9": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", -signal.SIGTERM),
    "a crash": ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    "_exit": ("os._exit(7)", 7),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", 2),
}


@pytest.mark.parametrize("how", ENDS)
def test_whatever_ends_the_process_what_was_measured_is_there(how):
    text, status = ENDS[how]
    made = example("import numpy as np\n" + written("before") + written("ends", f"{_MEASURED}\n    {text}"), f"parts-{len(how)}")
    done = made.run_pytest()
    assert done.returncode == status, done.stdout + done.stderr
    whole = how in {"Ctrl-C", "SIGTERM"}
    assert (done.run is not None, done.report is not None) == (whole, whole)
    assert (done.stdout.count("gpuperf: ended by SIGTERM; what was measured by then is in the run file") == 1) == (how == "SIGTERM")
    run = done.run if whole else merge(journals(made))
    assert validate(run) == []
    assert run["problems"] == []
    before, ends = run["cases"]
    assert before["verdict"] == "PASS"
    assert (ends["verdict"], ends["outcome"], ends["reasons"][0]["code"]) == ("UNMEASURED", None, "interrupted")
    assert [one["name"] for one in ends["measurements"]] == ["main", "mine"]
    assert 7.5e-6 < ends["measurements"][1]["values"]["time"]["number"] < 8.9e-6
    assert [(one["kind"], one["verdict"]) for one in ends["checks"]] == [("identical", "PASS")]
    assert [(one["origin"], one["verdict"]) for one in ends["budgets"]] == [("require", "PASS"), ("function marker", "UNMEASURED")]


def test_a_worker_that_dies_leaves_the_parts_of_its_case():
    made = example("import numpy as np\n" + written("before") + written("ends", f"{_MEASURED}\n    os._exit(7)") + written("after"), "parts-n")
    done = made.run_pytest("-n2")
    assert done.returncode == 1
    ends = next(one for one in done.run["cases"] if one["function"] == "test_ends")
    assert [one["name"] for one in ends["measurements"]] == ["main", "mine"]
    assert done.run["problems"] == []
    assert {one["function"]: one["verdict"] for one in done.run["cases"]} == {"test_before": "PASS", "test_ends": "UNMEASURED", "test_after": "PASS"}


def test_a_full_disk_costs_no_part_while_the_process_lives(pytester):
    text = """
        import errno

        class Full:
            def __init__(self, file):
                self.file = file
            def write(self, line):
                raise OSError(errno.ENOSPC, "No space left on device")
            def __getattr__(self, name):
                return getattr(self.file, name)

        def test_it(gpuperf, fake, request):
            from pytest_gpuperf.plugin import _STATE
            journal = request.config.stash[_STATE].recorder.journal
            real, journal._file = journal._file, Full(journal._file)
            gpuperf.measure(fake.kernel(5e-6))
            assert journal.lost == 2
            journal._file = real
        """
    run = run_pytest(pytester, text)
    assert run.outcomes == {"passed": 1}, run.text
    assert "No space left on device" in run.text
    (lines,) = (run.path / "reports" / "runs").glob("*/main.jsonl")
    assert [json.loads(line)["event"] for line in lines.read_text().splitlines()] == ["session", "collected", "start", "device", "part", "case", "end"]


def test_a_forked_process_is_no_part_of_the_case(pytester):
    text = """
        import os, numpy as np

        def test_it(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
            if os.fork() == 0:
                try:
                    gpuperf.identical(np.zeros(2), np.ones(2))
                finally:
                    os._exit(0)
            os.wait()
        """
    run = run_pytest(pytester, text)
    assert run.outcomes == {"passed": 1}, run.text
    (lines,) = (run.path / "reports" / "runs").glob("*/main.jsonl")
    events = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [list(one["case"]) for one in events if one["event"] == "part"] == [["nodeid", "measurements"]]


def test_a_comparison_is_a_part_with_its_measurements():
    text = "gpuperf.compare({'a': fake.kernel(5e-6), 'b': fake.kernel(9e-6)}); os._exit(7)"
    made = example(written("ends", text), "parts-c")
    made.run_pytest()
    (ends,) = merge(journals(made))["cases"]
    assert [one["name"] for one in ends["measurements"]] == ["main", "compare/a", "compare/b"]
    assert [one["name"] for one in ends["comparisons"]] == ["compare"]
