"""Whole sessions on a real GPU, in processes of their own: two at once, two workers, one that is killed, one that loses the device."""

from __future__ import annotations

import contextlib
import io
import itertools
import textwrap
import threading

import pytest
from gpu_bench import say

from pytest_gpuperf.cli import main
from pytest_gpuperf.records.merge import merge
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
    from numba import cuda

    @cuda.jit
    def increment(array):
        index = cuda.grid(1)
        if index < array.size:
            array[index] += 1

    @pytest.fixture
    def array():
        return cuda.to_device(np.zeros(1 << 20, np.int32))

    @pytest.fixture
    def body(array):
        return lambda: increment[4096, 256](array)
    """
_HEAD = "import os, pathlib, signal, time\nimport numpy as np\nimport pytest\nfrom pytest_gpuperf import *\n\n"
_TIMEOUT = 110


@pytest.fixture(autouse=True)
def _on_a_gpu(gpu_runtime):
    """Skip where there is no GPU."""


def case(name: str, end: str = "pass", limits: str = 'time="<= 30 us"') -> str:
    """Write one case with limits that ends in a certain way."""
    return f"@pytest.mark.gpuperf({limits})\ndef test_{name}(gpuperf, array, body):\n    gpuperf.measure(body, inout=[array])\n    {end}\n\n"


def example(text: str) -> Example:
    """Make a folder of a suite that measures with numba."""
    return Example({"pytest.ini": _INI, "conftest.py": textwrap.dedent(_CONFTEST), "test_it.py": _HEAD + text})


def test_one_session_judges_reports_and_writes_its_run_file():
    text = case("good", "gpuperf.identical(array, np.ones(1 << 20, np.int32))")
    text += case("slow", limits='time="<= 1 us", wall_time="<= 1 s"') + case("other", limits='time={"B200*": "<= 1 us"}')
    text += case("percentile", limits='time="p99 <= 40 us"')
    done = example(text).run_pytest("-v", timeout=_TIMEOUT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.outcomes() == {"failed": 1, "passed": 3}, done.stdout
    assert done.run is not None
    assert validate(done.run) == []
    assert done.run["problems"] == []
    assert {name: number for name, number in done.run["account"].items() if number} == {"collected": 5, "PASS": 3, "FAIL": 1, "NOT-APPLICABLE": 1}
    (device,) = done.run["devices"]
    say(f"{device['name']}: calibration {device['calibration']}")
    line = next(line for line in done.stdout.splitlines() if "exceeds 1.000 us" in line or "exceeds 1 us" in line)
    say(line.strip())
    assert "device clock, cold, SM " in line
    for measured in (one["measurements"][0] for one in done.run["cases"]):
        say(f"{measured['slug']}: {measured['wall_s']:.2f} s wall for {measured['values']['time']['samples']} samples")
        assert measured["wall_s"] < 3
    assert done.report is not None


def test_two_workers_judge_the_same_budgets_into_one_run_file():
    text = case("good") + case("slow", limits='time="<= 1 us", wall_time="<= 1 s"')
    text += "@pytest.mark.parametrize('n', range(6))\n" + case("many").replace("body)", "body, n)", 1)
    made = example(text)
    done = made.run_pytest("-n", "2", timeout=_TIMEOUT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.outcomes() == {"failed": 1, "passed": 7}, done.stdout
    assert done.run is not None
    assert validate(done.run) == []
    assert done.run["problems"] == []
    assert {name: number for name, number in done.run["account"].items() if number} == {"collected": 9, "PASS": 8, "FAIL": 1}
    assert done.run["run"]["workers"] == ["gw0", "gw1"]
    assert len(done.run["devices"]) == 1
    assert len(list((made.path / "reports" / "runs").glob("*.json"))) == 1
    assert len({one["measurements"][0]["samples"]["constant"] for one in done.run["cases"]}) == 1, "calibrated once a run"
    times = [one["measurements"][0]["values"]["time"]["number"] for one in done.run["cases"]]
    say(f"times under -n 2: {', '.join(f'{one * 1e6:.2f}' for one in times)} us")
    assert max(times) < 1.1 * min(times)
    assert any(one["measurements"][0]["waited"] for one in done.run["cases"])


def test_two_sessions_never_measure_at_the_same_time_and_the_waiter_says_for_whom(tmp_path):
    text = f"""
@pytest.mark.parametrize("n", range(3))
@pytest.mark.gpuperf(time="<= 30 us")
def test_held(gpuperf, array, body, n):
    folder = pathlib.Path({str(tmp_path)!r})
    body()
    (folder / f"ready-{{os.getpid()}}").touch()
    give_up = time.time() + 60
    while len(list(folder.glob("ready-*"))) < 2 and time.time() < give_up:
        time.sleep(0.005)
    spans = []
    def noted():
        spans.append(time.time())
        time.sleep(0 if n else 0.02)
        body()
    gpuperf.measure(noted, inout=[array])
    with open({str(tmp_path / "spans")!r}, "a") as file:
        file.write(f"{{os.getpid()}} {{min(spans)}} {{max(spans)}}\\n")
"""
    made = [example(text) for _ in range(2)]
    runs: list = [None, None]

    def run(place: int) -> None:
        runs[place] = made[place].run_pytest("-s", timeout=_TIMEOUT)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.returncode for one in runs] == [0, 0], runs[0].stdout + runs[1].stdout
    spans = sorted((float(first), float(last), pid) for pid, first, last in (line.split() for line in (tmp_path / "spans").read_text().splitlines()))
    assert len(spans) == 6
    assert len({pid for _, _, pid in spans}) == 2
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans)), "two measured at the same time"
    told = [line for done in runs for line in done.stdout.splitlines() if line.startswith("gpuperf: waiting for the device, held by pid ")]
    waits = [one["measurements"][0]["waited"] for done in runs for one in done.run["cases"] if one["measurements"][0]["waited"]]
    say(f"{told[:1]}; waits {[round(one['seconds'], 2) for one in waits]} s")
    assert waits
    assert any("test_held[" in line for line in told), runs[0].stdout + runs[1].stdout
    foreign = [reason["code"] for done in runs for one in done.run["cases"] for reason in one["reasons"]]
    assert "foreign-load" not in foreign, "a session of ours that waits is no load"


def test_kill_in_the_middle_loses_the_running_case_alone_and_its_journal_renders():
    made = example(case("before") + case("killed", "os.kill(os.getpid(), signal.SIGKILL)") + case("after"))
    done = made.run_pytest(timeout=_TIMEOUT)
    assert done.returncode == -9, done.stdout
    (folder,) = (one for one in (made.path / "reports" / "runs").iterdir() if one.is_dir())
    (journal,) = folder.glob("*.jsonl")
    run = merge([journal])
    assert validate(run) == []
    assert {name: number for name, number in run["account"].items() if number} == {"collected": 3, "PASS": 1, "UNMEASURED": 2}
    page = made.path / "page.html"
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["render", str(journal), "-o", str(page)]) == 0
    assert "test_killed" in page.read_text(encoding="utf-8")


def test_kill_inside_a_timed_call_leaves_the_device_free_for_others():
    text = """
@pytest.mark.gpuperf(time="<= 30 us")
def test_killed(gpuperf, body):
    calls = []
    def dies():
        calls.append(1)
        body()
        if len(calls) == 60:
            os.kill(os.getpid(), signal.SIGKILL)
    gpuperf.measure(dies)
"""
    assert example(text).run_pytest(timeout=_TIMEOUT).returncode == -9
    done = example(case("next")).run_pytest(timeout=_TIMEOUT)
    assert done.returncode == 0, done.stdout
    assert done.outcomes() == {"passed": 1}


def test_a_lost_context_is_said_and_no_later_case_passes_on_it():
    wild = """
from numba import cuda

@cuda.jit
def wild(array):
    array[1 << 40] = 1

@pytest.mark.gpuperf(time="<= 30 us")
def test_wild(gpuperf, array):
    gpuperf.measure(lambda: wild[1, 1](array))

"""
    done = example(case("before") + wild + case("after")).run_pytest(timeout=_TIMEOUT)
    say([line for line in done.stdout.splitlines() if line.startswith(("E  ", "FAILED", "ERROR"))][:4].__repr__())
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.run is not None
    verdicts = {one["function"]: one["verdict"] for one in done.run["cases"]}
    assert verdicts["test_before"] == "PASS"
    assert verdicts["test_wild"] == "FAIL"
    assert verdicts["test_after"] != "PASS"
