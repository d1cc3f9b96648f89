"""A case that takes too long: a helper process writes its verdict down, has all stacks printed, and ends this process."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.budgets.judge import unjudged
from pytest_gpuperf.case import Case
from pytest_gpuperf.reasons import Reason, reason_record

if TYPE_CHECKING:
    from pytest_gpuperf.recorder import Recorder

#: faulthandler answers it in C, whoever holds the interpreter's lock, and then it ends the process; pytest and its plugins use the ones below SIGRTMIN.
_SIGNAL = signal.SIGRTMAX - 3 if hasattr(signal, "SIGRTMAX") else getattr(signal, "SIGUSR2", None)
#: A process that the signal cannot end in so many seconds is killed.
_PRINTING = 5.0

# It ends when its input does, or when its parent has changed. A line of input arms it anew; an empty one disarms it.
_HELPER = f"""
import json, os, select, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
parent, number, armed, rest = int(sys.argv[1]), int(sys.argv[2]), None, b""
while os.getppid() == parent:
    left = 0.2 if armed is None else min(max(armed["at"] - time.monotonic(), 0.0), 0.2)
    if select.select([0], [], [], left)[0]:
        read = os.read(0, 1 << 16)
        if not read:
            break
        *lines, rest = (rest + read).split(b"\\n")
        for line in lines:
            armed = json.loads(line) if line else None
    elif armed is not None and time.monotonic() >= armed["at"]:
        with open(armed["journal"], "ab", buffering=0) as journal:
            journal.write(armed["line"].encode() + b"\\n")
        os.write(2, ("\\n" + armed["story"] + "\\n").encode())
        os.kill(parent, number)
        time.sleep({_PRINTING})
        os.kill(parent, signal.SIGKILL)
        break
"""


class Faults:
    """The watch over the cases of one process; without a timeout, or without a journal, it does nothing."""

    def __init__(self, timeout: float | None) -> None:
        """Keep the timeout in seconds; the standard error of now is where stacks go, whatever a test captures later."""
        if timeout is not None and _SIGNAL is None:
            message = "--gpuperf-timeout: this system has no signal that could print the stacks and end the process"
            raise pytest.UsageError(message)
        self._timeout = timeout
        self._helper: subprocess.Popen[bytes] | None = None
        self._stderr = os.dup(2) if timeout is not None else None

    def arm(self, recorder: Recorder, case: Case, place: dict[str, Any]) -> None:
        """Give a case its time, from now on."""
        if self._timeout is None or self._stderr is None:
            return
        story = f"{case.nodeid} has not ended within {self._timeout:g} s (--gpuperf-timeout)"
        end = f"gpuperf: FAIL hang: {story}; the stacks of all threads follow, then this process ends; its records are in {recorder.folder}"
        event = {"event": "case", "case": _record(case, place, story, self._timeout)}
        told = {"at": time.monotonic() + self._timeout, "journal": str(recorder.journal.path), "line": json.dumps(event), "story": end}
        self._send(json.dumps(told).encode())

    def disarm(self) -> None:
        """The case has ended."""
        if self._helper is not None:
            self._send(b"")

    def close(self) -> None:
        """End the helper."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            helper.communicate()
            assert _SIGNAL is not None
            faulthandler.unregister(_SIGNAL)
        if self._stderr is not None:
            os.close(self._stderr)
            self._stderr = None

    def _send(self, line: bytes) -> None:
        if self._helper is None:
            self._start()
        assert self._helper is not None
        assert self._helper.stdin is not None
        # A helper that somebody killed watches nothing; the case itself must not fail for that.
        with contextlib.suppress(OSError):
            self._helper.stdin.write(line + b"\n")
            self._helper.stdin.flush()

    def _start(self) -> None:
        assert _SIGNAL is not None
        assert self._stderr is not None
        # Chained: what the signal does by default, which ends the process, follows at once; a call that it interrupts must not go on.
        faulthandler.register(_SIGNAL, file=self._stderr, all_threads=True, chain=True)
        command = [sys.executable, "-I", "-S", "-c", _HELPER, str(os.getpid()), str(int(_SIGNAL))]
        # A session of its own: Ctrl-C in the terminal is not for the helper.
        self._helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._stderr, start_new_session=True)


def _record(case: Case, place: dict[str, Any], story: str, seconds: float) -> dict[str, Any]:
    """Return the record of a case that is ended from outside: what it measured by then is lost with its process."""
    reason = Reason("hang", story)
    left = Reason("body-failed", "the case was ended before this was judged")
    empty = Case(case.nodeid, case.marks, case.device)
    empty.judgements = [unjudged(budget, budget.of or "main", left) for budget in case.marks.budgets]
    record = place | empty.record()
    record["reasons"] = [reason_record(reason), *record["reasons"]]
    return record | {"duration_s": seconds, "outcome": "failed", "verdict": reason.verdict, "error": str(reason)}
