"""The one seam for hardware: what the plugin needs of a device, at the level of driver operations."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Handle of the legacy default stream.
LEGACY_STREAM = 0


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What is known of a device without making a CUDA context on it; sizes in bytes."""

    name: str
    uuid: str
    driver: str
    cuda: str
    memory_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class DeviceLimits:
    """What is known once the device is open; sizes in bytes, the tick of its events in seconds.

    `launch_share` is what a profiler counts of a launch beside the kernel's own span, with its half-width, in seconds.
    """

    compute_capability: tuple[int, int]
    sm_count: int
    l2_bytes: int
    tick: float
    launch_share: tuple[float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """The state of the machine at one moment; None where the device does not tell.

    Clocks in MHz, temperature in degrees Celsius, power in watts, `throttle` the bit mask of NVML's clock event reasons,
    `utilization` in percent of the last sampling period, `processes` the process ids of others that use the device.
    """

    sm_clock: int | None = None
    memory_clock: int | None = None
    temperature: int | None = None
    power: float | None = None
    throttle: int | None = None
    utilization: int | None = None
    processes: tuple[int, ...] | None = None


class Graphs(Protocol):
    """Capture of launches into graphs, and their replay; one capture at a time.

    A capture is of one stream and one thread. What may not be captured fails with its CUDA name and breaks the capture: waiting for the
    device, allocating, loading code, and anything on the legacy default stream.
    """

    def stream(self) -> int:
        """Return a stream of our own, made at the first use; the legacy default stream and it wait for each other."""

    def begin(self, stream: int) -> None:
        """Let what goes to a stream be captured from here on, not run."""

    def capturing(self, stream: int) -> bool:
        """Say whether what goes to a stream now is captured: the stream itself, and those that were made to wait for it."""

    def nodes(self, stream: int) -> tuple[str, ...]:
        """Return the kinds of what a stream has captured so far, as kernel, memcpy, memset; child graphs are opened."""

    def end(self, stream: int) -> Any:
        """End the capture and return a graph that can be replayed; raises where the capture was broken."""

    def replay(self, graph: Any, stream: int) -> None:
        """Put a graph on a stream."""

    def free(self, graph: Any) -> None:
        """Free a graph; one that is freed already, or went with the device, is no error."""


class Backend(Protocol):
    """Driver operations of one device on one clock; FakeDevice has the same.

    Addresses are device addresses as integers, streams are handles as integers (0: the legacy default stream), times are
    seconds. Everything that takes a stream is asynchronous and ordered in it, unless said otherwise.
    """

    facts: DeviceFacts

    @property
    def graphs(self) -> Graphs:
        """Capture and replay; there once the device is open."""

    def open(self) -> DeviceLimits:
        """Make the primary context current in this thread and load our kernels; may be called again at no cost."""

    def close(self) -> None:
        """Give back what `open` took; end the release helper."""

    def now(self) -> float:
        """Return the host clock, in seconds."""

    def sleep(self, seconds: float) -> None:
        """Let the host clock pass."""

    def memory(self) -> tuple[int, int]:
        """Return free and total bytes of device memory."""

    def alloc(self, nbytes: int) -> int:
        """Allocate at least `nbytes`, aligned to 256 bytes; synchronous. MemoryError where there is none."""

    def free(self, address: int) -> None:
        """Free what `alloc` returned; synchronous."""

    def memset(self, address: int, byte: int, nbytes: int, stream: int) -> None:
        """Set bytes."""

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy on the device."""

    def upload(self, target: int, data: bytes) -> None:
        """Copy from the host; returns when done."""

    def download(self, source: int, nbytes: int) -> bytes:
        """Copy to the host; returns when done."""

    def event(self) -> Any:
        """Make a timing event, to be used again and again."""

    def record(self, event: Any, stream: int) -> None:
        """Record an event."""

    def wait(self, event: Any) -> None:
        """Let the host wait for an event."""

    def elapsed(self, start: Any, end: Any) -> float:
        """Return the raw seconds between two recorded events that are done."""

    def launch(self, kernel: str, arguments: Sequence[int], stream: int, *, blocks: int, threads: int, graph: bool = False) -> None:
        """Launch one of our own kernels of kernels.ptx; every argument is a 64-bit integer.

        With `graph`, replay a graph of that one launch (instantiated at its first use, so use it once outside a blocked stream).
        """

    def block(self, stream: int, timeout: float) -> None:
        """Hold the stream at this point until `release`, or until `timeout` seconds passed, whatever the host does."""

    def release(self) -> bool:
        """Let the held stream go on; False where the timeout had done it already."""

    def synchronize(self, stream: int | None = None) -> None:
        """Let the host wait for a stream; for the whole device where it is None."""

    def evidence(self) -> Evidence:
        """Return the state of the machine now."""
