"""One profiled pass over a measured body: calls that CUPTI records, after everything that is timed, and what their records say."""

from __future__ import annotations

import collections
import dataclasses
import statistics
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.profiler import ProfilerError, Records
from pytest_gpuperf.nvtx_ranges import heard_by
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.buffers import Buffers, SnapshotTooLarge
from pytest_gpuperf.timing.graph import MOST_SETS
from pytest_gpuperf.timing.memory import Memory, watch_memory
from pytest_gpuperf.timing.quiet import quiet_host
from pytest_gpuperf.timing.steps import Heard
from pytest_gpuperf.timing.timeline import timeline_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.steps import Steps

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: Calls that are recorded, after one that is not looked at: the first beside CUPTI takes its own time.
CALLS = 8
#: Rows of a list in the record at most, and characters of a kernel's name.
_ROWS = 50
_NAME = 200


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a profiled pass brought: the records of each call, or why there are none, and what the memory of one call came to."""

    calls: Sequence[Records] | Reason
    memory: Memory
    #: The ranges that the last of these calls opened, on the clock of its records.
    heard: Heard | None = None

    def timeline(self) -> dict[str, Any]:
        """Return the last call's timeline as the record's field, or nothing where nothing was recorded."""
        if isinstance(self.calls, Reason):
            return {}
        ranges, more = ([], 0) if self.heard is None else (self.heard.found, self.heard.more)
        return {"timeline": timeline_of(self.calls[-1], ranges, more)}

    def of(self, count: Callable[[Records], Any]) -> list[Any] | Reason:
        """Return what each call comes to; the reason where nothing was recorded."""
        return self.calls if isinstance(self.calls, Reason) else [count(one) for one in self.calls]

    def record(self) -> dict[str, Any]:
        """Return plain values for the run file: kernels and driver calls of one call by name, the lines that waited, the memory."""
        memory = dataclasses.asdict(self.memory) | {"reason": str(self.memory.reason or "")}
        if isinstance(self.calls, Reason):
            return {"source": None, "calls": 0, "why": str(self.calls), "memory": memory}
        last = self.calls[-1]
        waits = collections.Counter((one.name, one.site) for one in last.waits)
        return {
            "source": "cupti",
            "calls": len(self.calls),
            "kernels": [
                {"name": name, "count": count, "seconds": seconds}
                for name, (count, seconds) in zip(_shortened(self.kernels()), self.kernels().values(), strict=True)
            ][:_ROWS],
            "copies": [{"kind": one.name, "bytes": one.nbytes} for one in (*last.of("memcpy"), *last.of("memset"))][:_ROWS],
            "waits": [{"call": call, "site": site or "line unknown", "count": count} for (call, site), count in waits.items()][:_ROWS],
            "api": [{"call": call, "count": count, "seconds": seconds} for call, (count, seconds) in _by_name(last.calls).items()][:_ROWS],
            "memory": memory,
        }

    def kernels(self) -> dict[str, tuple[int, float]]:
        """Return, by name, how often one call launches a kernel and the seconds that these launches take, as medians over the calls."""
        if isinstance(self.calls, Reason):
            return {}
        each = [_by_name(one.of("kernel")) for one in self.calls]
        names = dict.fromkeys(name for one in each for name in one)
        return {name: (each[-1].get(name, (0, 0.0))[0], statistics.median(one.get(name, (0, 0.0))[1] for one in each)) for name in names}


def _shortened(names: Iterable[str]) -> list[str]:
    """Cut names to what a record holds; those that are then the same get numbers.

    >>> [one[-3:] for one in _shortened(["a" * 300, "a" * 301, "b"])]
    ['aaa', 'a#2', 'b']
    """
    seen: collections.Counter[str] = collections.Counter()
    found = []
    for name in names:
        short = name[:_NAME]
        seen[short] += 1
        found.append(short if seen[short] == 1 else f"{short}#{seen[short]}")
    return found


def _by_name(rows: Sequence[Any]) -> dict[str, tuple[int, float]]:
    found: dict[str, tuple[int, float]] = {}
    for one in rows:
        count, seconds = found.get(one.name, (0, 0.0))
        found[one.name] = count + 1, seconds + one.end - one.start
    return found


def take_profile(backend: Backend, body: Body, buffers: Buffers, stream: int, steps: Steps) -> Profile:
    """Call a body CALLS times while the profiler records, each call from the entry state; the profiler is off again on return.

    Argument sets are called in turns. The buffers hold some call's leavings afterwards: it is the caller who leaves one call in them.
    """

    def prepare() -> None:
        if body.setup is not None:
            body.setup()
        buffers.restore(stream)
        backend.synchronize()

    calls: Sequence[Records] | Reason
    heard = None
    last = max(CALLS, min(body.sets, MOST_SETS)) - 1
    with quiet_host():
        try:
            with backend.profiler.recording(detail=True) as recording:
                heard = Heard(recording.now)
                # The first one is called once before, which is not looked at; in the last one ranges are heard.
                for place, number in enumerate((0, *range(last + 1)), -1):
                    prepare()
                    with heard_by(heard if place == last else None), recording.window():
                        body(number % body.sets)
                    backend.synchronize()
                calls = recording.read()[1:]
        except ProfilerError as error:
            calls = error.reason
        prepare()
        memory = watch_memory(body, calls)
        backend.synchronize()
    steps.done("profiled pass")
    return Profile(calls, memory, heard)


def take_later(instruments: Instruments, body: Body, arrays: Sequence[Any], stream: int, steps: Steps) -> Profile:
    """Take the pass after a measurement had ended: what the arrays hold now is what each call starts from, and what they hold on return."""
    backend = instruments.backend
    backend.synchronize()
    buffers = Buffers(backend, instruments.operations, body, (), arrays)
    try:
        buffers.prepare(stream)
        try:
            buffers.snapshot(stream)
        except SnapshotTooLarge as error:
            reason = Reason("no-memory", str(error))
            return Profile(reason, Memory(reason=reason))
        try:
            return take_profile(backend, body, buffers, stream, steps)
        finally:
            buffers.restore(stream)
            backend.synchronize()
    finally:
        buffers.close()
