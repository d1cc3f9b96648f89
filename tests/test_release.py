"""The gate that holds a stream, without a stream: the word in shared memory, the deadline, the helper's life."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_gpuperf.device import release
from pytest_gpuperf.device.release import Gate, GateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gate needs inherited descriptors, and these tests /proc")


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait for a condition; say whether it came."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_release_opens_the_gate_before_the_deadline(gate: Gate) -> None:
    number = gate.arm(60)
    assert gate.word == number - 1
    assert gate.release() is True
    assert gate.word == number


def test_the_device_sees_the_word_in_the_first_32_bits_of_the_page(gate: Gate) -> None:
    gate.arm(60)
    gate.release()
    gate.arm(60)
    gate.release()
    assert ctypes.c_uint32.from_address(gate.address).value == 2
    assert gate.address % 4096 == 0


def test_the_helper_opens_the_gate_when_the_deadline_has_passed_and_not_before(gate: Gate) -> None:
    gate.start()
    begin = time.monotonic()
    number = gate.arm(0.15)
    assert until(lambda: gate.word == number)
    assert 0.15 <= time.monotonic() - begin < 1.0
    assert gate.release() is False


def test_numbers_rise_and_a_late_helper_never_lowers_the_word(gate: Gate) -> None:
    outcomes = set()
    for n in range(1, 400):
        number = gate.arm(0.0005 if n % 3 else 60)
        assert number == n
        if n % 3 == 1:
            time.sleep(0.0004)
        outcomes.add(gate.release())
        assert gate.word == n
    assert True in outcomes
    time.sleep(0.05)
    assert gate.word == 399


def test_release_twice_and_release_of_nothing_are_harmless(gate: Gate) -> None:
    assert gate.release() is True
    gate.arm(60)
    gate.release()
    assert gate.release() is True
    assert gate.word == 1


def test_arming_a_held_gate_is_an_error(gate: Gate) -> None:
    gate.arm(60)
    with pytest.raises(GateError, match="held already at number 1"):
        gate.arm(60)


def test_a_dead_helper_is_replaced_before_arming(gate: Gate) -> None:
    gate.arm(60)
    gate.release()
    first = gate.helper_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert until(lambda: not alive(first))
    number = gate.arm(0.02)
    assert gate.helper_pid != first
    assert until(lambda: gate.word == number)


def test_release_after_the_deadline_does_not_wait_for_a_dead_helper(gate: Gate) -> None:
    gate.arm(0.05)
    assert gate.helper_pid is not None
    os.kill(gate.helper_pid, signal.SIGKILL)
    time.sleep(0.08)
    begin = time.monotonic()
    assert gate.release() is True
    assert time.monotonic() - begin < 1.0


def test_the_helper_is_out_of_reach_of_ctrl_c(gate: Gate) -> None:
    gate.start()
    pid = gate.helper_pid
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
    os.kill(pid, signal.SIGINT)
    number = gate.arm(0.02)
    assert until(lambda: gate.word == number)
    assert gate.helper_pid == pid


def test_close_ends_the_helper() -> None:
    gate = Gate()
    gate.start()
    pid = gate.helper_pid
    assert pid is not None
    gate.close()
    assert not alive(pid)


FORKS = "if os.fork() == 0: time.sleep(60)"


@pytest.mark.parametrize("more", ["", FORKS], ids=["alone", "with a forked child that keeps the pipe"])
def test_the_helper_ends_when_the_parent_is_killed(more: str) -> None:
    program = f"""
import os, time
from pytest_gpuperf.device.release import Gate
gate = Gate()
gate.arm(60)
{more}
print(gate.helper_pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert parent.stdout is not None
        helper = int(parent.stdout.readline())
        assert alive(helper)
        parent.kill()
        parent.wait()
        assert until(lambda: not alive(helper))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.stdout.close()


def test_a_helper_that_cannot_begin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    monkeypatch.setattr(release, "_HELPER", "raise SystemExit('no luck')")
    with pytest.raises(GateError, match="release helper ended with status 1: no luck"):
        gate.arm(1)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(GateError, match="could not be started with '/nowhere/python'"):
        gate.arm(1)
    gate.close()
