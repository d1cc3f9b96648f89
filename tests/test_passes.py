"""The profiled run without pytest around it: what ncu says, what a child leaves, what is run again."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from pytest_gpuperf.counters import ncu, passes
from pytest_gpuperf.counters.honest import absorbed, apart
from pytest_gpuperf.counters.progress import Follower
from pytest_gpuperf.work import Work


def key(number):
    return {"nodeid": f"t.py::test_{number}", "file": "t.py", "function": f"test_{number}", "index": 0}


def event(kind, number, /, **told):
    return {"event": kind, **key(number), **told}


@pytest.mark.parametrize(
    ("line", "code", "everything"),
    [
        ("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance Counters on the target device 0.", "ncu-permission", True),
        ("==ERROR== Profiling failed because a driver resource was unavailable. Ensure that no other tool (like DCGM) is concurrently collecting profiling data.", "ncu-busy", True),
        ("==ERROR== Profiling is not supported on a device with MIG enabled.", "mig", True),
        ("==ERROR== Failed to initialize the profiler: LibraryNotLoaded", "ncu-failed", True),
        ("==ERROR== Failed to create or open lock file", "ncu-failed", True),
        ("==ERROR== LaunchFailed", "ncu-died", False),
    ],
)
def test_messages_mean_what_they_say(line, code, everything):
    reason, whole = ncu.explain(f"==PROF== Connected to process 7\n{line}\n==PROF== Report: x.ncu-rep\n")
    assert (reason.code, whole) == (code, everything)
    assert line.removeprefix("==ERROR== ") in reason.detail


def test_a_message_of_the_target_means_nothing():
    assert ncu.explain("DCGM is great\nERR_NVGPUCTRPERM\n") is None


#: A target in place of ncu: it ignores ncu's options, writes what a child would, and ends as it is told to.
TARGET = """
    import json, os, pathlib, sys, time
    folder = pathlib.Path(sys.argv[1])
    with (folder / "progress.jsonl").open("a") as file:
        for line in json.loads(sys.argv[2]):
            if line == "sleep":
                time.sleep(60)
            elif line == "die":
                os._exit(3)
            else:
                # Its own number, as a child tells it: 0 would stand for the group of the process that runs this test.
                line |= {"pid": os.getpid()} if line["event"] == "start" else {}
                file.write(json.dumps(line) + "\\n")
                file.flush()
    """


class Bench:
    """Children that tell a story each, one after the other."""

    def __init__(self, folder, stories, kernels=(), log="", report=True):
        self.folder, self.stories, self.kernels, self.log, self.report = folder, list(stories), kernels, log, report
        self.target = folder / "target.py"
        self.target.write_text(textwrap.dedent(TARGET))
        self.asked = []

    def start(self, items, folder):
        self.asked.append([one["nodeid"] for one in items])
        (folder / "ncu.log").write_text(self.log)
        return [str(folder), json.dumps(self.stories.pop(0))], {}

    def read(self, path):
        return {slug: [{"name": "k", "at": 0, "values": {}}] for slug in self.kernels}, "csv"

    def take(self, count, limit=30.0):
        program = self.folder / "ncu"
        program.write_text(
            f"#!{sys.executable}\nimport pathlib, subprocess, sys\n"
            + ("pathlib.Path(sys.argv[sys.argv.index('--export') + 1]).write_text('report')\n" if self.report else "")
            + f"sys.exit(subprocess.run([{sys.executable!r}, {str(self.target)!r}, *sys.argv[-2:]]).returncode)\n"
        )
        program.chmod(0o755)
        plan = passes.Plan(str(program), ("m",), tuple(map(key, range(count))), self.folder / "run", self.folder / "latest.ncu-rep", self.folder, limit)
        return passes.take(plan, self.start, self.read)


def whole(number):
    return [event("case", number), event("measured", number, name="main", slug=f"g{number}"), event("ended", number, outcome="passed", error=None)]


def start(*numbers):
    return [{"event": "start"}, {"event": "collected", "items": [key(number) for number in numbers], "missing": []}]


def codes(taken):
    return [(one["hole"] or {}).get("code") or [(found["hole"] or {}).get("code") for found in one["measurements"]] for one in taken.cases]


def test_every_case_of_one_child_is_taken(tmp_path):
    bench = Bench(tmp_path, [[*start(0, 1), *whole(0), *whole(1), {"event": "end", "status": 0}]], ["g0", "g1"])
    taken = bench.take(2)
    assert codes(taken) == [[None], [None]]
    assert taken.reports == ["latest.ncu-rep"]


def test_after_a_death_the_rest_has_a_child_of_its_own(tmp_path):
    bench = Bench(tmp_path, [[*start(0, 1, 2), *whole(0), event("case", 1), "die"], [*start(2), *whole(2), {"event": "end", "status": 0}]], ["g0", "g2"])
    taken = bench.take(3)
    assert codes(taken) == [[None], "ncu-died", [None]]
    assert bench.asked == [["t.py::test_0", "t.py::test_1", "t.py::test_2"], ["t.py::test_2"]]
    assert taken.reports == ["latest.ncu-rep", "latest-2.ncu-rep"]
    assert taken.starts == 2


def test_a_case_that_takes_too_long_is_ended_and_the_rest_goes_on(tmp_path):
    bench = Bench(tmp_path, [[*start(0, 1), event("case", 0), "sleep"], [*start(1), *whole(1), {"event": "end", "status": 0}]], ["g1"])
    taken = bench.take(2, limit=1.5)
    assert codes(taken) == ["ncu-hang", [None]]


def test_a_child_that_reaches_nothing_is_not_started_for_ever(tmp_path):
    bench = Bench(tmp_path, [["die"]], report=False)
    taken = bench.take(2)
    assert codes(taken) == ["ncu-failed", "ncu-failed"]
    assert taken.starts == 1


def test_a_case_that_the_child_does_not_find_says_so(tmp_path):
    told = [{"event": "start"}, {"event": "collected", "items": [key(0)], "missing": [key(1)]}, *whole(0), {"event": "end", "status": 0}]
    assert codes(Bench(tmp_path, [told], ["g0"]).take(2)) == [[None], "not-in-child"]


def test_a_range_without_a_kernel_is_no_failure_of_ncu_and_a_failure_of_ncu_is_no_range_without_a_kernel(tmp_path):
    told = [*start(0, 1), *whole(0), *whole(1), {"event": "end", "status": 0}]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert codes(Bench(tmp_path / "a", [told], ["g0"]).take(2)) == [[None], ["no-kernel"]]
    failed = Bench(tmp_path / "b", [told], ["g0"], log='==ERROR== Failed to profile "k" in process 7\n').take(2)
    assert codes(failed) == [["ncu-failed"], ["ncu-failed"]]


def test_a_range_in_which_no_warp_was_launched_has_no_kernel(tmp_path):
    bench = Bench(tmp_path, [[*start(0, 1), *whole(0), *whole(1), {"event": "end", "status": 0}]])
    values = {"g0": 5, "g1": 0}
    bench.read = lambda _: ({slug: [{"name": "range", "at": 0, "values": {passes.WARPS: [count, "warp"]}}] for slug, count in values.items()}, "csv")
    assert codes(bench.take(2)) == [[None], ["no-kernel"]]


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(tmp_path):
    follower, path = Follower(tmp_path), tmp_path / "progress.jsonl"
    path.write_text('{"event": "start", ')
    follower.look()
    assert follower.story.pid is None
    with path.open("a") as file:
        file.write('"pid": 7}\n')
    follower.look()
    assert follower.story.pid == 7


L2 = 60_000_000


@pytest.mark.parametrize(
    ("number", "declared", "judged"),
    [(0, None, False), (0, 1e9, False), (170e6, 1e9, False), (200e6, 250e6, True), (200e6, 100e6, False), (200e6, None, False), (240e6, None, True), (240e6, 1, True)],
)
def test_what_l2_may_have_absorbed(number, declared, judged):
    assert (absorbed(number, declared, L2) is None) == judged


@pytest.mark.parametrize(
    ("work", "read", "written", "sides"),
    [
        (Work(reads=10**9, writes=10**9), 1e9, 0.95e9, []),
        (Work(reads=10**9, writes=10**9), 0.9e9, 1e9, ["reads"]),
        (Work(reads=10**9, writes=10**9), 1.2e9, 1e9, ["reads"]),
        (Work(reads=10**9, writes=2 * 10**9), 1e9, 1e9, ["writes"]),
        (Work(reads=0, writes=10**9), None, 0.0, ["writes"]),
        (Work(reads=4096, writes=10**8), 60_000, 0.0, []),
        (Work(reads=10**9), 0.0, None, ["reads"]),
    ],
)
def test_which_sides_of_work_are_not_what_was_measured(work, read, written, sides):
    assert [side.name for side in apart(work, read, written, L2)] == sides


@pytest.mark.parametrize("pid", [0, -1])
def test_a_number_that_stands_for_many_processes_ends_none(monkeypatch, pid):
    killed = []
    monkeypatch.setattr(passes.os, "kill", lambda *told: killed.append(told))
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    passes._end(process, pid)
    assert killed == []
    assert process.returncode == -9
