"""The real device: driver operations through cuda.bindings, nothing else."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import difflib
import itertools
import time
import uuid
from importlib import resources
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device import discovery, health
from pytest_gpuperf.device.backend import DeviceFacts, DeviceLimits, Evidence
from pytest_gpuperf.device.calls import DeviceError, checked
from pytest_gpuperf.device.capture import Captures
from pytest_gpuperf.device.release import PAGE_BYTES, Gate
from pytest_gpuperf.device.replay import Replays
from pytest_gpuperf.device.share import launch_share
from pytest_gpuperf.device.tick import tick_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["KERNELS", "DeviceError", "DriverBackend", "Kernel"]


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """One row of KERNELS: an entry of kernels.ptx and its arguments, all of 64 bits."""

    name: str
    arguments: tuple[str, ...]


KERNELS: tuple[Kernel, ...] = (
    Kernel("empty", ()),
    Kernel("spin", ("ns", "out")),
    Kernel("spin_wide", ("ns", "out", *(f"unused{index}" for index in range(2, 32)))),
    Kernel("move", ("source", "target", "reads", "writes")),
    Kernel("flush_read", ("source", "nbytes", "sink")),
    Kernel("fill", ("target", "nbytes", "word")),
    Kernel("digest", ("source", "nbytes", "out")),
    Kernel("diff", ("a", "b", "nbytes", "out")),
    Kernel("pack", ("source", "offsets", "rows", "row_bytes", "target")),
    Kernel("unpack", ("source", "offsets", "rows", "row_bytes", "target")),
    Kernel("work", ("source", "target", "nbytes", "iterations")),
)


class _Launchable:
    """A loaded kernel with the memory of its arguments, which the driver copies in each launch; one thread at a time."""

    def __init__(self, row: Kernel, function: Any) -> None:
        self.row, self.function = row, function
        self.values = (ctypes.c_uint64 * len(row.arguments))()
        start = ctypes.addressof(self.values)
        self._places = (ctypes.c_void_p * max(len(row.arguments), 1))(*(start + 8 * index for index in range(len(row.arguments))))
        self.parameters = ctypes.addressof(self._places)


class DriverBackend:
    """Driver operations on the first visible device and its primary context; see `Backend` for what each does.

    Nothing of CUDA is imported or made before `open`. One thread at a time may use it.
    """

    def __init__(self, facts: DeviceFacts) -> None:
        self.facts = facts
        self._driver: Any = None
        self._limits: DeviceLimits | None = None
        self._nvml_handle: Any = None
        self._kernels: dict[str, _Launchable] = {}
        self._events: list[Any] = []
        self._gate: Gate | None = None
        self._retained = False
        self._replays = Replays(None, self._call)
        self.graphs = Captures(None, self._call)

    def open(self) -> DeviceLimits:
        """Make the primary context current in this thread and load our kernels; DeviceError where that fails."""
        if self._limits is not None:
            self._set_current(self._context)
            return self._limits
        try:
            from cuda.bindings import driver

            checked(driver, "cuInit")(0)
        except (ImportError, RuntimeError) as error:
            message = f"the CUDA driver of {self.facts.name} cannot be loaded: {error}\nIs libcuda of driver {self.facts.driver} on the library path?"
            raise DeviceError(message) from error
        self._driver = driver
        try:
            self._bind()
            self._enter()
            self._load()
            self._limits = self._measure_limits()
        except BaseException:
            self.close()
            raise
        return self._limits

    def _bind(self) -> None:
        """Look up what is called often, once."""
        driver = self._driver
        self._set_current = checked(driver, "cuCtxSetCurrent")
        self._memset = checked(driver, "cuMemsetD8Async")
        self._copy = checked(driver, "cuMemcpyDtoDAsync")
        self._record = checked(driver, "cuEventRecord")
        self._wait_event = checked(driver, "cuEventSynchronize")
        self._elapsed = checked(driver, "cuEventElapsedTime")
        self._launch = checked(driver, "cuLaunchKernel")
        self._wait_value = checked(driver, "cuStreamWaitValue32")
        self._wait_stream = checked(driver, "cuStreamSynchronize")
        self._wait_device = checked(driver, "cuCtxSynchronize")
        self._replays = Replays(driver, self._call)
        self.graphs = Captures(driver, self._call)
        self._greater_or_equal = int(driver.CUstreamWaitValue_flags.CU_STREAM_WAIT_VALUE_GEQ)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call what is called seldom."""
        return checked(self._driver, name)(*arguments)

    def _enter(self) -> None:
        """Find the device, correct the facts to what CUDA shows, and enter its context."""
        self._device = device = self._call("cuDeviceGet", 0)
        found = uuid.UUID(bytes=bytes(self._call("cuDeviceGetUuid", device).bytes))
        if str(found) not in self.facts.uuid:
            known = discovery.find(f"GPU-{found}") or discovery.find(f"MIG-{found}")
            if known is None:
                message = f"CUDA's first device has the UUID {found}, which NVML does not know; NVML's first visible device is {self.facts.uuid} ({self.facts.name})\nSet CUDA_VISIBLE_DEVICES to one device by its UUID."
                raise DeviceError(message)
            self._nvml_handle, self.facts = known
        current = self._call("cuCtxGetCurrent")
        if int(current):
            ordinal = int(self._call("cuCtxGetDevice"))
            if ordinal != int(device):
                message = f"device {ordinal} is current in this thread, but measurements are of device {int(device)} ({self.facts.name})\nChoose the device with CUDA_VISIBLE_DEVICES, and leave device 0 current."
                raise DeviceError(message)
            self._context = current
            return
        self._context = self._call("cuDevicePrimaryCtxRetain", device)
        self._retained = True
        self._set_current(self._context)

    def _load(self) -> None:
        """Load our kernels at once: a lazy load inside a blocked stream would wait for ever."""
        text = (resources.files("pytest_gpuperf.device") / "kernels.ptx").read_bytes() + b"\0"
        self._module = self._call("cuModuleLoadData", text)
        for row in KERNELS:
            function = self._call("cuModuleGetFunction", self._module, row.name.encode())
            self._call("cuFuncLoad", function)
            self._kernels[row.name] = _Launchable(row, function)
        self._gate = Gate()
        flags = self._driver.CU_MEMHOSTREGISTER_PORTABLE | self._driver.CU_MEMHOSTREGISTER_DEVICEMAP
        self._call("cuMemHostRegister", self._gate.address, PAGE_BYTES, flags)
        self._word = self._call("cuMemHostGetDevicePointer", self._gate.address, 0)

    def _measure_limits(self) -> DeviceLimits:
        """Read what the driver tells and measure what it does not."""
        attributes = self._driver.CUdevice_attribute

        def read(name: str) -> int:
            return int(self._call("cuDeviceGetAttribute", getattr(attributes, f"CU_DEVICE_ATTRIBUTE_{name}"), self._device))

        capability = read("COMPUTE_CAPABILITY_MAJOR"), read("COMPUTE_CAPABILITY_MINOR")
        return DeviceLimits(capability, read("MULTIPROCESSOR_COUNT"), read("L2_CACHE_SIZE"), self._measure_tick(), launch_share(self.facts.name))

    def _measure_tick(self) -> float:
        """Return the step of event times in seconds, from the intervals of 256 events in a row on a stream of their own."""
        stream = self._call("cuStreamCreate", int(self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        events = [self._call("cuEventCreate", 0) for _ in range(256)]
        try:
            for event in events:
                self._record(event, stream)
            self._wait_stream(stream)
            tick = tick_of([0.0, *(self.elapsed(first, second) for first, second in itertools.pairwise(events))])
        finally:
            for event in events:
                self._call("cuEventDestroy", event)
            self._call("cuStreamDestroy", stream)
        if tick <= 0:
            message = f"256 events in a row on {self.facts.name} have all the same time: nothing can be timed here"
            raise DeviceError(message)
        return tick

    def close(self) -> None:
        """Give back what `open` took; after it `open` may be called again."""
        if self._driver is None:
            return
        if self._gate is not None:
            self._gate.release()
        for name, *arguments in self._held():
            # A lost context answers every call with its error; what it held is gone with it.
            with contextlib.suppress(DeviceError):
                self._call(name, *arguments)
        if self._gate is not None:
            self._gate.close()
        self._gate, self._limits, self._retained = None, None, False
        self._kernels.clear()
        self._events.clear()

    def _held(self) -> Iterator[tuple[Any, ...]]:
        """Yield the calls that give back what is held, in order."""
        if self._gate is not None:
            yield ("cuCtxSynchronize",)
            yield "cuMemHostUnregister", self._gate.address
        yield from (("cuEventDestroy", event) for event in self._events)
        yield from self._replays.held()
        yield from self.graphs.held()
        if self._kernels:
            yield "cuModuleUnload", self._module
        if self._retained:
            yield "cuDevicePrimaryCtxRelease", self._device

    def now(self) -> float:
        """Return the host clock, in seconds."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Let the host clock pass."""
        time.sleep(seconds)

    def memory(self) -> tuple[int, int]:
        """Return free and total bytes of device memory."""
        free, total = self._call("cuMemGetInfo")
        return int(free), int(total)

    def alloc(self, nbytes: int) -> int:
        """Allocate at least `nbytes`; MemoryError with what is free where there is no room."""
        try:
            return int(self._call("cuMemAlloc", max(nbytes, 1)))
        except DeviceError as error:
            if error.code != int(self._driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY):
                raise
            free, total = self.memory()
            message = f"{nbytes:,} bytes of device memory are not to be had on {self.facts.name}: {free:,} of {total:,} bytes are free\nFree arrays, or let torch and CuPy give their caches back."
            raise MemoryError(message) from error

    def free(self, address: int) -> None:
        """Free what `alloc` returned."""
        self._call("cuMemFree", address)

    def memset(self, address: int, byte: int, nbytes: int, stream: int) -> None:
        """Set bytes."""
        if nbytes:
            self._memset(address, byte, nbytes, stream)

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy on the device."""
        if nbytes:
            self._copy(target, source, nbytes, stream)

    def upload(self, target: int, data: bytes) -> None:
        """Copy from the host; returns when done."""
        if data:
            self._call("cuMemcpyHtoD", target, data, len(data))
            # The driver returns from a small pageable copy when it is staged, not when it has arrived.
            self._wait_stream(0)

    def download(self, source: int, nbytes: int) -> bytes:
        """Copy to the host; returns when done."""
        data = bytearray(nbytes)
        if nbytes:
            self._call("cuMemcpyDtoH", data, source, nbytes)
        return bytes(data)

    def event(self) -> Any:
        """Make a timing event."""
        event = self._call("cuEventCreate", 0)
        self._events.append(event)
        return event

    def record(self, event: Any, stream: int) -> None:
        """Record an event."""
        self._record(event, stream)

    def wait(self, event: Any) -> None:
        """Let the host wait for an event."""
        self._wait_event(event)

    def elapsed(self, start: Any, end: Any) -> float:
        """Return the raw seconds between two recorded events that are done; the driver tells milliseconds in 32 bits."""
        return float(self._elapsed(start, end)) * 1e-3

    def launch(self, kernel: str, arguments: Sequence[int], stream: int, *, blocks: int, threads: int, graph: bool = False) -> None:
        """Launch one of our own kernels, or replay a graph of that one launch."""
        ready = self._kernels.get(kernel)
        if ready is None or len(arguments) != len(ready.row.arguments):
            raise DeviceError(_misuse(kernel, arguments))
        ready.values[:] = list(map(int, arguments))
        if graph:
            self._replays.replay(
                (kernel, tuple(arguments), blocks, threads),
                lambda capturing: self._launch(ready.function, blocks, 1, 1, threads, 1, 1, 0, capturing, ready.parameters, 0),
                stream,
            )
            return
        self._launch(ready.function, blocks, 1, 1, threads, 1, 1, 0, stream, ready.parameters, 0)

    def block(self, stream: int, timeout: float) -> None:
        """Hold the stream until `release`, or until `timeout` seconds passed: another process sees to that."""
        gate = self._opened_gate()
        number = gate.arm(timeout)
        try:
            self._wait_value(stream, self._word, number, self._greater_or_equal)
        except BaseException:
            gate.release()
            raise

    def release(self) -> bool:
        """Let the held stream go on; False where the timeout had done it already."""
        return self._opened_gate().release()

    def _opened_gate(self) -> Gate:
        if self._gate is None:
            message = "the device is not open: call open() before it holds or releases a stream"
            raise DeviceError(message)
        return self._gate

    def synchronize(self, stream: int | None = None) -> None:
        """Let the host wait for a stream; for the whole device where it is None."""
        if stream is None:
            self._wait_device()
        else:
            self._wait_stream(stream)

    def evidence(self) -> Evidence:
        """Return the state of the machine now; every part None where NVML does not know the device."""
        if self._nvml_handle is None:
            known = discovery.find(self.facts.uuid)
            if known is None:
                return Evidence()
            self._nvml_handle = known[0]
        return health.evidence(self._nvml_handle)


def _misuse(kernel: str, arguments: Sequence[int]) -> str:
    """Say what is wrong with a launch: an unknown name, or another number of arguments."""
    row = next((row for row in KERNELS if row.name == kernel), None)
    if row is None:
        near = difflib.get_close_matches(kernel, [row.name for row in KERNELS], 1)
        return f"kernels.ptx has no kernel {kernel!r}" + (f"; nearest {near[0]!r}" if near else "")
    return f"launch({kernel!r}): {len(arguments)} arguments given, or the device is not open; takes ({', '.join(row.arguments)})"
