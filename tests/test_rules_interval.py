"""Rule 4: the interval is honest."""

from __future__ import annotations

import itertools

import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.testing import FakeDevice


class Watched(FakeDevice):
    """Remembers when the state of the machine was read: once a round."""

    def __init__(self, spec):
        super().__init__(spec)
        self.looks = []

    def evidence(self):
        self.looks.append(self.now())
        return super().evidence()


def _rounds(m):
    return m.details["samples"]["rounds"]


def test_samples_come_in_10_rounds_at_least_5_ms_apart_with_evidence_each():
    fake = device(kind=Watched)
    with bench(fake, limit=1.0) as gpuperf:
        gpuperf.measure(fake.kernel(5 * US), name="calibrates")
        fake.looks.clear()
        m = gpuperf.measure(fake.kernel(5 * US))
    assert len(_rounds(m)) == 10
    assert len(m.details["evidence"]) == 10
    starts = [one.start for one in fake.launches if one.name == "body" and one.start > fake.looks[0]]
    gaps = [after - before for before, after in itertools.pairwise(starts) if after - before > 1e-3]
    # One more gap stands before the call that is left in the buffers.
    assert len(gaps) in {9, 10}
    assert min(gaps) >= 5e-3


@pytest.mark.parametrize("limit", [1e-4, 1e-3, 0.02])
def test_5_rounds_are_always_taken(limit):
    fake = device()
    m = measured(fake, fake.kernel(5 * US), limit=limit)
    assert len(_rounds(m)) >= 5
    assert m.time.number is not None


def test_sampling_ends_at_the_limit_where_noise_does_not_end_it():
    fake = device(jitter=0.3, autocorrelation=0.9)
    with bench(fake, limit=0.5) as gpuperf:
        gpuperf.measure(fake.kernel(5 * US), name="calibrates")
        before = fake.now()
        m = gpuperf.measure(fake.kernel(200 * US))
        spent = fake.now() - before
    assert len(_rounds(m)) > 10
    assert 0.4 < spent < 0.9
    # The other end: no noise, no need for more than the usual rounds.
    still = device(**STILL)
    assert len(_rounds(measured(still, still.kernel(200 * US), limit=0.5))) == 10


def test_the_interval_is_at_least_half_a_tick_and_carries_the_calibration():
    fake = device(**STILL)
    m = measured(fake, fake.kernel(5 * US), limit=0.2)
    assert m.time.high - m.time.low >= 32e-9 * 0.999
    assert m.time.shift == pytest.approx(0.1 * US)
    low, high = m.time.bounds
    assert (high - low) == pytest.approx(m.time.high - m.time.low + 0.2 * US)


def test_the_interval_holds_the_truth_under_jitter_and_autocorrelation():
    inside = 0
    for seed in range(20):
        fake = device(seed=seed, jitter=0.01, autocorrelation=0.8)
        m = measured(fake, fake.kernel(30 * US), limit=0.15)
        low, high = m.time.bounds
        inside += low <= 30.7 * US <= high
    assert inside >= 18


@pytest.mark.parametrize(("statistic", "needed"), [("p95", 72), ("p99", 368)])
def test_a_percentile_that_a_budget_asks_for_makes_the_sampler_take_its_samples(statistic, needed):
    fake = device()
    with bench(fake, limit=0.4) as gpuperf:
        without = gpuperf.measure(fake.kernel(5 * US), name="without", samples=1)
        m = gpuperf.measure(fake.kernel(5 * US), budget={"time": f"{statistic} <= 12 us", "host_time": f"{statistic} <= 1 s"})
    assert without.time.p99.reason.code == "too-few-samples"
    assert sum(map(len, _rounds(m))) >= needed
    assert m.time.samples >= needed
    value = m[f"time.{statistic}"]
    assert value.low <= value.number <= value.high
    assert value.number >= m.time.number
    assert m[f"host_time.{statistic}"].number is not None


def test_samples_asks_for_more():
    fake = device()
    m = measured(fake, fake.kernel(5 * US), samples=368, limit=0.4)
    assert m.time.samples >= 368
    assert m.time.p99.number is not None


def test_too_few_samples_is_unmeasured_with_both_numbers():
    fake = device()
    m = measured(fake, fake.kernel(5 * US), limit=0.001, budget={"time": "p99 <= 12 us"})
    reason = m.time.p99.reason
    assert (reason.verdict, reason.code) == ("UNMEASURED", "too-few-samples")
    assert reason.detail == f"{m.time.samples} samples, p99 needs 368"


def _verdict(fake, limit_text, duration=100 * US):
    with bench(fake, limit=0.3) as gpuperf:
        m = gpuperf.measure(fake.kernel(duration), budget={"time": limit_text})
        (budget,) = gpuperf._case.overrides["main"]
        judged = m.judged(budget)
    return judged.verdict, judged.reason.code if judged.reason else None, m


def test_drift_is_inconclusive_only_with_the_limit_inside_it():
    knobs = {"drift": 1.0, "jitter": 0.0005}
    _, _, m = _verdict(device(**knobs), "<= 130 us")
    assert m.drift is not None
    assert m.drift.change > 0.02
    middle = (m.drift.low + m.drift.high) / 2
    assert _verdict(device(**knobs), f"<= {middle * 1e6:.2f} us")[:2] == ("INCONCLUSIVE", "drift")
    assert _verdict(device(**knobs), "<= 500 us")[:2] == ("PASS", None)
    assert _verdict(device(**knobs), "<= 50 us")[:2] == ("FAIL", None)
    assert measured(device(jitter=0.0005), device(jitter=0.0005).kernel(100 * US)).drift is None


def test_a_limit_inside_the_interval_is_inconclusive_and_one_outside_is_not():
    assert _verdict(device(), "<= 100.7 us")[:2] == ("INCONCLUSIVE", "straddles")
    assert _verdict(device(), "<= 102.5 us")[:2] == ("PASS", None)
    assert _verdict(device(), "<= 99 us")[:2] == ("FAIL", None)


def test_calibration_counts_against_absolute_limits_and_not_in_ratios_of_one_kind():
    fake = device(**STILL)
    with bench(fake, limit=0.2) as gpuperf:
        a = gpuperf.measure(fake.kernel(2.0 * US), name="a")
        b = gpuperf.measure(fake.kernel(2.0 * US), name="b")
        graph = gpuperf.measure(fake.kernel(2.0 * US, graph=True), name="graph")
        unknown = [gpuperf.measure(lambda: fake.run(2 * US, [], []), name=f"unknown {n}") for n in range(2)]
    assert a.time.shift == pytest.approx(0.1 * US)
    assert (a.time - b.time).shift == pytest.approx(0.0, abs=1e-15)
    assert (a.time / b.time).shift < 0.002
    assert (a.time - graph.time).shift == pytest.approx(0.2 * US)
    assert (unknown[0].time - unknown[1].time).shift > 0.4 * US
    assert a.time < 1.1 * b.time
