"""Roofs: the times of our own kernels with exactly a work's bytes, and with its operations, in the same cache state and run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.body import Body
from pytest_gpuperf.timing.cache import MAX_SETS, ROTATION
from pytest_gpuperf.timing.clock import KERNEL
from pytest_gpuperf.timing.measure import Request, measure
from pytest_gpuperf.timing.rates import Roof, compute_roof
from pytest_gpuperf.timing.sources import DEVICE, GRAPH
from pytest_gpuperf.values import Value
from pytest_gpuperf.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.timing.instruments import Instruments

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


class Roofs:
    """The roofs of one device, measured at their first use and kept for the session."""

    def __init__(self, instruments: Instruments, stream: int, limit: float, clock: str = DEVICE) -> None:
        """Keep what a roof is measured with."""
        self.instruments, self.stream, self.limit, self.clock = instruments, stream, limit, clock
        self._moves: dict[tuple[int, int, str, str], Roof] = {}
        self._computes: dict[tuple[int, str, str, bool, str], Roof] = {}

    def of(self, work: Work, cache: str, duty: str = "spaced") -> Roof:
        """Return the roof of the bytes of a work in a cache state, at a duty."""
        key = (work.reads, work.writes, cache, duty)
        if key not in self._moves:
            self._moves[key] = self._measure(work, cache, duty)
        return self._moves[key]

    def of_flops(self, work: Work, cache: str, duty: str = "spaced", *, zeros: bool = False) -> Roof:
        """Return the roof of the operations of a work, in launches as they would be of a body in that cache state.

        Operands are noise; with `zeros` they are zeros, which draw less power and so run faster where power is the limit: no honest body is faster than that.
        """
        key = (work.flops, work.kind, cache, zeros, duty)
        if key not in self._computes:
            as_body = Request(Body(_nothing, ((),), {}, work), cache, self.stream, self.limit, kind=KERNEL, roof=True, duty=duty, clock=self.clock)
            self._computes[key] = self._no_roof() or compute_roof(self.instruments, as_body, work, zeros=zeros)
        return self._computes[key]

    def find(self, what: str, work: Work, cache: str, duty: str = "spaced") -> Roof:
        """Return a roof of a work: of its `bytes`, of its `reads` alone, of its `flops` on noise or on `zeros`."""
        if what in ("flops", "zeros"):
            return self.of_flops(work, cache, duty, zeros=what == "zeros")
        return self.of(work if what == "bytes" else Work(reads=work.reads), cache, duty)

    def record(self) -> list[dict[str, Any]]:
        """Return every roof so far as plain values."""
        moved: list[tuple[dict[str, Any], Roof]] = [
            ({"reads": reads, "writes": writes, "cache": cache, "duty": duty}, roof) for (reads, writes, cache, duty), roof in self._moves.items()
        ]
        computed = [
            ({"flops": flops, "kind": kind, "cache": cache, "zeros": zeros, "duty": duty}, roof) for (flops, kind, cache, zeros, duty), roof in self._computes.items()
        ]
        return [{**what, "how": roof.how, **roof.time.record()} for what, roof in (*moved, *computed)]

    def _no_roof(self) -> Roof | None:
        """Return the roof that a clock does not have; None where it has one."""
        if self.clock != GRAPH:
            return None
        return Roof(Value.missing("roof", "s", GRAPH, Reason("no-roof", "graphs of several calls have no roof of their own, and other sources do not mix")), "")

    def _measure(self, work: Work, cache: str, duty: str) -> Roof:
        backend, limits = self.instruments.backend, self.instruments.limits
        if (hole := self._no_roof()) is not None:
            return hole
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
            quick = {name: self._time(road, arguments, cache, work, _QUICK, duty) for name, road in roads.items()}
            best = min(quick, key=lambda name: quick[name].number or float("inf"))
            return Roof(self._time(roads[best], arguments, cache, work, self.limit, duty), best)
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

    def _time(self, road: Callable[[int, int], None], arguments: list[tuple[int, int]], cache: str, work: Work, limit: float, duty: str) -> Value:
        body = Body(road, arguments, {}, work)
        timed = measure(self.instruments, Request(body, cache, self.stream, limit, kind=KERNEL, roof=True, duty=duty, clock=self.clock))
        return dataclasses.replace(timed.values["time"], name="roof")


def _nothing() -> None:
    """Stand for the body of a request that only tells how its roof is to be measured."""
