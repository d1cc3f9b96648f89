"""A case that takes too long: a helper process writes its verdict down, has all stacks printed, and ends this process."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.budgets.judge import unjudged
from pytest_gpuperf.case import Case
from pytest_gpuperf.reasons import Reason, reason_record
from pytest_gpuperf.records.in_place import adds_to_step

if TYPE_CHECKING:
    from pytest_gpuperf.recorder import Recorder

#: faulthandler answers it in C, whoever holds the interpreter's lock, and then it ends the process; pytest and its plugins use the ones below SIGRTMIN.
_SIGNAL = signal.SIGRTMAX - 3 if hasattr(signal, "SIGRTMAX") else getattr(signal, "SIGUSR2", None)
#: A process that the signal cannot end in so many seconds is killed; one that this cannot end in so many more is told of.
_PRINTING, _KILLING = 5.0, 15.0
#: Run file and page of what was measured, by a process of their own, may take so long.
_WRITING = 60.0

# It ends when its input does, or when its parent has changed. A line of input arms it anew; an empty one disarms it.
_HELPER = f"""
import json, os, select, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
parent, number, armed, rest = int(sys.argv[1]), int(sys.argv[2]), None, b""
def say(text):
    os.write(2, ("\\ngpuperf: " + text + "\\n").encode())
def gone(seconds):
    end = time.monotonic() + seconds
    while os.getppid() == parent and time.monotonic() < end:
        time.sleep(0.02)
    return os.getppid() != parent
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
        say(armed["story"])
        try:
            with open(armed["journal"], "ab", buffering=0) as journal:
                journal.write(armed["line"].encode() + b"\\n")
        except OSError as error:
            say("its record: %s" % error)
        for command in armed["commands"]:
            try:
                to = 2 if command[-1] == "-" else subprocess.DEVNULL
                done = subprocess.run(command, env=os.environ | armed["env"], stdout=to, timeout={_WRITING})
                if done.returncode:
                    say("run file or page: ended with status %d: gpuperf %s" % (done.returncode, " ".join(command[3:])))
            except (OSError, subprocess.SubprocessError) as error:
                say("run file or page: %s" % error)
        os.kill(parent, number)
        if not gone({_PRINTING}):
            os.kill(parent, signal.SIGKILL)
            if not gone({_KILLING}):
                say("process %d has not ended {_KILLING:g} s after it was killed: it waits inside the driver, and holds the device until the device lets it go" % parent)
        break
"""
#: The console script, wherever it is installed.
_CONSOLE = "import sys; from pytest_gpuperf.cli import main; sys.exit(main())"


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
        self._armed: dict[str, Any] | None = None
        self._left: float | None = None

    def arm(self, recorder: Recorder, case: Case, place: dict[str, Any]) -> None:
        """Give a case its time, from now on."""
        if self._timeout is None or self._stderr is None:
            return
        story = f"{case.nodeid} has not ended within {self._timeout:g} s (--gpuperf-timeout)"
        end = f"FAIL hang: {story}; the stacks of all threads follow, then this process ends; if it is only slow, give it more; its records are in {recorder.folder}"
        event = {"event": "hang", "case": _record(case, place, story, self._timeout)}
        told: dict[str, Any] = {"journal": str(recorder.journal.path), "line": json.dumps(event), "story": end, "commands": _commands(recorder)}
        told |= {"at": time.monotonic() + self._timeout, "env": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
        self._armed = told
        self._send(json.dumps(told).encode())

    def disarm(self) -> None:
        """The case has ended."""
        self._armed = self._left = None
        if self._helper is not None:
            self._send(b"")

    def pause(self) -> None:
        """The case waits for others to be done with the device; what is left of its time is kept."""
        if self._armed is not None and self._left is None:
            self._left = self._armed["at"] - time.monotonic()
            self._send(b"")

    def resume(self) -> None:
        """The case has the device and goes on with the rest of its time."""
        if self._armed is not None and self._left is not None:
            self._armed["at"], self._left = time.monotonic() + self._left, None
            self._send(json.dumps(self._armed).encode())

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


def _commands(recorder: Recorder) -> list[list[str]]:
    """Return the commands that write what this process can no longer: run file and page; none for a worker, as its controller goes on."""
    if recorder.worker != "main":
        return []
    console = [sys.executable, "-c", _CONSOLE]
    run = str(recorder.config.runs / f"{recorder.run_id}.json")
    files = [run, *([str(recorder.config.json)] if recorder.config.json is not None else [])]
    if recorder.config.history is not None:
        # By a name that no other run has: the hash of the content is not known here.
        files.append(str(recorder.config.history / f"{recorder.run_id}-{secrets.token_hex(4)}.json"))
    beside = ["--reference", str(recorder.config.reference)] if recorder.config.reference is not None else []
    merges = [[*console, "merge", str(recorder.folder), "-o", one] for one in files]
    render, summary, step = [*console, "render", run, *beside], recorder.config.summary, os.environ.get("GITHUB_STEP_SUMMARY")
    told = [[*render, "--format", "html", "-o", str(recorder.config.report)]]
    told += [[*render, "--format", "markdown", "-o", str(summary)]] if summary is not None and not adds_to_step(summary, step) else []
    told += [[*render, "--format", "markdown", "--append", "-o", step]] if step else []
    # Standard error is where this process has said all else.
    told += [[*render, "--format", "annotations", "-o", "-"]] if os.environ.get("GITHUB_ACTIONS") == "true" else []
    return [*merges, *told]


def _record(case: Case, place: dict[str, Any], story: str, seconds: float) -> dict[str, Any]:
    """Return the record of a case that is ended from outside; what it measured by then stands in the journal already."""
    reason = Reason("hang", story)
    left = Reason("body-failed", "the case was ended before this was judged")
    empty = Case(case.nodeid, case.marks, case.device)
    empty.judgements = [unjudged(budget, budget.of or "main", left) for budget in case.marks.budgets]
    record = place | empty.record()
    record["reasons"] = [reason_record(reason), *record["reasons"]]
    return record | {"duration_s": seconds, "outcome": "failed", "verdict": reason.verdict, "error": str(reason)}
