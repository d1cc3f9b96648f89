"""FakeProfiler: what a fake device did, as records of a profiler, with the faults that real ones have."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
from typing import TYPE_CHECKING

from pytest_gpuperf.device.profiler import Allocation, Call, ProfilerError, Records, Work, site_of, waits, windows_of
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.testing.engine import Engine

#: What a profiler on a fake device may be: usable, or one of the faults.
STATES = {
    "": "cupti-python is not installed",
    "usable": "",
    "wrong version": "cupti-python 13.4.0 does not fit the loaded CUPTI 13.0",
    "taken": "",
    "no records": "",
    "drops": "",
}
#: The driver's calls, by what the backend calls them.
_CALLS = {
    "launch": "cuLaunchKernel", "graph": "cuGraphLaunch", "memset": "cuMemsetD8Async", "copy": "cuMemcpyDtoDAsync_v2", "alloc": "cuMemAlloc_v2",
    "free": "cuMemFree_v2", "synchronize": "cuStreamSynchronize", "wait": "cuEventSynchronize", "upload": "cuMemcpyHtoD_v2",
    "download": "cuMemcpyDtoH_v2", "record": "cuEventRecord", "block": "cuStreamWaitValue32_v2", "memory": "cuMemGetInfo_v2", "event": "cuEventCreate",
    "elapsed": "cuEventElapsedTime", "stream": "cuStreamCreate", "compile": "cuLibraryLoadData",
}  # fmt: skip
#: What reading the profiler's clock takes.
_STAMP = 50e-9
_KINDS = {"memset": "memset", "copy": "memcpy"}


class FakeProfiler:
    """Records what the fake device's engine ran; see `Profiler` for what each does.

    >>> from pytest_gpuperf.testing import FakeDevice, FakeSpec
    >>> fake = FakeDevice(FakeSpec(cupti="usable"))
    >>> body = fake.kernel(5e-6)
    >>> with fake.profiler.recording() as recording:
    ...     with recording.window():
    ...         body()
    ...     records, = recording.read()
    >>> [one.name for one in records.work]
    ['body']
    >>> FakeDevice().profiler.missing()
    'cupti-python is not installed'
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.on = False
        self._calls: list[Call] = []
        self._memory: list[Allocation] = []
        self._spans: list[tuple[float, float]] = []
        self._seen = 0

    def missing(self) -> str:
        """Say why it cannot be used."""
        return STATES[self._engine.spec.cupti]

    @contextlib.contextmanager
    def recording(self, *, detail: bool = False) -> Iterator[FakeProfiler]:
        """Record for a block."""
        if self.missing():
            raise ProfilerError(Reason("no-cupti", self.missing()))
        if self._engine.spec.cupti == "taken":
            raise ProfilerError(Reason("cupti-taken"))
        self._forget()
        self.on, self._engine.profiled = True, True
        self._detail = detail
        try:
            yield self
        finally:
            self.on, self._engine.profiled = False, False

    @contextlib.contextmanager
    def window(self) -> Iterator[None]:
        """Mark the calls of a block."""
        begin = self._engine.timeline.host
        try:
            yield
        finally:
            self._end()
            self._engine.timeline.advance(_STAMP)
            self._spans.append((begin, self._engine.timeline.host))

    def now(self) -> float:
        """Return virtual time in seconds."""
        return self._engine.timeline.host

    def read(self) -> list[Records]:
        """Return the records of the windows."""
        self._engine.timeline.wait_device()
        self._end()
        state = self._engine.spec.cupti
        if state == "no records":
            raise ProfilerError(Reason("cupti-no-records"))
        if state == "drops":
            raise ProfilerError(Reason("cupti-dropped", "CUPTI dropped 3 records"))
        extra = self._engine.spec.cupti_error
        work = [
            Work(_KINDS.get(one.name, "kernel"), "DTOD" if one.name == "copy" else one.name, one.start, one.start + one.duration + extra, one.stream,
                 one.correlation, one.node, one.nbytes)
            for one in self._engine.launches if one.correlation >= self._seen
        ]  # fmt: skip
        found = windows_of(self._spans, work, self._calls, self._memory)
        self._forget()
        return found if self._detail else [Records(one.work) for one in found]

    def call(self, name: str) -> None:
        """Remember a call of the driver as it is made; what it starts has its number."""
        self._engine.correlation += 1
        if not self.on:
            return
        self._end()
        now = self._engine.timeline.host
        called = _CALLS.get(name, name)
        site = site_of(sys._getframe(1)) if waits(called) else ""
        self._calls.append(Call(called, now, now, threading.get_native_id(), self._engine.correlation, site))

    def allocated(self, nbytes: int) -> None:
        """Remember that memory was taken, or given back where `nbytes` is negative."""
        if self.on:
            self._memory.append(Allocation(nbytes, self._engine.timeline.host))

    def _end(self) -> None:
        """End the last call where virtual time stands now: a call of the fake's takes its time before the next one begins."""
        if self._calls and self._calls[-1].end == self._calls[-1].start:
            self._calls[-1] = dataclasses.replace(self._calls[-1], end=self._engine.timeline.host)

    def _forget(self) -> None:
        self._calls, self._memory, self._spans = [], [], []
        self._seen = self._engine.correlation + 1


