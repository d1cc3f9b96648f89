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
    """What is known once the device is open; sizes in bytes, the tick of its events in seconds."""

    compute_capability: tuple[int, int]
    sm_count: int
    l2_bytes: int
    tick: float


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


class Backend(Protocol):
    """Driver operations of one device on one clock; FakeDevice has the same.

    Addresses are device addresses as integers, streams are handles as integers (0: the legacy default stream), times are
    seconds. Everything that takes a stream is asynchronous and ordered in it, unless said otherwise.
    """

    facts: DeviceFacts

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
