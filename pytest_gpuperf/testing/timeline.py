"""Virtual time: a host clock, streams that run operations in order, and one stream held at a time."""

from __future__ import annotations

import dataclasses
import math
import random
import time
from typing import TYPE_CHECKING

from pytest_gpuperf.testing.spec import FakeDeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

#: From the store of the host's flag until the stream sees it: this long, and up to as much again, so that samples meet the tick grid anywhere.
_RELEASE_LATENCY = 1e-6



@dataclasses.dataclass(slots=True)
class _Queued:
    enqueued: float
    operation: Callable[[float, bool], float]
    is_kernel: bool


@dataclasses.dataclass(slots=True)
class _Stream:
    """When its last operation ends, whether that is a kernel, and what waits while it is held."""

    free_at: float = 0.0
    after_kernel: bool = False
    queued: list[_Queued] | None = None


class Timeline:
    """Run operations on virtual time.

    Streams do not wait for one another (as torch's, which are non-blocking). An operation starts when its stream is free and the
    host has enqueued it; on a held stream it waits for the release, or for the deadline: nothing else ends a hold.
    """

    def __init__(self, host_cost: float, queue: int, seed: int) -> None:
        self.host = 0.0
        self.host_cost = host_cost
        self.queue = queue
        self._random = random.Random(seed)  # noqa: S311 - jitter, not secrets
        self._streams: dict[int, _Stream] = {0: _Stream()}
        self._held: int | None = None
        self._deadline = 0.0
        self._timed_out = False

    def add_stream(self) -> int:
        """Make a stream and return its handle."""
        handle = max(self._streams) + 0x10
        self._streams[handle] = _Stream(free_at=self.host)
        return handle

    def advance(self, seconds: float) -> None:
        """Let the host clock pass; a deadline that it crosses lets the held stream go. For ever is for ever, in real time too."""
        while seconds == math.inf:
            time.sleep(3600)
        self.host += seconds
        if self._held is not None and self.host >= self._deadline:
            self._let_go(self._deadline)
            self._timed_out = True

    def call(self) -> None:
        """Charge the host for one call of the driver."""
        self.advance(self.host_cost)

    def enqueue(self, stream: int, operation: Callable[[float, bool], float], *, is_kernel: bool = False) -> None:
        """Put an operation on a stream; where a held one is full, the host waits, as it does on a device."""
        one = _Queued(self.host, operation, is_kernel)
        state = self._state(stream)
        if state.queued is not None and len(state.queued) >= self.queue:
            self._wait_until(self._deadline)
        if state.queued is None:
            self._run(state, one)
        else:
            state.queued.append(one)

    def hold(self, stream: int, timeout: float) -> None:
        """Hold a stream behind what is on it."""
        if self._held is not None:
            raise FakeDeviceError(f"block(stream={stream}): stream {self._held} is held already; release it first")
        self._state(stream).queued = []
        self._held, self._deadline, self._timed_out = stream, self.host + timeout, False

    def release(self) -> bool:
        """Let the held stream go on; False where its deadline had passed."""
        in_time = not self._timed_out
        self._timed_out = False
        if self._held is not None:
            self._let_go(self.host)
        return in_time

    def wait_stream(self, stream: int) -> None:
        """Let the host wait for a stream; for the deadline first, where it is held."""
        state = self._state(stream)
        if state.queued is not None:
            self._wait_until(self._deadline)
        self._wait_until(state.free_at)

    def wait_device(self) -> None:
        """Let the host wait for every stream."""
        for stream in self._streams:
            self.wait_stream(stream)

    def wait_unheld(self) -> None:
        """Let the host wait as calls do that need the whole device idle; returns when no stream is held."""
        if self._held is not None:
            self._wait_until(self._deadline)

    def _state(self, stream: int) -> _Stream:
        try:
            return self._streams[stream]
        except KeyError:
            message = f"stream {stream:#x} is not one of this fake device ({', '.join(hex(one) for one in self._streams)})"
            raise FakeDeviceError(message) from None

    def _wait_until(self, moment: float) -> None:
        if moment > self.host:
            self.advance(moment - self.host)

    def _let_go(self, moment: float) -> None:
        # A profile function that reads the clock may cross the deadline in the middle of a call that does.
        if self._held is None:
            return
        state = self._streams[self._held]
        self._held = None
        state.free_at = max(state.free_at, moment + _RELEASE_LATENCY * (1 + self._random.random()))
        state.after_kernel = False
        queued, state.queued = state.queued or [], None
        for one in queued:
            self._run(state, one)

    @staticmethod
    def _run(state: _Stream, one: _Queued) -> None:
        start = max(state.free_at, one.enqueued)
        state.free_at = one.operation(start, state.after_kernel and start == state.free_at)
        state.after_kernel = one.is_kernel
