"""Sessions of several processes, and sessions that are killed: in processes of their own."""

from __future__ import annotations

import contextlib
import io
import itertools
import threading

from plugin_runs import run_pytest

from pytest_gpuperf.cli import main
from pytest_gpuperf.records.merge import merge
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.testing import Example, fake_conftest

_INI = "[pytest]\naddopts = -p no:benchmark -p no:hypothesispytest --gpuperf --gpuperf-limit=0.01\n"
_HEAD = "import os, pathlib, signal, time\nimport pytest\nfrom pytest_gpuperf import *\n\n"


def case(name: str, end: str = "pass", limits: str = 'time="<= 12 us"', body: str = "fake.kernel(5e-6)") -> str:
    """Write one case with limits that ends in a certain way."""
    return f"@pytest.mark.gpuperf({limits})\ndef test_{name}(gpuperf, fake):\n    gpuperf.measure({body})\n    {end}\n\n"


def example(text: str, uuid: str = "1") -> Example:
    """Make a folder with a device of its own, so that no other run on this machine waits for it."""
    return Example({"pytest.ini": _INI, "conftest.py": fake_conftest(uuid=f"GPU-t2-{uuid}-{threading.get_native_id()}", l2=1 << 16), "test_it.py": _HEAD + text})


def journals(made: Example) -> list:
    """Return the journals of the one run of an example."""
    (folder,) = (one for one in (made.path / "reports" / "runs").iterdir() if one.is_dir())
    return sorted(folder.glob("*.jsonl"))


def test_kill_in_the_middle_loses_the_running_case_alone_and_its_journal_renders():
    made = example(case("before") + case("killed", "os.kill(os.getpid(), signal.SIGKILL)") + case("after"))
    done = made.run_pytest()
    assert done.returncode == -9
    assert done.run is None
    assert done.report is None
    (journal,) = journals(made)
    run = merge([journal])
    assert validate(run) == []
    assert run["problems"] == []
    assert run["run"]["complete"] is False
    before, killed = run["cases"]
    assert (before["verdict"], before["measurements"][0]["values"]["time"]["reason"]) == ("PASS", None)
    assert (killed["outcome"], killed["verdict"], killed["reasons"][0]["code"]) == (None, "UNMEASURED", "interrupted")
    assert run["not_run"] == [{"nodeid": "test_it.py::test_after", "budgets": 1}]
    assert {name: number for name, number in run["account"].items() if number} == {"collected": 3, "PASS": 1, "UNMEASURED": 2}
    page = made.path / "page.html"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["render", str(journal), "-o", str(page)]) == 0
    assert said.getvalue().strip() == str(page)
    text = page.read_text(encoding="utf-8")
    assert "test_before" in text
    assert "test_killed" in text


def test_ctrl_c_still_accounts_and_writes_run_file_and_page():
    made = example(case("before") + case("stopped", "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)") + case("after"))
    done = made.run_pytest()
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.report is not None
    assert done.run is not None
    assert done.run["problems"] == []
    assert done.run["run"]["complete"] is True
    assert done.run["run"]["exit_status"] == 2
    assert {name: number for name, number in done.run["account"].items() if number} == {"collected": 3, "PASS": 1, "UNMEASURED": 2}
    assert [one["outcome"] for one in done.run["cases"]] == ["passed", None]
    assert [budget["measurement"] for one in done.run["cases"] for budget in one["budgets"]] == ["main", "main"]
    assert "account: collected 3 budgets = 1 PASS" in done.stdout


def test_two_workers_judge_the_same_budgets_into_one_run_file_and_one_page(pytester):
    text = case("good") + case("slow", limits='time="<= 4 us", wall_time="<= 1 s"') + case("near", limits='time="<= 5.7 us"') + case("other", limits='time={"H200": "<= 1 us"}')
    text += "@pytest.mark.parametrize('n', range(4))\n" + case("many").replace("fake)", "fake, n)")
    alone = run_pytest(pytester, text)
    made = example(text)
    done = made.run_pytest("-n", "2", "--gpuperf-json=out/run.json")
    assert done.returncode == alone.status == 1
    assert done.outcomes() == {**alone.outcomes} == {"failed": 1, "passed": 6, "inconclusive": 1}
    assert done.run is not None
    assert validate(done.run) == []
    assert done.run["problems"] == []
    assert done.run["account"] == alone.run["account"]
    assert done.run["run"]["workers"] == ["gw0", "gw1"]
    assert {one["nodeid"]: one["verdict"] for one in done.run["cases"]} == {one["nodeid"]: one["verdict"] for one in alone.run["cases"]}
    assert len(list((made.path / "reports" / "runs").glob("*.json"))) == 1
    assert [path.name for path in (made.path / "reports").glob("*.html")] == ["latest.html"]
    assert done.stdout.count("account: collected 9 budgets") == 1
    assert len(done.run["devices"]) == 1
    assert [path.name for path in journals(made)] == ["gw0.jsonl", "gw1.jsonl", "main.jsonl"]
    constants = {one["measurements"][0]["samples"]["constant"] for one in done.run["cases"]}
    assert len(constants) == 1, "calibrated once a run, read by the other worker"


def test_a_worker_that_crashes_loses_the_running_case_alone():
    made = example(case("before") + case("crash", "os._exit(7)") + case("after") + case("last"))
    done = made.run_pytest("-n", "1")
    assert done.returncode == 1, done.stdout
    assert done.run is not None
    assert done.run["problems"] == []
    assert {name: number for name, number in done.run["account"].items() if number} == {"collected": 4, "PASS": 3, "UNMEASURED": 1}
    verdicts = {one["function"]: (one["verdict"], one["outcome"]) for one in done.run["cases"]}
    assert verdicts == {"test_before": ("PASS", "passed"), "test_crash": ("UNMEASURED", None), "test_after": ("PASS", "passed"), "test_last": ("PASS", "passed")}
    assert done.run["run"]["complete"] is True
    assert done.report is not None


def test_a_bad_budget_is_one_clear_line_under_workers_too():
    made = example(case("bad", limits='tiem="<= 12 us"') + case("good"))
    done = made.run_pytest("-n", "2")
    assert done.returncode != 0
    line = "BadBudget: test_it.py::test_bad: gpuperf marker has no keyword 'tiem'; nearest 'time'"
    assert line in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout


def test_two_sessions_on_one_device_never_measure_at_the_same_time_and_the_waiter_says_for_whom(tmp_path):
    # Both sessions begin to measure together; the body notes the span of real time in which its case held the device.
    text = f"""
@pytest.mark.parametrize("n", range(3))
@pytest.mark.gpuperf(time="<= 12 us")
def test_held(gpuperf, fake, n):
    folder = pathlib.Path({str(tmp_path)!r})
    (folder / f"ready-{{os.getpid()}}").touch()
    give_up = time.time() + 30
    while len(list(folder.glob("ready-*"))) < 2 and time.time() < give_up:
        time.sleep(0.005)
    kernel = fake.kernel(5e-6)
    spans = []
    def body():
        spans.append(time.time())
        time.sleep(0.001 if n else 0.02)
        kernel()
    gpuperf.measure(body)
    with open({str(tmp_path / "spans")!r}, "a") as file:
        file.write(f"{{os.getpid()}} {{min(spans)}} {{max(spans)}}\\n")
"""
    made = [example(text, "shared") for _ in range(2)]
    runs: list = [None, None]

    def run(place: int) -> None:
        runs[place] = made[place].run_pytest()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
    uuid = f"GPU-t2-together-{threading.get_native_id()}"
    for one in made:
        one.write({"conftest.py": fake_conftest(uuid=uuid, l2=1 << 16)})
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.returncode for one in runs] == [0, 0], runs[0].stdout + runs[1].stdout
    spans = sorted((float(first), float(last), pid) for pid, first, last in (line.split() for line in (tmp_path / "spans").read_text().splitlines()))
    assert len(spans) == 6
    assert len({pid for _, _, pid in spans}) == 2
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans)), "two measured at the same time"
    waits = [one["measurements"][0]["waited"] for done in runs for one in done.run["cases"] if one["measurements"][0]["waited"]]
    assert waits, "nobody waited, so this test has seen nothing"
    assert all(" test_it.py::test_held[" in wait["for"] or wait["for"] == "another process" for wait in waits)
    told = [line for done in runs for line in done.stdout.splitlines() if line.startswith("gpuperf: ") and "test_held[" in line]
    assert told, runs[0].stdout + runs[1].stdout
    assert all(line.startswith("gpuperf: waiting for the device, held by pid ") for line in told), told
