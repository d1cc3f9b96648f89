"""FakeDevice: a Backend on a virtual clock, for tests of measuring code without a GPU."""

from __future__ import annotations

import collections
import math
import weakref
from typing import TYPE_CHECKING, Any, Literal

from pytest_gpuperf.device.backend import DeviceFacts, DeviceLimits, Evidence
from pytest_gpuperf.testing.arrays import FakeArray, extent
from pytest_gpuperf.testing.body import FakeKernel
from pytest_gpuperf.testing.engine import Engine, FakeEvent, FakeLaunch
from pytest_gpuperf.testing.graphs import FakeGraphs
from pytest_gpuperf.testing.host import FakeHost
from pytest_gpuperf.testing.kernels import own_kernel
from pytest_gpuperf.testing.memory import FakeMemory
from pytest_gpuperf.testing.profiler import FakeProfiler
from pytest_gpuperf.testing.rates import COMPUTING, seconds_of
from pytest_gpuperf.testing.spec import FakeDeviceError, FakeSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.testing.body import Arrays

#: What reading the host's clock takes: a loop that waits for a moment comes to it.
_CLOCK_COST = 50e-9
#: Host copies: bytes a second over PCIe.
_PCIE = 50e9


class FakeDevice:
    """A GPU that is not there, at the level of the plugin's backend: operations take virtual time, memory is real.

    Effects on memory happen in program order, at the call; times are worked out stream by stream, with a tick, launch overhead, a
    dirty L2 and noise, as `FakeSpec` says. Streams other than 0 do not wait for stream 0. A host call that needs a stream that is
    held comes back at the hold's deadline, as with the plugin's release helper.

    >>> fake = FakeDevice(FakeSpec(jitter=0.0, launch_jitter=0.0))
    >>> source, target = fake.array(1 << 10), fake.array(1 << 10)
    >>> def effect():
    ...     target.numpy()[:] = source.numpy()
    >>> copy = fake.kernel(5e-6, reads=[source], writes=[target], effect=effect)
    >>> first, last = fake.event(), fake.event()
    >>> copy()  # compiles
    >>> fake.block(0, timeout=1.0)
    >>> fake.record(first, 0); copy(); fake.record(last, 0)
    >>> fake.release()
    True
    >>> fake.wait(last)
    >>> 7.8e-6 < fake.elapsed(first, last) < 8.0e-6  # 5 us and 2.9 us of launching, on a grid of 32 ns
    True
    """

    def __init__(self, spec: FakeSpec | None = None) -> None:
        self.spec = spec = spec or FakeSpec()
        self.facts = DeviceFacts(spec.name, spec.uuid, spec.driver, spec.cuda, spec.memory, spec.sm_clock)
        #: how often each call of the backend was made
        self.calls: collections.Counter[str] = collections.Counter()
        self._memory = FakeMemory(spec.memory)
        self._engine = Engine(spec)
        self._timeline = self._engine.timeline
        self._fail = {"alloc": spec.fail_alloc or 0, "launch": spec.fail_launch or 0}
        self._lost = False
        self.profiler = FakeProfiler(self._engine)
        self.graphs = FakeGraphs(self.stream, self.profiler.call)
        self.host = FakeHost(self._memory, self._engine, self.stream, self._call)

    @property
    def launches(self) -> collections.deque[FakeLaunch]:
        """The last kernels, memsets and copies, in the order in which they ran, as a profiler would have recorded them."""
        return self._engine.launches

    def open(self) -> DeviceLimits:
        """Return the limits; costs nothing."""
        self._count("open")
        return DeviceLimits(self.spec.compute_capability, self.spec.sm_count, self.spec.l2, self.spec.tick, (self.spec.share, 0.0))

    def close(self) -> None:
        """Let a held stream go; memory stays, as arrays may still be in use."""
        self.calls["close"] += 1
        self._timeline.release()

    def now(self) -> float:
        """Return virtual host time in seconds."""
        self._timeline.advance(_CLOCK_COST)
        return self._timeline.host

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass; takes no real time."""
        self._timeline.advance(seconds)

    def memory(self) -> tuple[int, int]:
        """Return free and total bytes."""
        self._call("memory")
        return self._memory.total - self._memory.used, self._memory.total

    def alloc(self, nbytes: int) -> int:
        """Allocate; waits for a held stream's deadline, as cuMemAlloc may, if the spec says so."""
        self._call("alloc")
        self._inject("alloc", MemoryError(f"cannot allocate {nbytes:,} bytes: an injected fault of the fake device"))
        if self.spec.alloc_waits:
            self._timeline.wait_unheld()
        address = self._memory.alloc(nbytes)
        self.profiler.allocated(nbytes)
        return address

    def free(self, address: int) -> None:
        """Free; waits for the whole device."""
        self._call("free")
        self._timeline.wait_device()
        nbytes = self._memory.free(address)
        self._engine.l2.forget(address, nbytes)
        self.profiler.allocated(-nbytes)

    def memset(self, address: int, byte: int, nbytes: int, stream: int) -> None:
        """Set bytes now, and charge the stream for it."""
        self._call("memset")

        def run(on: int, graph: bool) -> None:
            self._memory.bytes(address, nbytes)[:] = byte
            self._engine.enqueue("memset", on, self._engine.span(None, [], [(address, nbytes)]), graph=graph, nbytes=nbytes)

        self.graphs.issue("memset", stream, run)

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy now, and charge the stream for it."""
        self._call("copy")

        def run(on: int, graph: bool) -> None:
            self._memory.bytes(target, nbytes)[:] = self._memory.bytes(source, nbytes)
            self._engine.enqueue("copy", on, self._engine.span(None, [(source, nbytes)], [(target, nbytes)]), graph=graph, nbytes=nbytes)

        self.graphs.issue("memcpy", stream, run)

    def upload(self, target: int, data: bytes) -> None:
        """Copy from the host; waits for the default stream."""
        import numpy as np

        self._host_copy("upload", len(data))
        self._memory.bytes(target, len(data))[:] = np.frombuffer(data, np.uint8)

    def download(self, source: int, nbytes: int) -> bytes:
        """Copy to the host; waits for the default stream."""
        self._host_copy("download", nbytes)
        return bytes(self._memory.bytes(source, nbytes).tobytes())

    def event(self) -> FakeEvent:
        """Make a timing event."""
        self._call("event")
        return FakeEvent()

    def record(self, event: FakeEvent, stream: int) -> None:
        """Record an event: its time is known when the stream has come to it."""
        self._call("record")
        self._engine.record(event, stream)

    def wait(self, event: FakeEvent) -> None:
        """Let the host wait for an event; one that was never recorded is done."""
        self._call("wait")
        if event.stream is not None and event.end is None:
            self._timeline.wait_unheld()
        if event.end is not None and event.end > self._timeline.host:
            self._timeline.advance(event.end - self._timeline.host)

    def elapsed(self, start: FakeEvent, end: FakeEvent) -> float:
        """Return the seconds between two events, through float32 milliseconds as CUDA gives them."""
        import numpy as np

        self._call("elapsed")
        if start.time is None or end.time is None:
            raise FakeDeviceError("elapsed: an event is not recorded, or its stream has not come to it; wait for it first")
        return float(np.float32((end.time - start.time) * 1e3)) * 1e-3

    def launch(self, kernel: str, arguments: Sequence[int], stream: int, *, blocks: int, threads: int, graph: bool = False) -> None:
        """Launch one of the plugin's own kernels: its effect now, its time on the stream."""
        row = own_kernel(kernel, arguments)
        if not (1 <= blocks < 1 << 31 and 1 <= threads <= 1024):
            raise FakeDeviceError(f"launch({kernel!r}): {blocks} blocks of {threads} threads cannot be launched")
        self._launching(kernel)

        def run(on: int, replayed: bool) -> None:
            row.effect(self._memory, *arguments)
            if kernel == "stamp":
                span = self._engine.stamp(self._memory.bytes(arguments[0], 16))
            elif kernel in {"spin", "spin_wide"}:
                span = self._engine.spin(arguments[0], self._memory.bytes(arguments[1], 16))
            else:
                own = None if row.seconds is None else row.seconds(*arguments)
                computes = seconds_of(self.spec, kernel, arguments, blocks, threads) if kernel in COMPUTING else own
                span = self._engine.span(computes, *row.ranges(*arguments))
            self._engine.enqueue(kernel, on, span, graph=graph or replayed)

        self.graphs.issue("kernel", stream, run)

    def block(self, stream: int, timeout: float) -> None:
        """Hold a stream until `release`, or until the deadline."""
        self._call("block")
        self._timeline.hold(stream, timeout)

    def release(self) -> bool:
        """Let the held stream go on; False where the deadline had come first."""
        self.calls["release"] += 1
        return self._timeline.release()

    def synchronize(self, stream: int | None = None) -> None:
        """Let the host wait for a stream, or for all of them; with a held one, for its deadline."""
        self._call("synchronize")
        if stream is None:
            self._timeline.wait_device()
        else:
            self._timeline.wait_stream(stream)

    def evidence(self) -> Evidence:
        """Return the state of the machine."""
        self._call("evidence")
        noise, power, host = self._engine.noise, self._engine.power, self._timeline.host
        power.forward(host)
        violations = dict(power.violations)
        return Evidence(round(power.clock(host)), self.spec.memory_clock, 45, round(power.watts, 3), power.reasons(host), noise.utilization, noise.processes, violations)

    def array(self, shape: int | tuple[int, ...], dtype: Any = "float32") -> FakeArray:
        """Make an array on the device, with undefined contents; its memory goes back when nothing refers to it.

        >>> FakeDevice().array((2, 3))
        FakeArray(shape=(2, 3), dtype=float32)
        """
        made, address = FakeArray.new(self._memory, (shape,) if isinstance(shape, int) else tuple(shape), dtype)
        weakref.finalize(made, self._give_back, address).atexit = False
        return made

    def kernel(
        self,
        duration: float | None = None,
        reads: Arrays = (),
        writes: Arrays = (),
        effect: Callable[..., Any] | None = None,
        stream: int | Callable[[], int] = 0,
        *,
        graph: bool = False,
        host_cost: float | None = None,
        watts: float | None = None,
    ) -> FakeKernel:
        """Make a body that launches one kernel, or with `graph` replays a graph of it.

        `duration` is its own span in seconds with a clean, cold L2 (None: what memory and L2 need for `reads` and `writes`);
        resident reads make it shorter, dirty lines of others longer; math.inf never ends, and whoever waits for it waits for ever. `host_cost` is what the
        call costs the host, `watts` what the device draws while the kernel runs: above `FakeSpec.power_cap`, and without rests, the clock falls. `stream`
        may be a function that tells at each call.
        """
        return FakeKernel(self, duration, reads, writes, effect, stream, graph, host_cost, watts)

    def stream(self) -> int:
        """Make a stream of its own and return its handle."""
        self._call("stream")
        return self._timeline.add_stream()

    def compile(self) -> None:
        """Take the time of compiling and loading a kernel, which waits for a held stream's deadline."""
        self._call("compile")
        self._timeline.wait_unheld()
        self._timeline.advance(self.spec.compile_time)

    def run(
        self,
        duration: float | None,
        reads: Sequence[Any],
        writes: Sequence[Any],
        *,
        stream: int = 0,
        graph: bool = False,
        host_cost: float | None = None,
        watts: float | None = None,
        name: str = "body",
        effect: Callable[[], Any] | None = None,
    ) -> Any:
        """Put a kernel on a stream, as `FakeKernel` does, and return what its effect returns; None where that waits for a replay."""
        self._launching(name, host_cost)
        ranges = [extent(one) for one in reads], [extent(one) for one in writes]

        def run(on: int, replayed: bool) -> Any:
            self._engine.enqueue(name, on, self._engine.span(duration, *ranges, watts), graph=graph or replayed)
            return effect() if effect is not None else None

        return self.graphs.issue("kernel", stream, run)

    def throttle(self, after: float = 0.0, factor: float = 1.25, reasons: int = 0x4, seconds: float = math.inf) -> None:
        """Let the device throttle for `seconds`, `after` seconds from now on: spans grow by `factor`, the clock falls, the reason bits are set."""
        noise, start = self._engine.noise, self._timeline.host + after
        noise.throttle_at, noise.throttle_until, noise.throttle_factor, noise.throttle_reasons = start, start + seconds, factor, reasons

    def foreign(self, *, utilization: int = 90, processes: tuple[int, ...] = (4242,), slowdown: float = 1.5) -> None:
        """Let other processes use the device: seen in the evidence, and kernels run longer by a factor."""
        noise = self._engine.noise
        noise.utilization, noise.processes, noise.slowdown = utilization, processes, slowdown

    def fail(self, call: Literal["alloc", "launch"], after: int = 0) -> None:
        """Let an allocation or a launch fail once, after so many more that succeed."""
        self._fail[call] = self.calls[call] + after + 1

    def lose(self) -> None:
        """Lose the device, as after a sticky error: every later call raises FakeDeviceError."""
        self._lost = True

    def _count(self, name: str) -> None:
        self.calls[name] += 1
        self.profiler.call(name)
        if self._lost:
            raise FakeDeviceError(f"{name}: CUDA_ERROR_LAUNCH_FAILED (719): the fake device is lost")

    def _call(self, name: str) -> None:
        self._count(name)
        self.graphs.refuse(name)
        self._timeline.call()

    def _inject(self, call: str, error: Exception) -> None:
        if self.calls[call] == self._fail[call]:
            raise error

    def _launching(self, name: str, host_cost: float | None = None) -> None:
        self._count("launch")
        self._timeline.advance(self.spec.host_cost if host_cost is None else host_cost)
        self._inject("launch", FakeDeviceError(f"launch({name!r}): CUDA_ERROR_INVALID_VALUE (1): an injected fault of the fake device"))
        if self.calls["launch"] == self.spec.lost_at_launch:
            self._lost = True
            raise FakeDeviceError(f"launch({name!r}): CUDA_ERROR_LAUNCH_FAILED (719): the fake device is lost")

    def _give_back(self, address: int) -> None:
        if self._memory.holds(address):
            self._engine.l2.forget(address, self._memory.free(address))

    def _host_copy(self, name: str, nbytes: int) -> None:
        self._call(name)
        self._timeline.wait_unheld()
        self._timeline.wait_stream(0)
        self._timeline.advance(nbytes / _PCIE)
