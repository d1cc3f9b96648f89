"""The profiled run where something breaks around it: no process is left, no record is lost, and no case fails for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from counting_runs import HEAD, reasons, session, verdicts

from pytest_gpuperf.testing import FAKE_CONFTEST, Example, FakeNcu

ONE = """
@pytest.mark.gpuperf(warps="<= 1000")
def test_it(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6))
"""
HANGS = """
import time

@pytest.mark.gpuperf(warps="<= 1000")
def test_it(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6))
    if CHILD:
        with open("pids.new", "w") as file:
            file.write(f"{os.getpid()} {os.getppid()}")
        os.rename("pids.new", "pids")
        time.sleep(60)
"""


def broken(text, *args, **more):
    """Run a session in whose parent something is broken by a conftest."""
    wrong = "if not os.environ.get('GPUPERF_CHILD'):\n" + textwrap.indent(textwrap.dedent(text), "    ")
    return session(ONE, *args, conftest=f"{FAKE_CONFTEST}\nimport os\n{wrong}", **more)


FULL = """
from pytest_gpuperf import relaunch
def full(*_):
    raise OSError(28, "No space left on device")
relaunch.write = full
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_full_disk_costs_the_counters_alone(workers):
    result, fake = broken(FULL, *workers)
    assert reasons(result) == {"test_it": ["ncu-failed"]}, result.stdout
    assert "No space left on device" in result.stdout
    assert (result.returncode, fake.starts) == (0, [])


def test_an_ncu_that_is_gone_when_it_is_started_costs_the_counters_alone():
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": HEAD + ONE})
    fake = FakeNcu(example.path / "bin")
    program = fake.folder / "ncu"
    program.write_text(program.read_text().replace('elif "--query-metrics" in options:', 'elif "--query-metrics" in options:\n        os.unlink(HERE / "ncu")'))
    result = example.run_pytest("--gpuperf", env=fake.environment())
    assert reasons(result) == {"test_it": ["ncu-failed"]}, result.stdout


def test_an_ncu_that_is_killed_has_not_seen_that_there_was_no_kernel():
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": HEAD + ONE})
    fake = FakeNcu(example.path / "bin")
    program = fake.folder / "ncu"
    program.write_text(program.read_text().replace("check=False).returncode\n", "check=False).returncode; os.kill(os.getpid(), 9)\n"))
    result = example.run_pytest("--gpuperf", env=fake.environment())
    assert reasons(result) == {"test_it": ["ncu-failed"]}, result.stdout


def test_where_the_process_that_collects_dies_the_cases_say_so():
    result, fake = session("CHILD and os._exit(5)\n" + ONE, "-n", "2")
    assert reasons(result) == {"test_it": ["ncu-failed"]}, result.stdout
    assert "the process that collects the cases ended with status 5 before it told them" in result.stdout
    assert fake.starts == []
    required, _ = session("CHILD and os._exit(5)\n" + ONE, "-n", "2", "--gpuperf-ncu=require")
    assert verdicts(required) == {"test_it": "FAIL"}
    assert required.returncode == 8


#: pytest that hears Ctrl-C wherever these tests were started, as in the background of a shell.
STARTED = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); runpy.run_module('pytest', run_name='__main__', alter_sys=True)"


def alive(pid):
    """Say whether a process runs; one that only nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_whoever_ends_the_session_leaves_no_process(number, workers):
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": HEAD + HANGS})
    fake = FakeNcu(example.path / "bin")
    environment = example._environment(fake.environment())
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED, "-p", "no:cacheprovider", "--gpuperf", *workers], cwd=example.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: (example.path / "pids").exists() or process.poll() is not None)
        pids = [int(one) for one in (example.path / "pids").read_text().split()]
        os.kill(process.pid, number)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    until(lambda: not any(map(alive, pids)))
    assert not any(map(alive, pids)), said
    assert list((example.path / "reports" / "runs").glob("*/main.jsonl"))
    if number == signal.SIGINT:
        assert process.returncode == 2
        assert (example.path / "reports" / "latest.html").exists(), said
        assert list((example.path / "reports" / "runs").glob("*.json"))


def until(true):
    """Wait until something is so, or for half a minute."""
    end = time.monotonic() + 30
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
