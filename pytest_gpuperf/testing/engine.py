"""The time of a fake device's kernels and events: launch shares, the tick, the L2, noise."""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.testing.cache import L2, Traffic
from pytest_gpuperf.testing.noise import Noise
from pytest_gpuperf.testing.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.testing.spec import FakeSpec

    Ranges = list[tuple[int, int]]


@dataclasses.dataclass(slots=True)
class FakeEvent:
    """A timing event; `time` on the tick grid, `end` when it was really reached, None until then."""

    stream: int | None = None
    time: float | None = None
    end: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class FakeLaunch:
    """What a profiler would have recorded of a kernel: `duration` is its own span and the launch share."""

    name: str
    stream: int
    start: float
    duration: float



class Engine:
    """Put kernels and events of one device on its timeline."""

    def __init__(self, spec: FakeSpec) -> None:
        self.spec = spec
        self.timeline = Timeline(spec.host_cost, spec.queue, spec.seed)
        self.noise = Noise(spec)
        self.l2 = L2(spec.l2, int(spec.l2 * spec.l2_dirty))
        self.launches: collections.deque[FakeLaunch] = collections.deque(maxlen=100_000)

    def record(self, event: FakeEvent, stream: int) -> None:
        """Record an event: its time is known when the stream has come to it."""
        event.stream, event.time, event.end = stream, None, None

        def reach(start: float, _follows: bool) -> float:
            event.end = start + self.spec.event_cost
            if event.end == math.inf:
                return event.end
            event.time = math.floor(event.end / self.spec.tick) * self.spec.tick
            return event.end

        self.timeline.enqueue(stream, reach)

    def span(self, duration: float | None, reads: Ranges, writes: Ranges) -> Callable[[float], float]:
        """Return what tells a kernel's own span when its turn on the stream has come, and the L2 is as it then is."""

        def span(start: float) -> float:
            seconds = self._seconds(duration, self.l2.run(reads, writes))
            return max(self.spec.tick, seconds * self.noise.kernel(start))

        return span

    def _seconds(self, duration: float | None, traffic: Traffic) -> float:
        spec = self.spec
        if duration is None:
            return spec.latency + max(traffic.memory / spec.bandwidth, traffic.total / spec.l2_bandwidth)
        saved = traffic.hits * max(0.0, 1 / spec.bandwidth - 1 / spec.l2_bandwidth)
        return max(duration * 0.3, duration - saved) + traffic.others / spec.bandwidth

    def spin(self, ns: int, out: Any) -> Callable[[float], float]:
        """As `span`, for the kernel that times itself: it writes its start and end, on the tick grid, to uint8[16] when it runs."""
        import numpy as np

        def span(start: float) -> float:
            tick = self.spec.tick
            length = max(1, math.ceil(ns * 1e-9 * self.noise.slowdown / tick))
            first = math.floor(start / tick)
            stamps = [round(one * tick * 1e9) for one in (first, first + length)]
            out[:] = np.array(stamps, "<u8").view(np.uint8)
            return (first + length) * tick - start + tick / 2

        return span

    def enqueue(self, name: str, stream: int, span: Callable[[float], float], *, graph: bool = False) -> None:
        """Put a kernel on a stream: its launch overhead, the launch share that a profiler counts, its own span."""
        spec = self.spec

        def operation(start: float, follows: bool) -> float:
            lead = spec.gap if follows else spec.graph_lead if graph else spec.lead
            begin = start + lead + self.noise.launch()
            duration = spec.share + span(begin + spec.share / 2)
            self.launches.append(FakeLaunch(name, stream, begin, duration))
            return begin + duration

        self.timeline.enqueue(stream, operation, is_kernel=True)
