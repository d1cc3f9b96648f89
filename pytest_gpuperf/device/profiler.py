"""The seam for a profiler: plain records of what calls of a body made the driver and the device do; FakeDevice has the same."""

from __future__ import annotations

import dataclasses
import os
import sysconfig
from typing import TYPE_CHECKING, Any, Protocol

from pytest_gpuperf.errors import GpuPerfError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from pytest_gpuperf.reasons import Reason


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """One piece of work on the device: a kernel, memcpy or memset; times in seconds on the profiler's clock, `nbytes` 0 for kernels.

    `name` is a kernel's name as it was compiled, else the kind of copy, as DTOH, or "memset". `node` is the graph node it came from, 0 for none.
    """

    kind: str
    name: str
    start: float
    end: float
    stream: int
    correlation: int
    node: int = 0
    nbytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One call of the driver, or of the runtime library, by the host: its name, times in seconds, thread, and the line it comes from where that was asked for."""

    name: str
    start: float
    end: float
    thread: int
    correlation: int
    site: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Allocation:
    """Device memory that was taken, or given back where `nbytes` is negative; moment in seconds."""

    nbytes: int
    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """What one window of the host's time led to: work on the device in the order of its start, driver calls, allocations; its ends, 0 where not known."""

    work: tuple[Work, ...] = ()
    calls: tuple[Call, ...] = ()
    memory: tuple[Allocation, ...] = ()
    begin: float = 0.0
    end: float = 0.0

    def of(self, kind: str) -> tuple[Work, ...]:
        """Return the work of one kind: kernel, memcpy or memset."""
        return tuple(one for one in self.work if one.kind == kind)

    @property
    def span(self) -> float:
        """Seconds from the first start to the last end; 0 where there was no work."""
        return max(one.end for one in self.work) - min(one.start for one in self.work) if self.work else 0.0

    @property
    def busy(self) -> float:
        """Seconds in which at least one piece of work ran.

        >>> one, two, three = (Work("kernel", "k", start, end, 0, 0) for start, end in ((0.0, 2.0), (1.0, 3.0), (5.0, 6.0)))
        >>> Records((one, two, three)).busy, Records((one, two, three)).span
        (4.0, 6.0)
        """
        total, reached = 0.0, float("-inf")
        for one in sorted(self.work, key=lambda one: one.start):
            total += max(0.0, one.end - max(one.start, reached))
            reached = max(reached, one.end)
        return total

    @property
    def peak(self) -> int:
        """Bytes above the entry, at most, that allocations of the window held."""
        held = most = 0
        for one in sorted(self.memory, key=lambda one: one.at):
            held += one.nbytes
            most = max(most, held)
        return most

    @property
    def launched(self) -> int:
        """How many kernels these calls launched, each of them one, at the least; none is known where launches were captured."""
        names = [bare(one.name) for one in self.calls]
        return 0 if any("BeginCapture" in one for one in names) else sum(launches(one) for one in names)

    @property
    def waits(self) -> tuple[Call, ...]:
        """The calls in which the host waited for the device."""
        return tuple(one for one in self.calls if waits(one.name))


class ProfilerError(GpuPerfError):
    """A profiler that cannot tell, with the reason; never a zero in place of it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Recording(Protocol):
    """A profiler while it records."""

    def window(self) -> AbstractContextManager[None]:
        """Mark what is called inside as one window: its records are those of the calls made meanwhile, in any thread of this process."""

    def now(self) -> float:
        """Return the time in seconds on the clock of the records."""

    def read(self) -> list[Records]:
        """Wait for the device and return the records of every window since the last `read`; ProfilerError where any may be missing."""


class Profiler(Protocol):
    """What records; nothing of it is on before `recording`, nor after it."""

    def missing(self) -> str:
        """Say in one line why it cannot be used; empty where it can, as far as is known without recording."""

    def recording(self, *, detail: bool = False) -> AbstractContextManager[Recording]:
        """Record for a block: work on the device, and with `detail` all driver calls with their lines, and allocations."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """One row of WAITS: a call of the driver or the runtime in which the host waits for the device, less its version suffix, and how."""

    name: str
    how: str


#: Copies with pageable memory wait too, but their names do not tell: they are not counted.
WAITS: tuple[Wait, ...] = (
    Wait("cuCtxSynchronize", "waits for the device"),
    Wait("cuStreamSynchronize", "waits for a stream"),
    Wait("cuEventSynchronize", "waits for an event"),
    Wait("cuMemcpy", "copies and waits"),
    Wait("cuMemcpyDtoH", "copies and waits"),
    Wait("cuMemcpyHtoD", "copies and waits"),
    Wait("cuMemcpy2D", "copies and waits"),
    Wait("cuMemcpy3D", "copies and waits"),
    Wait("cuMemcpyAtoH", "copies and waits"),
    Wait("cuMemcpyHtoA", "copies and waits"),
    Wait("cuMemFree", "waits for what may use the memory"),
    Wait("cuMemFreeHost", "waits for what may use the memory"),
    Wait("cudaDeviceSynchronize", "waits for the device"),
    Wait("cudaStreamSynchronize", "waits for a stream"),
    Wait("cudaEventSynchronize", "waits for an event"),
    Wait("cudaMemcpy", "copies and waits"),
    Wait("cudaMemcpy2D", "copies and waits"),
    Wait("cudaFree", "waits for what may use the memory"),
    Wait("cudaFreeHost", "waits for what may use the memory"),
)
#: Calls that launch one kernel each.
_LAUNCHES = frozenset(
    ("cuLaunchKernel", "cuLaunchKernelEx", "cuLaunchCooperativeKernel", "cudaLaunchKernel", "cudaLaunchKernelExC", "cudaLaunchCooperativeKernel")
)
_WAITS = frozenset(row.name for row in WAITS)
_SUFFIXES = ("_ptsz", "_ptds")


def bare(name: str) -> str:
    """Return the name of a call without what tells its versions apart.

    >>> bare("cuMemcpyDtoH_v2_ptds"), bare("cudaStreamSynchronize_v3020"), bare("cuLaunchKernel")
    ('cuMemcpyDtoH', 'cudaStreamSynchronize', 'cuLaunchKernel')
    """
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    head, mark, version = name.rpartition("_v")
    name = head if mark and version.isdigit() else name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def waits(name: str) -> bool:
    """Say whether the host waits for the device in a call.

    >>> waits("cuStreamSynchronize_ptsz"), waits("cuMemcpyDtoHAsync_v2")
    (True, False)
    """
    return bare(name) in _WAITS


def launches(name: str) -> bool:
    """Say whether a call launches one kernel.

    >>> launches("cudaLaunchKernelExC_v11060"), launches("cudaGraphLaunch_v10000")
    (True, False)
    """
    return bare(name) in _LAUNCHES


def windows_of(
    spans: Sequence[tuple[float, float]], work: Iterable[Work], calls: Iterable[Call], memory: Iterable[Allocation]
) -> list[Records]:
    """Share records out among windows of the host's time: work goes with the call that started it, by their correlation, never by its name.

    >>> work = [Work("kernel", "late", 5.0, 6.0, 0, 7), Work("kernel", "other", 1.2, 1.3, 0, 8)]
    >>> calls = [Call("cuLaunchKernel", 1.0, 1.1, 1, 7), Call("cuLaunchKernel", 0.5, 0.6, 1, 8)]
    >>> [[one.name for one in records.work] for records in windows_of([(0.9, 1.5)], work, calls, [])]
    [['late']]
    """
    work, calls, memory = list(work), sorted(calls, key=lambda one: one.start), list(memory)
    found = []
    for begin, end in spans:
        inside = [one for one in calls if begin <= one.start < end]
        started = {one.correlation for one in inside}
        mine = sorted((one for one in work if one.correlation in started), key=lambda one: one.start)
        found.append(Records(tuple(mine), tuple(outermost(inside)), tuple(one for one in memory if begin <= one.at < end), begin, end))
    return found


def outermost(calls: Iterable[Call]) -> list[Call]:
    """Return calls less those that another one of the same thread made: the runtime calls the driver, and that is one call of the body.

    >>> outer, inner, other = Call("cudaMalloc", 1.0, 2.0, 1, 7), Call("cuMemAlloc_v2", 1.1, 1.9, 1, 8), Call("cuInit", 1.2, 1.3, 2, 9)
    >>> [one.name for one in outermost([outer, inner, other])]
    ['cudaMalloc', 'cuInit']
    """
    reached: dict[int, float] = {}
    found = []
    for one in sorted(calls, key=lambda one: one.start):
        if one.start >= reached.get(one.thread, float("-inf")):
            found.append(one)
            reached[one.thread] = one.end
    return found


_LIBRARIES = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_PLUGIN = __name__.partition(".")[0]


def site_of(frame: Any) -> str:
    """Return "file:line" of the innermost frame of the user's own code; of the innermost of all where only libraries called, "" for none.

    What the plugin itself calls from is where a search ends.
    """
    innermost = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if _plugin(frame):
            if innermost:
                break
        else:
            innermost = innermost or _shown(file, frame.f_lineno)
            if not _library(file):
                return _shown(file, frame.f_lineno)
        frame = frame.f_back
    return innermost


def _plugin(frame: Any) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name == _PLUGIN or name.startswith(f"{_PLUGIN}.")


def _library(file: str) -> bool:
    return file.startswith("<") or "site-packages" in file or "dist-packages" in file or os.path.realpath(file).startswith(_LIBRARIES)


def _shown(file: str, line: int) -> str:
    return f"{file.replace(os.sep, '/').rpartition('/')[2]}:{line}"


