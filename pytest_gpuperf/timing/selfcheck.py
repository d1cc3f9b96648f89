"""The self-check: a few calls by CUPTI, after the timed ones, held against what the device clock said; once a case."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING, Any

from pytest_gpuperf import stats
from pytest_gpuperf.device.arrays import device_arrays
from pytest_gpuperf.device.profiler import ProfilerError
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.sampler import Sampler
from pytest_gpuperf.timing.sources import CuptiWatch
from pytest_gpuperf.timing.taken import Plan, Synchronises

if TYPE_CHECKING:
    from pytest_gpuperf.timing.buffers import Buffers
    from pytest_gpuperf.timing.instruments import Instruments
    from pytest_gpuperf.timing.measure import Request

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

CALLS = 20
_LEAST = 5
#: What the recorded calls may take together, in seconds, one to see what they cost.
_SECONDS = 40e-3
#: Both clocks are right to this much: seconds, or a share of the time, whichever is more.
NEAR = 0.3e-6
_SHARE = 0.03
#: No device moves more bytes a second.
_RATE = 8e12
#: CUPTI slows down kernels that the L2 does not hold: copies of 2^22 to 2^26 floats by up to 9.2 %, seen on an H200.
_PERTURBED = 0.10


@dataclasses.dataclass(frozen=True, slots=True)
class SelfCheck:
    """What came out: both medians in seconds and the bounds of their difference, CUPTI less device; `why` where nothing was compared."""

    device: float | None = None
    cupti: float | None = None
    low: float | None = None
    high: float | None = None
    calls: int = 0
    seconds: float = 0.0
    why: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the bounds, or nothing was compared."""
        if self.device is None or self.cupti is None or self.low is None or self.high is None:
            return True
        return self.low <= self.cupti - self.device <= self.high

    @property
    def reason(self) -> Reason | None:
        """Why the time is not to be judged; None where the sources agree."""
        if self.agrees or self.device is None or self.cupti is None or self.low is None or self.high is None:
            return None
        off = self.cupti - self.device
        shown = f"the device clock says {self.device * 1e6:.2f} us, CUPTI {self.cupti * 1e6:.2f} us ({self.calls} calls): {off * 1e6:+.2f} us"
        return Reason("sources-disagree", f"{shown}, beyond {self.low * 1e6:+.2f} .. {self.high * 1e6:+.2f} us")

    def record(self) -> dict[str, Any]:
        """Return plain values for the run file."""
        return dataclasses.asdict(self) | {"agrees": self.agrees}


def bounds_of(device: float, footprint: int, l2_bytes: int) -> tuple[float, float]:
    """Return how far CUPTI may be below and above the device clock, in seconds, for a body that touches `footprint` bytes.

    >>> [round(one * 1e6, 2) for one in bounds_of(5e-6, 1 << 20, 60 << 20)], [round(one * 1e6, 2) for one in bounds_of(100e-6, 1 << 30, 60 << 20)]
    ([-0.3, 0.3], [-3.0, 10.0])
    """
    near = max(NEAR, _SHARE * device)
    return -near, near if footprint < l2_bytes // 2 else max(NEAR, _PERTURBED * device)


def footprint_of(request: Request, seconds: float) -> int:
    """Return the bytes that a call touches: those of its Work, else of the arrays that it is given and that are declared.

    A body that is given none has them in its closure, where nobody sees their sizes: then what the device could move in its time.
    """
    if request.body.work is not None and request.body.work.bytes:
        return request.body.work.bytes
    given = device_arrays(list(request.body.arguments[0]))
    if not given:
        return int(seconds * _RATE)
    declared = device_arrays([*request.outputs, *request.inout])
    return sum({one.address: one.nbytes for one in (*given, *declared)}.values())


def self_check(
    instruments: Instruments, request: Request, buffers: Buffers, rounds: list[list[float]], tick: float, systematic: float
) -> SelfCheck | None:
    """Record some calls in the cache state of the measurement and compare medians; None where there is no CUPTI.

    `rounds` are the seconds of the timed calls, `systematic` the half-width of their constant. The profiler is off again on return.
    """
    backend = instruments.backend
    if backend.profiler.missing():
        return None
    if request.cache == "steady":
        return SelfCheck(why="a steady sample is a batch of calls, which CUPTI would slow down as a whole")
    if request.duty == "sustained":
        return SelfCheck(why="a sustained sample has untimed calls around it, which CUPTI would slow down too")
    began = backend.now()
    try:
        spans = _recorded(instruments, request, buffers)
    except ProfilerError as error:
        return SelfCheck(why=str(error.reason), seconds=backend.now() - began)
    except Synchronises:
        return SelfCheck(why="the body waited for the device while CUPTI recorded", seconds=backend.now() - began)
    seconds = backend.now() - began
    if not spans:
        return SelfCheck(why=f"a call takes longer than the check may, {_SECONDS * 1e3:.0f} ms", seconds=seconds)
    ours = stats.centre_interval(rounds, tick)
    low, high = bounds_of(ours.centre, footprint_of(request, ours.centre), instruments.limits.l2_bytes)
    # CUPTI must be near the interval, not the point: what the device clock says of itself is no quarrel, nor that few scattered calls have a scattered median.
    loose = systematic + ours.half_width + stats.centre_interval([[one] for one in spans], tick).half_width
    return SelfCheck(ours.centre, statistics.median(spans), low - loose, high + loose, len(spans), seconds)


def _recorded(instruments: Instruments, request: Request, buffers: Buffers) -> list[float]:
    backend = instruments.backend
    with backend.profiler.recording() as recording:
        watch = CuptiWatch(instruments.watch, recording)
        plan = Plan(request.cache, request.limit)
        sampler = Sampler(backend, watch, instruments.flusher, request.body, buffers, plan, request.stream, tick=instruments.limits.tick, witness=instruments.witness)
        start = backend.now()
        first = sampler.readings(1)
        cost = backend.now() - start
        # The first call beside CUPTI tells what one costs, and does not count.
        watch.read(first[0])
        calls = min(CALLS, int(_SECONDS / max(cost, 1e-6)))
        return [watch.read(one) for one in sampler.readings(calls)] if calls >= _LEAST else []
