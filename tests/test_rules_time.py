"""Rules 1 and 2: no silent fallback; never time what is not the body."""

from __future__ import annotations

import statistics

import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.work import Work


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("duration", [0.3 * US, 2.005 * US, 20 * US, 333.3 * US])
def test_the_time_is_what_a_profiler_calls_the_duration(duration, graph):
    fake = device(seed=3, jitter=0.0)
    m = measured(fake, fake.kernel(duration, graph=graph), limit=0.1)
    seen = statistics.median(one.duration for one in fake.launches if one.name == "body")
    assert m.time.point == pytest.approx(seen, abs=0.1 * US)
    assert m.time.point == pytest.approx(duration + 0.7 * US, rel=0.01, abs=0.1 * US)
    assert m.details["body"] == ("graph" if graph else "kernel")


def test_the_constant_is_one_for_kernels_one_for_graphs_and_an_unknown_body_spans_both():
    fake = device(**STILL)
    with bench(fake) as gpuperf:
        kernel = gpuperf.measure(fake.kernel(5 * US), name="kernel")
        graph = gpuperf.measure(fake.kernel(5 * US, graph=True), name="graph")
        unknown = gpuperf.measure(lambda: fake.run(5 * US, [], []), name="unknown")
    constants = {m.details["body"]: m.details["samples"]["constant"] * 1e-10 for m in (kernel, graph, unknown)}
    assert constants["kernel"] == pytest.approx(2.20 * US, abs=0.04 * US)
    assert constants["graph"] == pytest.approx(1.92 * US, abs=0.04 * US)
    assert constants["unknown"] == pytest.approx((constants["kernel"] + constants["graph"]) / 2, abs=0.01 * US)
    assert kernel.time.shift == graph.time.shift == pytest.approx(0.1 * US)
    assert unknown.time.shift == pytest.approx((constants["kernel"] - constants["graph"]) / 2 + 0.1 * US, abs=0.01 * US)
    low, high = unknown.time.bounds
    assert low < 5.7 * US < high, "the interval of a body of unknown kind holds the truth"


def test_raw_samples_and_constant_are_both_recorded():
    fake = device(**STILL)
    m = measured(fake, fake.kernel(5 * US))
    samples = m.details["samples"]
    raw = statistics.median(one for row in samples["rounds"] for one in row) * samples["unit_s"]
    assert raw == pytest.approx(7.9 * US, abs=0.1 * US)
    assert (raw - samples["constant"] * samples["unit_s"]) / samples["batch"] == pytest.approx(m.time.point, abs=0.04 * US)


@pytest.mark.parametrize("cache", ["cold", "cold-dirty"])
def test_the_flush_is_never_in_the_time(cache):
    times = []
    for size in (1 << 14, 1 << 21):
        fake = device(l2=size, bandwidth=1e10, l2_dirty=0.0, **STILL)
        times.append(measured(fake, fake.kernel(5 * US), cache=cache).time.point)
        flush = next(one for one in fake.launches if one.name == "memset")
        assert flush.duration > (size / 1e10) / 2
    assert times[0] == pytest.approx(times[1], abs=0.05 * US)


def test_launch_cost_is_host_time_and_never_time():
    fake = device(**STILL)
    m = measured(fake, fake.kernel(5 * US, host_cost=300 * US))
    assert m.time.point == pytest.approx(5.7 * US, abs=0.1 * US)
    assert m.host_time.point == pytest.approx(300 * US, rel=0.02)
    assert m.wall_time.point >= m.host_time.point + 5 * US
    assert {m.time.source, m.host_time.source, m.wall_time.source} == {"device", "host"}


def test_compiling_is_first_call_and_only_where_this_process_had_not_run_the_function():
    fake = device(compile_time=0.25, **STILL)
    kernel = fake.kernel(5 * US)
    used = fake.kernel(5 * US)
    used()
    with bench(fake) as gpuperf:
        fresh = gpuperf.measure(kernel, name="fresh")
        again = gpuperf.measure(kernel, name="again")
        warm = gpuperf.measure(lambda: used(), name="warm")  # noqa: PLW0108 - the kernel is found in a closure
        blind = gpuperf.measure(lambda: fake.run(5 * US, [], []), name="blind")
    assert fresh.first_call.point == pytest.approx(0.25, rel=0.01)
    assert fresh.time.point == pytest.approx(5.7 * US, abs=0.1 * US)
    assert fresh.wall_time.point < 1e-3
    assert again.first_call.reason.code == "already-warm"
    assert warm.first_call.reason.code == "already-warm"
    assert blind.first_call.reason.code == "first-call-unknown"
    assert {one.first_call.number for one in (again, warm, blind)} == {None}


def test_a_body_that_synchronises_has_no_time_and_keeps_its_host_times():
    fake = device(**STILL)
    kernel = fake.kernel(5 * US)

    def body():
        kernel()
        fake.synchronize(0)

    with bench(fake) as gpuperf:
        gpuperf.measure(fake.kernel(5 * US), name="calibrates")
        before = fake.now()
        m = gpuperf.measure(body)
        spent = fake.now() - before
    assert (m.time.number, m.time.reason.code, m.time.reason.verdict) == (None, "sync", "UNMEASURED")
    assert m.time.p99.reason.code == "sync"
    assert m.bandwidth.number is None
    assert m.details["samples"] is None
    assert m.wall_time.point > 5 * US
    assert m.host_time.point == pytest.approx(m.wall_time.point, abs=5 * US)
    assert 1.0 < spent < 2.0, "found once: the stream waited for its watchdog one time"


def test_a_sync_in_the_middle_of_the_measurement_is_found_too():
    fake = device(**STILL)
    kernel = fake.kernel(5 * US)
    calls = []

    def body():
        kernel()
        calls.append(1)
        if len(calls) >= 100 and len(calls) % 2:
            fake.synchronize(0)

    m = measured(fake, body, limit=0.3)
    assert len(calls) > 100
    assert m.time.reason.code == "sync"


def test_a_body_that_launches_nothing_is_below_the_clock_and_never_a_pass():
    fake = device(**STILL)
    m = measured(fake, lambda: None)
    assert m.time.reason.code == "below-clock"
    assert m.time.reason.verdict == "INCONCLUSIVE"
    with pytest.raises(Exception, match="below-clock"):
        _ = m.time < 1


def test_what_is_not_there_is_no_number_of_another_source():
    fake = device(**STILL)
    m = measured(fake, fake.kernel(5 * US))
    assert m.bandwidth.number is None
    assert m.bandwidth.reason.code == "needs-work"
    assert m.bandwidth.record()["number"] is None


def test_a_bandwidth_above_what_is_possible_is_inconclusive():
    fake = device(bandwidth=1e12, l2_bandwidth=4e12, **STILL)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(5 * US), work=Work(reads=1 << 20, writes=1 << 20), budget={"bandwidth": ">= 80 %"})
        (judged,) = [m.judged(budget) for budget in gpuperf._case.overrides["main"]]
    # 2 MiB in 5.7 us are 368 GB/s: possible. Ten times that is not.
    assert judged.verdict in {"PASS", "FAIL"}
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(0.5 * US), work=Work(reads=1 << 20, writes=1 << 20), budget={"bandwidth": ">= 80 %"})
        (judged,) = [m.judged(budget) for budget in gpuperf._case.overrides["main"]]
    assert judged.reason is not None
    assert (judged.verdict, judged.reason.code) == ("INCONCLUSIVE", "impossible")
