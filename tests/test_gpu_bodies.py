"""Bodies that misbehave, on a real GPU: they synchronise, allocate, launch nothing, or raise."""

from __future__ import annotations

import ctypes
import gc
import itertools
import time

import pytest
from gpu_bench import CLOSE, MIB, say, share, shown, span

from pytest_gpuperf.errors import Inconclusive, Unmeasured

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu


@pytest.fixture
def still_fine(gpu, cuda, spin):
    """Afterwards a spin kernel still takes what it says itself."""
    yield
    out = cuda.device_array(2, "int64")
    m = gpu.measure(lambda: spin[1, 1](5_000, out), name="afterwards", cache="warm")
    assert m.time.reason is None, m.time
    assert abs(m.time.point - span(out) - share()) < CLOSE, m.time


def _torch_synchronize(torch, cuda):
    a = torch.rand(1 << 20, device="cuda")
    return lambda: (a.add_(1), torch.cuda.synchronize())[-1]


def _torch_item(torch, cuda):
    a = torch.rand(1 << 20, device="cuda")
    return lambda: a.sum().item()


def _numba_copy_to_host(torch, cuda):
    a = cuda.device_array(1000)
    return lambda: a.copy_to_host() is None


def _with_the_interpreters_lock(torch, cuda):
    a = torch.rand(1 << 20, device="cuda")
    # PyDLL keeps the lock in the call: no thread of this process could release the stream.
    wait = ctypes.PyDLL("libcuda.so.1").cuCtxSynchronize
    return lambda: (a.add_(1), wait())[-1]


@pytest.mark.parametrize(
    ("make", "cache"),
    [(_torch_synchronize, "cold"), (_torch_item, "cold"), (_torch_item, "steady"), (_numba_copy_to_host, "warm"), (_with_the_interpreters_lock, "cold")],
)
def test_a_body_that_synchronises_has_no_time_and_hangs_nothing(gpu, torch, cuda, make, cache, still_fine):
    from pytest_gpuperf.work import Work

    began = time.perf_counter()
    m = gpu.measure(make(torch, cuda), cache=cache, work=Work(reads=1 << 28))
    took = time.perf_counter() - began
    say(f"{make.__name__}: {took:.2f} s; host {m.host_time}; wall {m.wall_time}; {m.time.reason}")
    assert m.time.reason.code == "sync"
    assert m.time.number is None
    with pytest.raises(Unmeasured, match="sync"):
        assert m.time < 1
    assert 0 < m.host_time.point <= m.wall_time.point < 1e-2
    assert took < 6


def _outcome(m):
    """What may come of a body that allocates: a time, or the reason why there is none; never both, never a hang."""
    say(shown(m))
    assert (m.time.number is None) == (m.time.reason is not None and m.time.reason.code == "sync"), m.time
    assert m.host_time.point > 0


def test_a_body_that_allocates_from_a_cache(gpu, torch, still_fine):
    m = gpu.measure(lambda: torch.empty(1 << 20, device="cuda").fill_(1))
    _outcome(m)
    assert m.time.number is not None
    assert m.details["checked"] != "unchecked"
    assert bool((m.result == 1).all())


def test_a_body_that_allocates_fresh_sizes_with_torch(gpu, torch, still_fine):
    torch.cuda.empty_cache()
    sizes = itertools.count(20 * MIB, 2 * MIB)
    before = torch.cuda.memory_stats()["num_device_alloc"]

    def body():
        # No block of this size was ever freed: the cache must ask the driver each time.
        torch.empty(next(sizes), dtype=torch.uint8, device="cuda").fill_(1)

    def setup():
        # Each size stays in the cache for good: hundreds of calls would fill the device.
        if torch.cuda.memory_reserved() > 1 << 34:
            torch.cuda.empty_cache()

    began = time.perf_counter()
    m = gpu.measure(body, setup=setup)
    took = time.perf_counter() - began
    _outcome(m)
    allocations = torch.cuda.memory_stats()["num_device_alloc"] - before
    say(f"{allocations} allocations by the driver in {took:.1f} s")
    assert allocations > 50
    assert took < 15
    torch.cuda.empty_cache()


def test_a_body_that_allocates_fresh_sizes_with_cupy(gpu, cupy, still_fine):
    sizes = itertools.count(1000, 1000)

    def body():
        cupy.empty(next(sizes), "float32").fill(1)

    began = time.perf_counter()
    _outcome(gpu.measure(body))
    assert time.perf_counter() - began < 10


def test_a_body_whose_numba_arrays_are_freed_late(gpu, cuda, increment, still_fine):
    def body():
        increment[64, 256](cuda.device_array(1 << 14, "int32"))

    began = time.perf_counter()
    _outcome(gpu.measure(body))
    assert time.perf_counter() - began < 10
    assert gc.isenabled()


def test_a_body_that_launches_nothing_is_below_the_clock(gpu, torch, still_fine):
    m = gpu.measure(lambda: None)
    say(str(m.time))
    assert m.time.reason.code == "below-clock"
    with pytest.raises(Inconclusive, match="below-clock"):
        assert m.time < 1e-3
    assert m.details["checked"] == "unchecked"


def test_an_empty_kernel_is_measured(gpu, cuda, still_fine):
    @cuda.jit
    def empty():
        pass

    m = gpu.measure(empty[1, 32])
    say(shown(m))
    assert m.time.reason is None
    # A profiler says 0.61 us.
    assert 0.3e-6 < m.time.point < 1.1e-6


@pytest.mark.parametrize("number", [1, 2, 4, 30, 60, 100])
@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_a_body_that_raises_shows_its_error_and_leaves_nothing_behind(gpu, gpu_runtime, torch, still_fine, number, cache):
    a, out = torch.rand(1 << 24, device="cuda"), torch.empty(1 << 24, device="cuda")
    gpu.measure(a.neg_, name="before", inout=[a], cache=cache)
    torch.cuda.synchronize()
    free, _ = gpu_runtime.backend.memory()
    calls = itertools.count(1)

    def body():
        if next(calls) == number:
            message = f"call {number} of mine"
            raise ArithmeticError(message)
        torch.neg(a, out=out)

    with pytest.raises(ArithmeticError, match=f"^call {number} of mine$"):
        gpu.measure(body, inout=[a], outputs=[out], cache=cache)
    assert gc.isenabled()
    assert free - gpu_runtime.backend.memory()[0] < 4 * MIB


def test_an_error_of_the_library_in_the_body_shows_and_the_device_is_usable(gpu, torch, still_fine):
    with pytest.raises(RuntimeError, match="size"):
        gpu.measure(lambda: torch.rand(3, device="cuda") + torch.rand(4, device="cuda"))


def test_a_body_of_thousands_of_launches_is_no_hang(gpu, torch, still_fine):
    a = torch.zeros(64, device="cuda")

    def body():
        for _ in range(3000):
            a.add_(1)

    began = time.perf_counter()
    m = gpu.measure(body, inout=[a])
    took = time.perf_counter() - began
    say(f"{shown(m)}, {took:.1f} s")
    assert took < 15
    assert m.time.reason.code == "queue-full"
    assert float(a[0]) == 3000


def test_setup_may_synchronise_and_is_not_timed(gpu, torch, cuda, spin):
    out = cuda.device_array(2, "int64")
    big = torch.rand(1 << 26, device="cuda")

    def setup():
        big.add_(1)
        torch.cuda.synchronize()

    m = gpu.measure(lambda: spin[1, 1](5_000, out), setup=setup, cache="warm")
    assert abs(m.time.point - span(out) - share()) < CLOSE, m.time
