"""CUPTI through the optional package cupti-python: activity records of one open device, only while somebody records."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.profiler import WAITS, Allocation, Call, ProfilerError, Records, Work, bare, site_of, windows_of
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BUFFER_BYTES = 4 << 20
_FORCED = 1
#: What is recorded: always, and with `detail` besides.
#: Calls of the runtime library hide those that it makes of the driver: work that it starts has the number of its own call.
_ALWAYS = ("CONCURRENT_KERNEL", "MEMCPY", "MEMSET", "DRIVER", "RUNTIME")
_DETAIL = ("MEMORY2",)


class _Sink:
    """Where CUPTI's buffers go: one a recording, since it forgets its callbacks when it is detached."""

    def __init__(self, cupti: Any) -> None:
        self.cupti = cupti
        self.work: list[Work] = []
        self.calls: list[Call] = []
        self.memory: list[Allocation] = []
        # CUPTI counts nanoseconds since 1970, more than a float holds: seconds are counted from here.
        self._zero = int(cupti.get_timestamp())
        self._names: dict[tuple[Any, int], str] = {}
        self._take = self._takers()
        cupti.activity_register_callbacks(lambda: (_BUFFER_BYTES, 0), self._completed)

    def _completed(self, activities: list[Any]) -> None:
        for one in activities:
            take = self._take.get(int(one.kind))
            if take is not None:
                take(one)

    def _takers(self) -> dict[int, Callable[[Any], None]]:
        kinds, copies = self.cupti.ActivityKind, self.cupti.ActivityMemcpyKind
        operations, memories = self.cupti.ActivityMemoryOperationType, self.cupti.ActivityMemoryKind

        def work(kind: str, name: str, one: Any, nbytes: int = 0) -> None:
            self.work.append(
                Work(
                    kind, name, self.seconds(one.start), self.seconds(one.end), int(one.stream_id), int(one.correlation_id), int(one.graph_node_id), int(nbytes)
                )
            )

        def allocation(one: Any) -> None:
            if int(one.memory_kind) not in {int(memories.DEVICE), int(memories.MANAGED)}:
                return
            sign = {int(operations.ALLOCATION): 1, int(operations.RELEASE): -1}.get(int(one.memory_operation_type), 0)
            if sign:
                self.memory.append(Allocation(sign * int(one.bytes), self.seconds(one.timestamp)))

        def call(domain: Any, one: Any) -> None:
            name = self._name(domain, int(one.cbid))
            self.calls.append(Call(name, self.seconds(one.start), self.seconds(one.end), int(one.thread_id), int(one.correlation_id)))

        return {
            int(kinds.CONCURRENT_KERNEL): lambda one: work("kernel", str(one.name), one),
            int(kinds.MEMCPY): lambda one: work("memcpy", copies(one.copy_kind).name, one, one.bytes),
            int(kinds.MEMSET): lambda one: work("memset", "memset", one, one.bytes),
            int(kinds.DRIVER): lambda one: call(self.cupti.CallbackDomain.DRIVER_API, one),
            int(kinds.RUNTIME): lambda one: call(self.cupti.CallbackDomain.RUNTIME_API, one),
            int(kinds.MEMORY2): allocation,
        }

    def _name(self, domain: Any, number: int) -> str:
        if (domain, number) not in self._names:
            self._names[domain, number] = str(self.cupti.get_callback_name(domain, number))
        return self._names[domain, number]

    def seconds(self, stamp: int) -> float:
        """Return a time stamp of CUPTI in seconds."""
        return (int(stamp) - self._zero) * 1e-9

    def now(self) -> float:
        """Return CUPTI's time in seconds."""
        return self.seconds(self.cupti.get_timestamp())

    def flush(self) -> None:
        """Let CUPTI hand over everything that is complete."""
        self.cupti.activity_flush_all(_FORCED)

    def forget(self) -> None:
        """Drop what was handed over."""
        for held in (self.work, self.calls, self.memory):
            held.clear()

    def give_back(self) -> None:
        """Let CUPTI hand over what it still holds, once nothing is on: a buffer of ours that it kept would take the records of the next profiler."""
        # Where the context is lost this fails too, and the error that lost it is the one to be seen.
        with contextlib.suppress(Exception):
            self.flush()
        self.forget()

    def dropped(self) -> int:
        """Return how many records CUPTI had no room for since it was asked last."""
        count = ctypes.c_size_t(0)
        self.cupti.activity_get_num_dropped_records(0, 0, ctypes.addressof(count))
        return count.value


class CuptiProfiler:
    """Record through CUPTI; see `Profiler` for what each does.

    `prove` puts one kernel of the plugin's own on the device and waits for it: where CUPTI does not record that, it records nothing at
    all, as after torch.profiler ran in the process, and says so by no error.
    """

    def __init__(self, prove: Callable[[], None], wait: Callable[[], None]) -> None:
        """Keep how to run a known kernel and how to wait for the device; nothing is imported yet."""
        self._prove, self._wait = prove, wait
        self._why: str | None = None

    def missing(self) -> str:
        """Say why it cannot be used: not installed, or a version that does not fit the CUPTI of this process."""
        if self._why is None:
            self._why = _cause()
        return self._why

    @contextlib.contextmanager
    def recording(self, *, detail: bool = False) -> Iterator[_CuptiRecording]:
        """Record for a block."""
        if self.missing():
            raise ProfilerError(Reason("no-cupti", self.missing()))
        from cupti import cupti

        kinds = [getattr(cupti.ActivityKind, name) for name in (*_ALWAYS, *(_DETAIL if detail else ()))]
        with contextlib.ExitStack() as stack:
            # Detached at the end: once attached, with everything off, CUPTI costs each later call of the driver 1 to 6 us of the host (seen beside an H100).
            stack.callback(_detach, cupti)
            sites = stack.enter_context(_watched(cupti, lines=detail))
            sink = _Sink(cupti)
            sink.flush()
            sink.forget()
            sink.dropped()
            stack.callback(sink.give_back)
            for kind in kinds:
                cupti.activity_enable(kind)
                stack.callback(cupti.activity_disable, kind)
            recording = _CuptiRecording(sink, self._wait, sites, detail=detail)
            recording.prove(self._prove)
            yield recording


class _CuptiRecording:
    """CUPTI while it records."""

    def __init__(self, sink: _Sink, wait: Callable[[], None], sites: dict[int, str], *, detail: bool) -> None:
        self._sink, self._wait, self._sites, self._detail = sink, wait, sites, detail
        self._spans: list[tuple[float, float]] = []

    @contextlib.contextmanager
    def window(self) -> Iterator[None]:
        """Mark the calls of a block."""
        begin = self._sink.now()
        try:
            yield
        finally:
            self._spans.append((begin, self._sink.now()))

    def now(self) -> float:
        """Return CUPTI's time in seconds."""
        return self._sink.now()

    def read(self) -> list[Records]:
        """Return the records of the windows."""
        self._wait()
        self._sink.flush()
        lost = self._sink.dropped()
        if lost:
            raise ProfilerError(Reason("cupti-dropped", f"CUPTI dropped {lost:,} records"))
        calls = [_with_site(one, self._sites) for one in self._sink.calls]
        found = windows_of(self._spans, self._sink.work, calls, self._sink.memory)
        self._spans.clear()
        self._sites.clear()
        self._sink.forget()
        return found if self._detail else [Records(one.work) for one in found]

    def prove(self, run: Callable[[], None]) -> None:
        """See that a kernel of our own is recorded, with the call that launched it."""
        with self.window():
            run()
        (records,) = self.read()
        if not records.of("kernel"):
            raise ProfilerError(Reason("cupti-no-records"))


def _with_site(call: Call, sites: dict[int, str]) -> Call:
    site = sites.get(call.correlation, "")
    return Call(call.name, call.start, call.end, call.thread, call.correlation, site) if site else call


def _detach(cupti: Any) -> None:
    """Take CUPTI out of the driver's calls again; where that fails, a lost context is the likeliest cause, and its own error is the one to be seen."""
    with contextlib.suppress(Exception):
        cupti.finalize()


@contextlib.contextmanager
def _watched(cupti: Any, *, lines: bool) -> Iterator[dict[int, str]]:
    """Be CUPTI's one subscriber for a block; with `lines` remember, by its correlation, where every call comes from in which the host waits.

    Also of calls that C code makes: the callback runs in the thread that called. Whoever subscribed before and has not left, as torch.profiler
    once it ran, has CUPTI set up in ways of its own: then nothing is recorded here.
    """
    sites: dict[int, str] = {}
    entering = int(cupti.ApiCallbackSite.API_ENTER)

    def called(_data: Any, _domain: int, _number: int, told: Any) -> None:
        # What this raises would come out of the user's call into CUDA.
        with contextlib.suppress(Exception):
            if int(told.callback_site) == entering:
                sites[int(told.correlation_id)] = site_of(sys._getframe(0).f_back) or f"thread {threading.get_native_id()}"

    parameters = cupti.SubscriberParams()
    parameters.struct_size = cupti.SUBSCRIBER_PARAMS_SIZE
    parameters.subscriber_name = "pytest-gpuperf"
    try:
        subscriber = cupti.subscribe_v2(called, None, parameters.ptr)
    except cupti.cuptiError as error:
        told = f"CUPTI takes one subscriber a process, and another, as torch.profiler once it ran, is it ({_told(cupti, error)})"
        raise ProfilerError(Reason("cupti-taken", told)) from error
    try:
        for domain, calls in _waiting(cupti) if lines else ():
            for one in calls:
                cupti.enable_callback(1, subscriber, domain, one)
        yield sites
    finally:
        cupti.unsubscribe(subscriber)


def _waiting(cupti: Any) -> tuple[tuple[Any, list[Any]], ...]:
    """Return, by domain, the numbers of the calls that WAITS names, in all their versions."""
    names = {row.name for row in WAITS}
    domains = cupti.CallbackDomain
    return tuple(
        (domain, [one for one in numbers if bare(one.name) in names])
        for domain, numbers in ((domains.DRIVER_API, cupti.driver_api_trace_cbid), (domains.RUNTIME_API, cupti.runtime_api_trace_cbid))
    )


def _told(cupti: Any, error: Any) -> str:
    try:
        return str(cupti.Result(error.status).name)
    except (AttributeError, ValueError):
        return str(error)


def _cause() -> str:
    """Import cupti-python and ask it something; return in one line why that does not work."""
    try:
        from cupti import cupti
    except ModuleNotFoundError as error:
        return "cupti-python is not installed" if error.name in {"cupti", "cupti.cupti"} else f"cupti-python needs {error.name}, which is not installed"
    except Exception as error:  # noqa: BLE001 - a foreign library that cannot be loaded fails in its own way
        return f"cupti-python {_version()} cannot be loaded: {_line(error)}"
    try:
        cupti.get_timestamp()
    except Exception as error:  # noqa: BLE001 - as above
        return f"cupti-python {_version()} does not fit the CUPTI of this process: {_line(error)}"
    return ""


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("cupti-python")
    except metadata.PackageNotFoundError:
        return "(unknown version)"


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
