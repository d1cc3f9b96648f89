"""Roofs: the time of our own move kernel with exactly a work's bytes, in the same cache state and run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.body import Body
from pytest_gpuperf.timing.cache import MAX_SETS, ROTATION
from pytest_gpuperf.timing.clock import KERNEL
from pytest_gpuperf.timing.measure import Request, measure
from pytest_gpuperf.timing.sources import DEVICE, GRAPH
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.work import Work

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_ALIGN = 256
_QUICK = 0.03


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """One launch shape of the move kernel: threads a block, bytes a thread, and at most so many blocks a multiprocessor (0: no limit)."""

    threads: int
    bytes_a_thread: int
    blocks_per_sm: int = 0

    def blocks(self, nbytes: int, sm_count: int) -> int:
        """Return how many blocks move some bytes.

        >>> Shape(256, 64).blocks(1 << 20, 132), Shape(512, 64, 4).blocks(1 << 30, 132)
        (64, 528)
        """
        enough = max(1, -(-nbytes // (self.threads * self.bytes_a_thread)))
        return min(enough, self.blocks_per_sm * sm_count) if self.blocks_per_sm else enough


#: The fastest of these is the roof; which one wins differs by chip and size. One access a thread reaches the driver's copy on an H200.
SHAPES: tuple[Shape, ...] = (
    Shape(128, 16),
    Shape(256, 16),
    Shape(64, 64),
    Shape(256, 64),
    Shape(1024, 64),
    Shape(256, 64, 8),
    Shape(512, 64, 4),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Roof:
    """A measured roof: seconds with its interval, and how the bytes were moved."""

    time: Value
    how: str


class Roofs:
    """The roofs of one device, measured at their first use and kept for the session."""

    def __init__(self, instruments: Instruments, stream: int, limit: float, clock: str = DEVICE) -> None:
        """Keep what a roof is measured with."""
        self.instruments, self.stream, self.limit, self.clock = instruments, stream, limit, clock
        self._known: dict[tuple[int, int, str], Roof] = {}

    def of(self, work: Work, cache: str) -> Value:
        """Return the roof of a work in a cache state, as a Value in seconds."""
        key = (work.reads, work.writes, cache)
        if key not in self._known:
            self._known[key] = self._measure(work, cache)
        return self._known[key].time

    def record(self) -> list[dict[str, Any]]:
        """Return every roof so far as plain values for the run file."""
        return [
            {"reads": reads, "writes": writes, "cache": cache, "how": roof.how, **roof.time.record()}
            for (reads, writes, cache), roof in self._known.items()
        ]

    def _measure(self, work: Work, cache: str) -> Roof:
        backend, limits = self.instruments.backend, self.instruments.limits
        if self.clock == GRAPH:
            return Roof(Value.missing("roof", "s", GRAPH, Reason("no-roof", "graphs of several calls have no roof of their own, and other sources do not mix")), "")
        reads, writes = (-(-size // _ALIGN) * _ALIGN for size in (work.reads, work.writes))
        sets = 1
        if cache == "steady":
            needed = ROTATION * limits.l2_bytes
            sets = 1 if work.bytes >= needed else min(MAX_SETS, -(-needed // max(reads + writes, 1)))
        total = sets * (reads + writes)
        free, _ = backend.memory()
        if total > 0.9 * free:
            reason = Reason("no-memory", f"the roof needs {total:,} bytes of device memory, {free:,} are free")
            return Roof(Value.missing("roof", "s", self.clock, reason), "")
        source = backend.alloc(max(sets * reads, _ALIGN))
        target = backend.alloc(max(sets * writes, _ALIGN))
        try:
            backend.memset(source, 0x3C, max(sets * reads, _ALIGN), self.stream)
            arguments = [(source + index * reads, target + index * writes) for index in range(sets)]
            roads = self._roads(work)
            quick = {name: self._time(road, arguments, cache, work, _QUICK) for name, road in roads.items()}
            best = min(quick, key=lambda name: quick[name].number or float("inf"))
            return Roof(self._time(roads[best], arguments, cache, work, self.limit), best)
        finally:
            backend.synchronize()
            backend.free(source)
            backend.free(target)

    def _roads(self, work: Work) -> dict[str, Callable[[int, int], None]]:
        """Return every way to move these bytes, by name."""
        backend, limits, stream = self.instruments.backend, self.instruments.limits, self.stream
        most = max(work.reads, work.writes)
        roads: dict[str, Callable[[int, int], None]] = {}
        for shape in SHAPES:
            blocks = shape.blocks(most, limits.sm_count)

            def move(source: int, target: int, blocks: int = blocks, threads: int = shape.threads) -> None:
                backend.launch("move", (source, target, work.reads, work.writes), stream, blocks=blocks, threads=threads)

            roads.setdefault(f"move, {blocks} blocks of {shape.threads}", move)
        if work.reads == work.writes:
            # The driver's own device copy competes: up to 0.4 us faster at 1 MiB on an H200, and what torch's copy_ is.
            roads["driver copy"] = lambda source, target: backend.copy(target, source, work.writes, stream)
        return roads

    def _time(self, road: Callable[[int, int], None], arguments: list[tuple[int, int]], cache: str, work: Work, limit: float) -> Value:
        body = Body(road, arguments, {}, work)
        timed = measure(self.instruments, Request(body, cache, self.stream, limit, kind=KERNEL, roof=True, clock=self.clock))
        return dataclasses.replace(timed.values["time"], name="roof")
