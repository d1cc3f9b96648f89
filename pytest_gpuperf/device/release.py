"""The gate that holds a stream: a word in shared memory, and a helper process that opens it when this one cannot.

The stream waits until the word has reached a number. A body that synchronises while it holds the interpreter's lock would wait
for ever, no thread of this process could help it: so another process watches the deadline, and opens the gate when it passes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import tempfile
import time
from typing import Final

from pytest_gpuperf.errors import GpuPerfError

PAGE_BYTES: Final = 4096
#: The stream's word is 32 bits wide and compared cyclically; numbers stay below the half of that.
LAST_NUMBER: Final = 0x7FFFFFFF

# Places in the page as indices of 64-bit words, each on a cache line of its own: the open word that the stream waits on (its low half), the
# number that is armed, its deadline (0: none), the number that the helper opened last, and how often the helper has looked.
_OPEN, _ARMED, _DEADLINE, _FIRED, _TURN = 0, 8, 16, 24, 32

# How often the helper looks, in seconds; a deadline is met to this.
_PERIOD: Final = 0.01

# The helper reads the clock before it reads what is armed. So it can open a number late only if that was still armed at its
# deadline, and `Gate.release` need wait for it only then; everywhere else no late store can close a gate again.
# It ends when its input does, or when its parent has changed: the first does not come while a forked child keeps the pipe.
_HELPER: Final = f"""
import mmap, os, select, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
parent = int(sys.argv[2])
words = memoryview(mmap.mmap(int(sys.argv[1]), {PAGE_BYTES})).cast("Q")
while os.getppid() == parent:
    now = time.monotonic_ns()
    deadline = words[{_DEADLINE}]
    number = words[{_ARMED}]
    if deadline and now >= deadline == words[{_DEADLINE}]:
        if words[{_FIRED}] != number:
            words[{_OPEN}] = number
            words[{_FIRED}] = number
        deadline = 0
    words[{_TURN}] += 1
    left = (deadline - now) * 1e-9 if deadline else {_PERIOD}
    if select.select([0], [], [], min(max(left, 0.0), {_PERIOD}))[0] and not os.read(0, 1):
        break
"""


class GateError(GpuPerfError):
    """The helper process of the gate could not be started, or the gate is used out of order."""


def _shared_file() -> int:
    """Return a descriptor of a page of shared memory that has no name any more."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("gpuperf-gate")
    else:
        with tempfile.TemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as file:  # noqa: PTH112, S108
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, PAGE_BYTES)
    return descriptor


class Gate:
    """A word in shared memory that reaches a number when `release` is called, or when the time has passed, whichever is first."""

    def __init__(self) -> None:
        self._descriptor = _shared_file()
        self._page = mmap.mmap(self._descriptor, PAGE_BYTES)
        self._words = memoryview(self._page).cast("Q")
        self._helper: subprocess.Popen[bytes] | None = None
        self._number = 0
        self._held = False

    @property
    def address(self) -> int:
        """The host address of the page, whose first 32 bits a stream can wait on."""
        word = ctypes.c_char.from_buffer(self._page)
        return ctypes.addressof(word)

    @property
    def word(self) -> int:
        """The number that the gate has reached."""
        return int(self._words[_OPEN])

    @property
    def helper_pid(self) -> int | None:
        """The process id of the helper; None before the first `arm`."""
        return self._helper.pid if self._helper else None

    def start(self) -> None:
        """Start the helper where none runs; return once it watches. GateError where it cannot be started within 20 s."""
        if self._helper is not None and self._helper.poll() is None:
            return
        self._end_helper()
        seen = self._words[_TURN]
        command = [sys.executable, "-I", "-S", "-c", _HELPER, str(self._descriptor), str(os.getpid())]
        try:
            # A session of its own: Ctrl-C in the terminal is not for the helper.
            self._helper = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(self._descriptor,),
                start_new_session=True,
            )
        except OSError as error:
            message = f"the release helper could not be started with {sys.executable!r}: {error}\nWithout it a body that synchronises would hang; check that this Python can start itself."
            raise GateError(message) from error
        give_up = time.monotonic() + 20
        while self._words[_TURN] == seen:
            if self._helper.poll() is not None or time.monotonic() > give_up:
                status = self._helper.poll()
                told = self._end_helper()
                state = "did not begin within 20 s" if status is None else f"ended with status {status}"
                message = f"the release helper {state}: {told or 'it said nothing'}\nWithout it a body that synchronises would hang; check that this Python can start itself."
                raise GateError(message)
            time.sleep(0.001)

    def arm(self, timeout: float) -> int:
        """Return the next number, which the gate reaches by `release`, or by the helper after `timeout` seconds."""
        if self._held:
            message = f"the gate is held already at number {self._number}: release it before it is armed again"
            raise GateError(message)
        self.start()
        if self._number == LAST_NUMBER:
            message = f"the gate has been used {LAST_NUMBER:,} times, which is all that its numbers allow; begin a new session"
            raise GateError(message)
        self._number += 1
        self._held = True
        self._words[_ARMED] = self._number
        self._words[_DEADLINE] = time.monotonic_ns() + max(int(timeout * 1e9), 1)
        return self._number

    def release(self) -> bool:
        """Open the gate; False where the helper had done it. Nothing happens, and True comes back, where it is not held."""
        if not self._held:
            return True
        number, words = self._number, self._words
        opened_before = words[_FIRED] == number
        words[_OPEN] = number
        deadline, words[_DEADLINE] = words[_DEADLINE], 0
        self._held = False
        if time.monotonic_ns() < deadline:
            return True
        if not opened_before:
            self._settle(number)
        return words[_FIRED] != number

    def _settle(self, number: int) -> None:
        """Wait until the helper can no longer store `number`: it has done so, has looked twice since, or is gone."""
        turn = self._words[_TURN]
        while self._words[_FIRED] != number and self._words[_TURN] < turn + 2:
            if self._helper is None or self._helper.poll() is not None:
                return
            time.sleep(0.0005)

    def _end_helper(self) -> str:
        """End the helper and return what it wrote to its standard error."""
        helper, self._helper = self._helper, None
        if helper is None:
            return ""
        helper.kill()
        _, told = helper.communicate()
        return told.decode(errors="replace").strip()

    def close(self) -> None:
        """Open the gate, end the helper and give the page back; the stream and the driver must not use it any more."""
        self.release()
        self._end_helper()
        self._words.release()
        self._page.close()
        os.close(self._descriptor)
