"""Rules 6, 8 and 9: evidence about the machine, the stream, and what happens inside the window."""

from __future__ import annotations

import contextlib
import gc
import sys
import types

import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.errors import Inconclusive


def test_every_round_has_its_evidence():
    fake = device(**STILL)
    m = measured(fake, fake.kernel(5 * US))
    evidence = m.details["evidence"]
    assert len(evidence) == len(m.details["samples"]["rounds"])
    assert evidence[0] == {
        "sm_clock": 1980, "memory_clock": 3201, "temperature": 45, "power": 150.0, "throttle": 0, "utilization": 0, "processes": (),
        "violations": {"power": 0.0, "thermal": 0.0}, "effective_clock": pytest.approx(1980.0, abs=0.1), "discarded": None,
    }  # fmt: skip


def test_a_constant_throttle_is_a_state_and_judged():
    fake = device(throttle_at=0.0, throttle_factor=1.25, **STILL)
    m = measured(fake, fake.kernel(20 * US), limit=0.1)
    assert m.time.reason is None
    assert m.time < 30 * US
    assert {one["throttle"] for one in m.details["evidence"]} == {4}
    assert "SM 1584 MHz" in m.context


def test_a_throttle_that_comes_inside_the_measurement_is_inconclusive():
    fake = device(**STILL)
    with bench(fake, limit=0.3) as gpuperf:
        gpuperf.measure(fake.kernel(20 * US), name="before")
        calls = []

        def effect():
            calls.append(1)
            if len(calls) == 120:
                fake.throttle()

        m = gpuperf.measure(fake.kernel(20 * US, effect=effect))
    assert len(calls) > 120
    assert (m.time.reason.verdict, m.time.reason.code) == ("INCONCLUSIVE", "throttled")
    assert "none -> " in m.time.reason.detail
    assert m.time.number is not None, "there is a number to look at"
    with pytest.raises(Inconclusive):
        _ = m.time < 1


def test_load_of_others_before_our_first_launch_is_foreign_load():
    fake = device(foreign_utilization=90, foreign_processes=(4242,), foreign_slowdown=1.5, **STILL)
    m = measured(fake, fake.kernel(20 * US))
    assert m.time.reason.code == "foreign-load"
    assert "90 % busy before our first launch" in m.time.reason.detail
    assert "4242" in m.time.reason.detail


def test_load_that_begins_later_is_seen_by_a_kernel_of_known_length():
    fake = device(**STILL)
    with bench(fake) as gpuperf:
        clean = gpuperf.measure(fake.kernel(20 * US), name="clean")
        fake.foreign(slowdown=1.5)
        m = gpuperf.measure(fake.kernel(20 * US), name="loaded")
    assert clean.time.reason is None
    assert m.time.reason.code == "foreign-load"
    assert "a kernel of 10 us took 5.0 us longer" in m.time.reason.detail


def test_other_processes_without_activity_are_recorded_and_judged():
    fake = device(foreign_processes=(4242, 4243), **STILL)
    m = measured(fake, fake.kernel(20 * US))
    assert m.time.reason is None
    assert m.details["evidence"][0]["processes"] == (4242, 4243)


def test_work_on_another_stream_is_inconclusive():
    fake = device(**STILL)
    other = fake.stream()
    aside, kernel = fake.kernel(500 * US, stream=other), fake.kernel(5 * US)
    m = measured(fake, lambda: (aside(), kernel())[1])
    assert (m.time.reason.verdict, m.time.reason.code) == ("INCONCLUSIVE", "other-stream")
    assert " us more after the stream 0x0 is idle" in m.time.reason.detail


def test_a_host_that_is_late_at_the_first_calls_is_no_other_stream(monkeypatch):
    fake = device(**STILL)
    whole, late = fake.synchronize, iter([30 * US] * 6)

    def synchronize(stream=None):
        began = fake.now()
        whole(stream)
        # Every other wait for the device is the one that is held against it.
        if stream is None and fake.now() - began < 50 * US and counted[0]:
            counted[0] = False
            fake.sleep(next(late, 0.0))
        elif stream is not None:
            counted[0] = True

    counted = [False]
    monkeypatch.setattr(fake, "synchronize", synchronize)
    m = measured(fake, fake.kernel(744 * US))
    assert m.time.reason is None
    assert next(late, None) is None


def test_the_stream_that_is_named_is_the_one_that_is_timed():
    fake = device(**STILL)
    own = fake.stream()
    kernel = fake.kernel(50 * US, stream=own)
    with bench(fake) as gpuperf:
        assert gpuperf.stream == 0
        right = gpuperf.measure(kernel, name="right", stream=own)
        wrong = gpuperf.measure(kernel, name="wrong")
    assert right.time.point == pytest.approx(50.7 * US, abs=0.1 * US)
    assert right.details["stream"] == own
    assert wrong.time.reason.code == "other-stream"


def test_the_stream_is_torchs_current_one_where_torch_is_loaded(monkeypatch):
    fake = device(**STILL)
    own = fake.stream()
    current = types.SimpleNamespace(cuda_stream=own)
    torch = types.SimpleNamespace(
        cuda=types.SimpleNamespace(is_available=lambda: True, current_stream=lambda: current), Tensor=type("Tensor", (), {})
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    with bench(fake) as gpuperf:
        assert gpuperf.stream == own
        m = gpuperf.measure(fake.kernel(50 * US, stream=own))
    assert m.details["stream"] == own
    assert m.time.point == pytest.approx(50.7 * US, abs=0.1 * US)


def test_garbage_is_not_collected_inside_the_window():
    fake = device(**STILL)
    seen = set()
    kernel = fake.kernel(5 * US, effect=lambda: seen.add(gc.isenabled()))
    assert gc.isenabled()
    measured(fake, kernel)
    assert seen == {False}
    assert gc.isenabled()
    gc.disable()
    try:
        measured(fake, kernel)
        assert not gc.isenabled(), "as the caller had it"
    finally:
        gc.enable()


def test_the_collector_is_on_again_after_a_body_that_raises():
    fake = device(**STILL)
    with pytest.raises(ZeroDivisionError):
        measured(fake, lambda: 1 / 0)
    assert gc.isenabled()
    # And the stream is not held any more.
    assert measured(fake, fake.kernel(5 * US)).time.number is not None


def test_pending_frees_of_numba_go_before_and_wait_inside(monkeypatch):
    log = []

    @contextlib.contextmanager
    def defer():
        log.append("deferred")
        yield
        log.append("free again")

    numba_cuda = types.ModuleType("numba.cuda")
    numba_cuda.jit = lambda: None
    numba_cuda.is_available = lambda: True
    numba_cuda.current_context = lambda: types.SimpleNamespace(deallocations=types.SimpleNamespace(clear=lambda: log.append("cleared")))
    numba_cuda.defer_cleanup = defer
    devices = types.SimpleNamespace(_runtime=types.SimpleNamespace(gpus=[0]))
    monkeypatch.setitem(sys.modules, "numba.cuda", numba_cuda)
    monkeypatch.setitem(sys.modules, "numba.cuda.cudadrv.devices", devices)
    fake = device(**STILL)
    kernel = fake.kernel(5 * US, effect=lambda: log.append("body") if log[-1] != "body" else None)
    measured(fake, kernel)
    assert log == ["cleared", "deferred", "body", "free again"]


def test_a_body_that_fails_inside_the_window_lets_the_stream_go():
    fake = device(**STILL)
    calls = []

    def effect():
        calls.append(1)
        if len(calls) == 90:
            raise ValueError("in a timed call")

    with bench(fake, limit=0.3) as gpuperf:
        with pytest.raises(ValueError, match="in a timed call"):
            gpuperf.measure(fake.kernel(5 * US, effect=effect), name="fails")
        assert len(calls) == 90
        assert gpuperf.measure(fake.kernel(5 * US), name="next").time.point == pytest.approx(5.7 * US, abs=0.1 * US)


def test_a_lost_device_makes_the_rest_unmeasured_and_says_why(pytester):
    from plugin_runs import run_pytest

    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 12 us")
        def test_breaks(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6), name="fine")
            fake.lose()
            gpuperf.measure(fake.kernel(5e-6))

        @pytest.mark.gpuperf(time="<= 12 us")
        def test_after(gpuperf):
            gpuperf.measure(lambda: None)
        """,
    )
    assert done.outcomes == {"failed": 1, "unmeasured": 1}
    assert done.codes["test_after"] == ["device-lost"]
    assert done.account == {"collected": 2, "UNMEASURED": 2}


def test_numba_without_a_driver_is_left_alone(monkeypatch):
    def no_driver():
        message = "CUDA driver library cannot be found."
        raise RuntimeError(message)

    numba_cuda = types.ModuleType("numba.cuda")
    numba_cuda.jit = lambda: None
    numba_cuda.is_available = lambda: False
    numba_cuda.current_context = no_driver
    devices = types.ModuleType("numba.cuda.cudadrv.devices")
    devices._runtime = types.SimpleNamespace(gpus=())
    monkeypatch.setitem(sys.modules, "numba.cuda", numba_cuda)
    monkeypatch.setitem(sys.modules, "numba.cuda.cudadrv.devices", devices)
    fake = device(**STILL)
    assert measured(fake, fake.kernel(5 * US)).time < 6 * US
