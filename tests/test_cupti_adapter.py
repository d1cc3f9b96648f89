"""device/cupti.py before a stand-in for cupti-python: what it turns on and off, what it makes of records, and what it says of every fault."""

from __future__ import annotations

import ctypes
import enum
import sys
import types

import pytest

from pytest_gpuperf.device.cupti import CuptiProfiler
from pytest_gpuperf.device.profiler import ProfilerError

KINDS = enum.IntEnum("ActivityKind", ["CONCURRENT_KERNEL", "MEMCPY", "MEMSET", "DRIVER", "RUNTIME", "MEMORY2"])
OPERATIONS = enum.IntEnum("ActivityMemoryOperationType", ["ALLOCATION", "RELEASE"])
MEMORIES = enum.IntEnum("ActivityMemoryKind", ["PAGEABLE", "PINNED", "DEVICE", "MANAGED"])
DRIVER_CALLS = enum.IntEnum("driver_api_trace_cbid", ["cuLaunchKernel", "cuCtxSynchronize", "cuMemcpyDtoH_v2_ptds"])
RUNTIME_CALLS = enum.IntEnum("runtime_api_trace_cbid", ["cudaLaunchKernel_v7000", "cudaDeviceSynchronize_v3020"])
DOMAINS = enum.IntEnum("CallbackDomain", ["DRIVER_API", "RUNTIME_API"])
SITES = enum.IntEnum("ApiCallbackSite", ["API_ENTER", "API_EXIT"], start=0)


class CuptiError(Exception):
    status = 39


class Stand:
    """As much of cupti-python as is called, with a device that launches what it is told to."""

    def __init__(self):
        self.ActivityKind, self.ActivityMemoryOperationType, self.ActivityMemoryKind = KINDS, OPERATIONS, MEMORIES
        self.ActivityMemcpyKind = enum.IntEnum("ActivityMemcpyKind", ["HTOD", "DTOH"])
        self.driver_api_trace_cbid, self.runtime_api_trace_cbid = DRIVER_CALLS, RUNTIME_CALLS
        self.CallbackDomain, self.ApiCallbackSite, self.cuptiError = DOMAINS, SITES, CuptiError
        self.Result = lambda status: types.SimpleNamespace(name="ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED")
        self.SUBSCRIBER_PARAMS_SIZE = 24
        self.SubscriberParams = lambda: types.SimpleNamespace(ptr=0, old_subscriber_name="")
        self.enabled, self.clock, self.number, self.pending = [], 1_795_690_475_630_644_964, 0, []
        self.lost, self.silent, self.taken, self.subscribed, self.registered = 0, False, False, None, 0
        self.detached = 0
        self.watched, self.held = set(), False

    def activity_register_callbacks(self, requested, completed):
        self.registered += 1
        assert requested()[0] > 0
        self.completed = completed

    def activity_enable(self, kind):
        self.enabled.append(kind)

    def activity_disable(self, kind):
        self.enabled.remove(kind)

    def activity_flush_all(self, flag):
        pending, self.pending = self.pending, []
        self.held = bool(self.enabled)
        self.completed([one for one in pending if one.kind in self.enabled and not self.silent])

    def activity_get_num_dropped_records(self, context, stream, address):
        ctypes.c_size_t.from_address(address).value = self.lost

    def get_timestamp(self):
        self.clock += 10
        return self.clock

    def get_callback_name(self, domain, number):
        return (DRIVER_CALLS if domain == DOMAINS.DRIVER_API else RUNTIME_CALLS)(number).name

    def subscribe_v2(self, callback, data, parameters):
        if self.taken:
            raise CuptiError
        self.subscribed = callback
        return 5

    def unsubscribe(self, subscriber):
        self.subscribed = None
        self.watched.clear()

    def finalize(self):
        # With a subscriber or an activity left on it would take them along.
        assert self.subscribed is None
        assert not self.enabled
        self.detached += 1

    def enable_callback(self, on, subscriber, domain, number):
        self.watched.add((domain, number))

    def call(self, number, *work, domain=DOMAINS.DRIVER_API):
        """Make a call of the driver or the runtime, which leads to some work."""
        self.number += 1
        start = self.get_timestamp()
        if (domain, number) in self.watched:
            for site in SITES:
                self.subscribed(None, domain, number, types.SimpleNamespace(callback_site=site, correlation_id=self.number))
        end = self.get_timestamp()
        kind = KINDS.DRIVER if domain == DOMAINS.DRIVER_API else KINDS.RUNTIME
        self.pending.append(types.SimpleNamespace(kind=kind, cbid=number, start=start, end=end, thread_id=1, correlation_id=self.number))
        for one in work:
            at = self.get_timestamp()
            known = {"start": at, "end": at + 5000, "timestamp": start, "stream_id": 7, "graph_node_id": 0, "correlation_id": self.number}
            self.pending.append(types.SimpleNamespace(**{**known, **one}))

    def kernel(self, name="mine"):
        self.call(DRIVER_CALLS.cuLaunchKernel, {"kind": KINDS.CONCURRENT_KERNEL, "name": name})


@pytest.fixture
def stand(monkeypatch):
    made = Stand()
    monkeypatch.setitem(sys.modules, "cupti", types.SimpleNamespace(cupti=made))
    return made


@pytest.fixture
def profiler(stand):
    return CuptiProfiler(lambda: stand.kernel("empty"), lambda: None)


def recorded(profiler, *bodies, detail=False):
    with profiler.recording(detail=detail) as recording:
        for body in bodies:
            with recording.window():
                body()
        return recording.read()


def test_records_are_those_of_the_calls_in_the_window(stand, profiler):
    def body():
        stand.kernel("copy")
        stand.call(RUNTIME_CALLS.cudaLaunchKernel_v7000, {"kind": KINDS.CONCURRENT_KERNEL, "name": "torch"}, domain=DOMAINS.RUNTIME_API)

    with profiler.recording() as recording:
        stand.kernel("before")
        with recording.window():
            body()
        stand.kernel("after")
        (records,) = recording.read()
    assert [one.name for one in records.work] == ["copy", "torch"]
    assert records.work[0].end - records.work[0].start == pytest.approx(5e-6, abs=1e-12)
    assert records.calls == ()
    assert not stand.enabled
    assert stand.subscribed is None


def test_details_are_calls_copies_memsets_and_memory(stand, profiler):
    def body():
        stand.call(DRIVER_CALLS.cuLaunchKernel, {"kind": KINDS.MEMCPY, "copy_kind": 2, "bytes": 64}, {"kind": KINDS.MEMSET, "bytes": 32})
        for sign, kind in ((OPERATIONS.ALLOCATION, MEMORIES.DEVICE), (OPERATIONS.ALLOCATION, MEMORIES.PINNED), (OPERATIONS.RELEASE, MEMORIES.DEVICE)):
            stand.call(DRIVER_CALLS.cuLaunchKernel, {"kind": KINDS.MEMORY2, "memory_operation_type": sign, "memory_kind": kind, "bytes": 100})

    (records,) = recorded(profiler, body, detail=True)
    assert [(one.kind, one.name, one.nbytes) for one in records.work] == [("memcpy", "DTOH", 64), ("memset", "memset", 32)]
    assert [one.nbytes for one in records.memory] == [100, -100]
    assert [one.name for one in records.calls] == ["cuLaunchKernel"] * 4
    assert KINDS.MEMORY2 not in stand.enabled


def test_lines_of_waits_by_driver_and_runtime(stand, profiler):
    def body():
        stand.kernel()
        stand.call(DRIVER_CALLS.cuMemcpyDtoH_v2_ptds)
        stand.call(RUNTIME_CALLS.cudaDeviceSynchronize_v3020, domain=DOMAINS.RUNTIME_API)

    (records,) = recorded(profiler, body, detail=True)
    assert [one.name for one in records.waits] == ["cuMemcpyDtoH_v2_ptds", "cudaDeviceSynchronize_v3020"]
    assert all(one.site.startswith("test_cupti_adapter.py:") for one in records.waits)
    assert records.calls[0].site == ""


def test_a_callback_that_fails_does_not_fail_the_call(stand, profiler):
    def body():
        stand.subscribed(None, 1, 2, types.SimpleNamespace())
        stand.kernel()

    (records,) = recorded(profiler, body, detail=True)
    assert len(records.work) == 1


def test_each_recording_registers_its_callbacks_detaches_at_its_end_and_reads_windows_once(stand, profiler):
    with profiler.recording() as recording:
        for name in ("one", "two"):
            with recording.window():
                stand.kernel(name)
        assert [[one.name for one in records.work] for records in recording.read()] == [["one"], ["two"]]
        with recording.window():
            stand.kernel("three")
        assert [[one.name for one in records.work] for records in recording.read()] == [["three"]]
    assert (stand.registered, stand.detached) == (1, 1)
    recorded(profiler, stand.kernel)
    assert (stand.registered, stand.detached) == (2, 2)


def test_a_profiler_that_records_nothing_says_so_before_the_body_runs(stand, profiler):
    stand.silent = True
    ran = []
    with pytest.raises(ProfilerError, match="cupti-no-records"):
        recorded(profiler, lambda: ran.append(1))
    assert not ran
    assert not stand.enabled
    assert stand.subscribed is None


def test_dropped_records_are_counted_and_refused(stand, profiler):
    with pytest.raises(ProfilerError, match="cupti-dropped: CUPTI dropped 3 records"), profiler.recording() as recording:
        stand.lost = 3
        recording.read()
    assert not stand.enabled


def test_another_subscriber_is_named_and_left_alone(stand, profiler):
    stand.taken = True
    with pytest.raises(ProfilerError, match=r"cupti-taken: CUPTI takes one subscriber a process.*ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED"):
        recorded(profiler, stand.kernel)
    assert not stand.enabled


@pytest.mark.parametrize("detail", [False, True])
def test_no_buffer_is_left_with_cupti_once_nothing_is_on(stand, profiler, detail):
    with profiler.recording(detail=detail) as recording:
        recording.read()
        stand.kernel("between the last flush and the end")
        assert stand.held
    assert not stand.held
    assert not stand.pending
    assert recorded(profiler) == []


def test_a_body_that_raises_leaves_nothing_on(stand, profiler):
    def body():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        recorded(profiler, body, detail=True)
    assert not stand.enabled
    assert stand.subscribed is None


class Failing:
    def __init__(self, error):
        self.error = error

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cupti":
            raise self.error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ModuleNotFoundError("No module named 'cupti'", name="cupti"), "cupti-python is not installed"),
        (ModuleNotFoundError("No module named 'cuda.pathfinder'", name="cuda.pathfinder"), "cupti-python needs cuda.pathfinder, which is not installed"),
        (RuntimeError("Failed to dlopen libcupti.so.13\nmore"), "cupti-python (unknown version) cannot be loaded: Failed to dlopen libcupti.so.13"),
    ],
)
def test_what_keeps_it_from_loading_is_one_line(monkeypatch, error, why):
    monkeypatch.delitem(sys.modules, "cupti", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Failing(error), *sys.meta_path])
    profiler = CuptiProfiler(lambda: None, lambda: None)
    assert profiler.missing() == why
    with pytest.raises(ProfilerError, match="no-cupti"), profiler.recording():
        pass


def test_a_version_that_does_not_fit_is_one_line(stand, profiler):
    def stamp():
        raise RuntimeError("cuptiGetTimestamp: symbol not found\nand more")

    stand.get_timestamp = stamp
    assert profiler.missing() == "cupti-python (unknown version) does not fit the CUPTI of this process: cuptiGetTimestamp: symbol not found"


def test_what_is_missing_is_asked_once(stand, profiler):
    assert profiler.missing() == ""
    del sys.modules["cupti"]
    assert profiler.missing() == ""
