"""The device clock: an event pair on a blocked stream, less a constant calibrated on spin kernels."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import statistics
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gpuperf.device.backend import Backend

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

#: Commands before the first event of a reading, one number after the other: how far the device has fetched what follows shifts a reading by up to 0.1 us, the
#: same in every call of one process and another in the next. Going through these offsets turns it into scatter that a median sees through.
LEADS = (0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10, 5)
#: So does where the events lie (0.17 us between one pair and the next, for some kernels): prime to the number of offsets, so that every pair meets all of them.
PAIRS = 13
#: Half-width of everything about the constant that repeating does not show: other processes, other kernels, the launch share itself.
SYSTEMATIC = 0.10e-6
#: Spans of the spin kernels, in nanoseconds: the constant is flat over this range.
SPINS = (1_000, 5_000, 20_000)
_REPEATS = 2 * len(LEADS)
#: Two spin kernels, with 16 and with 256 bytes of parameters: the constant is the middle between a launch of few and of many.
_SPINNERS = (("spin", 0), ("spin_wide", 30))
#: A spin kernel runs right before every block: the first kernel after an idle device starts up to 7 us late (seen on an H200), and that would be read
#: as the body's. With it the reading of a spin kernel is the same to 0.03 us for any hold, cold or warm.
RUNWAY_NS = 30_000
#: Length of the kernel that must not take longer in any round: else another process has the device.
SENTINEL_NS = 10_000
_SENTINEL_SLACK = 3e-6

KERNEL, GRAPH, UNKNOWN = "kernel", "graph", "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """What to take off a raw reading to get what a profiler would call the GPU duration; seconds.

    `kernel` is for bodies that launch kernels, `graph` for replays of a graph; `systematic` is the half-width of either.
    """

    kernel: float
    graph: float
    systematic: float
    detail: str = ""
    share: float = 0.0

    def constant(self, body: str) -> tuple[float, float]:
        """Return constant and half-width for a kind of body; an unknown kind spans both.

        >>> Calibration(2.2e-6, 1.9e-6, 1e-7).constant("kernel")
        (2.2e-06, 1e-07)
        >>> [round(x * 1e6, 2) for x in Calibration(2.2e-6, 1.9e-6, 1e-7).constant("unknown")]
        [2.05, 0.25]
        """
        if body == KERNEL:
            return self.kernel, self.systematic
        if body == GRAPH:
            return self.graph, self.systematic
        return (self.kernel + self.graph) / 2, abs(self.kernel - self.graph) / 2 + self.systematic

    def record(self) -> dict[str, Any]:
        """Return plain values for the run file."""
        return {"kernel_s": self.kernel, "graph_s": self.graph, "systematic_s": self.systematic, "share_s": self.share, "detail": self.detail}


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """One raw reading: seconds between the events, or that the host's own watchdog had to release the stream."""

    start: Any
    end: Any
    released: bool
    host: float


class Stopwatch:
    """Event pairs on a blocked stream; a pair is used again only after it was read."""

    def __init__(self, backend: Backend) -> None:
        """Keep the backend; events are made as they are needed."""
        self.backend = backend
        self._free: collections.deque[Any] = collections.deque()
        self._out, self._made = 0, False
        self._spare: Any = None
        self._leads = itertools.cycle(LEADS)

    def _pair(self) -> tuple[Any, Any]:
        """Return the pair that has rested longest, so that readings go through PAIRS of them."""
        if not self._made:
            self._made = True
            self._free.extend((self.backend.event(), self.backend.event()) for _ in range(PAIRS))
        return self._free.popleft() if self._free else (self.backend.event(), self.backend.event())

    def start(
        self, body: Callable[[], Any], stream: int, timeout: float, before: Callable[[], Any] | None = None, *, runway: bool = True
    ) -> Reading:
        """Enqueue one reading: runway, block, [before,] lead, event, body, event, release; read it later with `read`.

        Without `runway` the caller has just put some 30 us of work on the stream.
        """
        backend = self.backend
        first, last = self._pair()
        if not self._out:
            self._out = backend.alloc(256)
            self._spare = backend.event()
        if runway:
            backend.launch("spin", (RUNWAY_NS, self._out), stream, blocks=1, threads=32)
        backend.block(stream, timeout)
        released = False
        try:
            if before is not None:
                before()
            for _ in range(next(self._leads)):
                backend.record(self._spare, stream)
            backend.record(first, stream)
            began = backend.now()
            body()
            host = backend.now() - began
            backend.record(last, stream)
        finally:
            released = backend.release()
        return Reading(first, last, released, host)

    def read(self, reading: Reading) -> float:
        """Wait for a reading and return its raw seconds."""
        self.backend.wait(reading.end)
        raw = self.backend.elapsed(reading.start, reading.end)
        self._free.append((reading.start, reading.end))
        return raw

    def close(self) -> None:
        """Free the runway's memory."""
        if self._out:
            self.backend.free(self._out)
            self._out = 0


@contextlib.contextmanager
def scratch(backend: Backend, nbytes: int) -> Iterator[int]:
    """Hold device memory for the length of a block."""
    address = backend.alloc(nbytes)
    try:
        yield address
    finally:
        backend.free(address)


def warm_up(backend: Backend, stream: int, seconds: float = 0.05) -> None:
    """Keep the device busy until its clocks have left idle."""
    with scratch(backend, 256) as out:
        for _ in range(max(1, round(seconds / 1e-3))):
            backend.launch("spin", (1_000_000, out), stream, blocks=1, threads=32)
        backend.synchronize(stream)


def calibrate(backend: Backend, watch: Stopwatch, stream: int) -> Calibration:
    """Measure the constants: blocked reading less the spin kernel's own span (%globaltimer), plus the launch share."""
    warm_up(backend, stream)
    share, unsure = backend.open().launch_share
    found: dict[bool, dict[str, float]] = {}
    with scratch(backend, 256) as out:
        for graph in (False, True):
            found[graph] = {name: _extra(backend, watch, stream, (name, (0,) * unused), out, graph=graph) - share for name, unused in _SPINNERS}
    kernel, replay = (statistics.fmean(found[graph].values()) for graph in (False, True))
    shown = [f"{' / '.join(f'{one * 1e6:.3f}' for one in found[graph].values())} us" for graph in (False, True)]
    spans = "/".join(str(span // 1000) for span in SPINS)
    detail = f"spin kernels of {spans} us with few / many parameters: kernels {shown[0]}, graph replays {shown[1]}; launch share {share * 1e6:.2f} +- {unsure * 1e6:.2f} us"
    # Nobody knows how many parameters a body's launches have: half of what they matter is uncertain too.
    unknown = max(max(found[graph].values()) - min(found[graph].values()) for graph in (False, True)) / 2
    return Calibration(kernel, replay, SYSTEMATIC + unknown + unsure, detail, share)


def _middle(values: list[float]) -> float:
    """Return the mean of the middle half: not as coarse as the clock's tick, and blind to what was interrupted.

    >>> _middle([1.0, 2.0, 2.0, 3.0, 90.0, 2.0, 3.0, 0.0])
    2.25
    """
    ordered = sorted(values)
    cut = len(ordered) // 4
    return statistics.fmean(ordered[cut : len(ordered) - cut])


def _extra(backend: Backend, watch: Stopwatch, stream: int, spinner: tuple[str, tuple[int, ...]], out: int, *, graph: bool) -> float:
    """Return the mean, over spans, of what a blocked reading adds to a spin kernel's own span."""
    name, unused = spinner
    by_span: list[float] = []
    for span in SPINS:

        def body(span: int = span) -> None:
            backend.launch(name, (span, out, *unused), stream, blocks=1, threads=32, graph=graph)

        for _ in range(3):
            body()
        backend.synchronize(stream)
        extra: list[float] = []
        for _ in range(_REPEATS):
            raw = watch.read(watch.start(body, stream, 1.0))
            first, last = struct.unpack("<QQ", backend.download(out, 16))
            extra.append(raw - (last - first) * 1e-9)
        by_span.append(_middle(extra))
    return statistics.fmean(by_span)


class Sentinel:
    """A kernel of known length, run once a round: it takes longer only where somebody else has the device."""

    def __init__(self, backend: Backend, watch: Stopwatch, calibration: Calibration) -> None:
        """Allocate where its own span goes."""
        self.backend = backend
        self.watch = watch
        self.expected = SENTINEL_NS * 1e-9 + calibration.kernel + calibration.share
        self.out = backend.alloc(256)
        self.long: list[float] = []
        self.rounds = 0

    def look(self, stream: int) -> None:
        """Run it and remember how much longer than known it took."""
        backend = self.backend
        raw = self.watch.read(self.watch.start(lambda: backend.launch("spin", (SENTINEL_NS, self.out), stream, blocks=1, threads=32), stream, 1.0))
        self.rounds += 1
        if raw > self.expected + _SENTINEL_SLACK:
            self.long.append(raw - self.expected)

    def close(self) -> None:
        """Free its memory."""
        self.backend.free(self.out)

    @property
    def foreign(self) -> str:
        """What it saw of others; empty where it saw nothing."""
        if len(self.long) < 2 or len(self.long) * 4 < self.rounds:
            return ""
        return f"a kernel of {SENTINEL_NS / 1000:.0f} us took {statistics.median(self.long) * 1e6:.1f} us longer in {len(self.long)} of {self.rounds} rounds"
