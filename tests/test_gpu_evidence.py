"""Evidence on a real GPU: stamps, violation counters, and a product that lives at the power limit."""

from __future__ import annotations

import statistics

import pytest
from gpu_bench import MIB, shown
from gpu_bench import say as say_line

from pytest_gpuperf.device import health
from pytest_gpuperf.timing.witness import Witness
from pytest_gpuperf.work import Work

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu


def say(*told):
    say_line(" ".join(map(str, told)))


def _clocks(m):
    return [one["effective_clock"] for one in m.details["evidence"]]


@pytest.fixture
def full(gpu_runtime):
    """The clock that NVML says the device should run at, in MHz."""
    gpu_runtime.instruments(0)
    clock = gpu_runtime.backend.facts.sm_clock
    assert clock, "NVML tells no clock"
    say(f"the device's own clock: {clock} MHz")
    return clock


@pytest.fixture(scope="module")
def product(gpu_runtime, torch):
    """A body and its output: an 8192 x 8192 bf16 product of torch, about 1.5 ms of tensor cores."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(a)
    yield (lambda: torch.matmul(a, b, out=out)), out
    torch.cuda.synchronize()


@pytest.mark.parametrize("cache", ["cold", "warm", "steady"])
def test_stamps_see_the_whole_clock_under_a_memory_kernel(gpu, torch, full, cache):
    body, work = _memory(torch, 256 * MIB)
    m = gpu.measure(body, cache=cache, work=work)
    say(shown(m), _clocks(m))
    assert None not in _clocks(m), "a stamp did not land on multiprocessor 0"
    assert _clocks(m) == pytest.approx([full] * len(_clocks(m)), rel=0.02)
    assert m.time.reason is None, m.time.reason
    assert m.details["state"] is None
    assert m.details["samples"]["discarded"] == 0


def _memory(torch, nbytes):
    """Return a body that reads and writes so many bytes, and its Work."""
    source, target = (torch.zeros(nbytes // 4, device="cuda") for _ in range(2))
    return lambda: torch.add(source, 1.0, out=target), Work(reads=nbytes, writes=nbytes)


def test_a_short_round_has_its_clock_too(gpu, torch, full):
    m = gpu.measure(_memory(torch, 4096)[0], cache="warm")
    say(shown(m), _clocks(m))
    assert _clocks(m) == pytest.approx([full] * len(_clocks(m)), rel=0.02)


def test_stamps_land_on_multiprocessor_0_right_behind_a_kernel_that_fills_the_device(gpu_runtime, torch, full):
    backend, tools = gpu_runtime.backend, gpu_runtime.instruments(0)
    array = torch.zeros(256 * MIB // 4, device="cuda")
    witness = Witness(backend, tools.limits)
    try:
        found = []
        for _ in range(50):
            witness.start(0)
            for _ in range(3):
                array.add_(1.0)
            found.append(witness.clock(0))
        assert None not in found
        say(f"50 pairs of stamps: {min(found):.1f} to {max(found):.1f} MHz")
        assert found == pytest.approx([full] * 50, rel=0.02)
    finally:
        backend.synchronize()
        witness.close()


def test_violation_counters_are_there_and_do_not_run_backwards(gpu_runtime, full):
    backend = gpu_runtime.backend
    began = backend.now()
    first = backend.evidence()
    took = backend.now() - began
    second = backend.evidence()
    say(first, f"read in {took * 1e3:.1f} ms")
    assert set(first.violations) == {row.cause for row in health.VIOLATIONS}
    assert all(second.violations[cause] >= seconds for cause, seconds in first.violations.items())


def test_a_product_lives_at_the_power_limit_and_is_judged_there(gpu, product, full):
    body, out = product
    began = gpu._runtime.backend.now()
    m = gpu.measure(body, outputs=[out], duty="sustained")
    say(m.context, f"{gpu._runtime.backend.now() - began:.1f} s", shown(m), [round(one) for one in _clocks(m)], m.details["notes"])
    masks = {one["throttle"] for one in m.details["evidence"]}
    assert all(mask & 0x4 for mask in masks), masks
    assert sum(one["violations"]["power"] for one in m.details["evidence"]) > 0
    assert statistics.median(_clocks(m)) < 0.87 * full
    assert m.details["state"] == "power-limited"
    assert m.details["samples"]["discarded"] == 0
    assert m.time.reason is None, m.time.reason
    assert m.time < 3e-3
    assert m.time > 0.5e-3


def test_a_spaced_product_says_what_it_was_taken_at(gpu, product, full):
    body, out = product
    gpu._runtime.backend.sleep(1.0)
    began = gpu._runtime.backend.now()
    m = gpu.measure(body, outputs=[out])
    say(m.context, f"{gpu._runtime.backend.now() - began:.1f} s", shown(m), [(round(one["effective_clock"]), one["discarded"]) for one in m.details["evidence"]])
    assert None not in _clocks(m)
    # Free, a state, or a change that is told: never a change that is hidden.
    limited = {bool(health.causes_of(_as_evidence(one), full)) for one in m.details["evidence"] if not one["discarded"]}
    assert len(limited) == 1 or m.time.reason.code == "throttled"


def _as_evidence(row):
    from pytest_gpuperf.device.backend import Evidence

    return Evidence(**{name: value for name, value in row.items() if name != "discarded"})


def test_what_lingers_after_a_hot_kernel_does_not_spoil_a_cool_one(gpu, product, torch, full):
    body, _ = product
    memory, work = _memory(torch, 256 * MIB)
    cool = gpu.measure(memory, name="before", cache="steady", work=work)
    for _ in range(300):
        body()
    torch.cuda.synchronize()
    m = gpu.measure(memory, name="after", cache="steady", work=work)
    say(shown(m), m.context, [(round(one["effective_clock"]), hex(one["throttle"]), one["discarded"]) for one in m.details["evidence"]])
    assert m.time.reason is None, m.time.reason
    assert m.time.point == pytest.approx(cool.time.point, rel=0.01)


def test_stamps_cost_a_timed_call_nothing(gpu, torch, full):
    """The same kernel with and without stamps at the ends of its rounds, alternately: what they differ by is the clock's own noise."""
    body, _ = _memory(torch, 1 << 20)
    witness = gpu._runtime.instruments(0).witness
    times = {True: [], False: []}
    for number in range(6):
        with_stamps = number % 2 == 0
        saved = witness._stamp
        if not with_stamps:
            witness._stamp = lambda *_: None
        try:
            m = gpu.measure(body, name=f"{with_stamps} {number}")
        finally:
            witness._stamp = saved
        times[with_stamps].append(m.time.number)
        assert (None in _clocks(m)) is not with_stamps
    say({key: [round(one * 1e6, 3) for one in values] for key, values in times.items()})
    assert statistics.median(times[True]) == pytest.approx(statistics.median(times[False]), abs=0.1e-6)
