"""A fair comparison on a fake device: what is common to the versions cancels, and what is not is found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from rules_bench import STILL, US, bench, device
from rules_compared import compared, pair

from pytest_gpuperf.errors import BudgetExceeded, Inconclusive, Unmeasured
from pytest_gpuperf.testing import FakeDevice
from pytest_gpuperf.timing import interleave
from pytest_gpuperf.work import Work


@pytest.mark.parametrize("seed", range(4))
def test_five_percent_are_found_and_nothing_is_not(seed):
    fake = device(seed=seed, autocorrelation=0.5)
    slower = compared(fake, pair(fake, 1.05))
    assert slower.speedup(of="slow", over="fast") < 0.98
    assert slower.speedup(of="fast", over="slow").point == pytest.approx(1.05, abs=0.008)
    fake = device(seed=seed, autocorrelation=0.5)
    same = compared(fake, pair(fake))
    assert same.speedup(of="slow", over="fast") > 0.98
    assert same.speedup(of="slow", over="fast") < 1.02


def test_equal_versions_are_no_alarm_on_thirty_devices():
    for seed in range(30):
        fake = device(seed=100 + seed, autocorrelation=0.6)
        low, high = compared(fake, pair(fake), limit=0.05).speedup(of="slow", over="fast").bounds
        assert low <= 1.02
        assert high >= 0.98


def test_a_drift_common_to_both_cancels():
    fake = device(drift=2.0, seed=2)
    c = compared(fake, pair(fake, 1.1))
    assert c["fast"].drift is not None, "each of them drifts"
    assert c["fast"].drift.change > 0.05
    low, high = c.speedup(of="fast", over="slow").bounds
    # One seeded 95 % interval: it may miss by a hair, and the drift (100 times that) must not be in it.
    assert low - 0.001 < 1.1 < high + 0.001
    assert high - low < 0.02
    c.require(speedup=">= 1.05", of="fast", over="slow")


def test_a_throttle_common_to_both_cancels_and_is_told():
    fake = device(seed=2)
    calls = itertools.count()
    kernel = fake.kernel(20 * US, effect=lambda: fake.throttle(factor=1.4) if next(calls) == 150 else None)
    c = compared(fake, {"one": kernel, "other": fake.kernel(41.4 * US)}, limit=0.4)
    assert c["one"].time.reason.code == "throttled"
    speedup = c.speedup(of="one", over="other")
    assert speedup.reason is None
    assert speedup.point == pytest.approx(2.04, abs=0.02)
    assert any("clock-limit reasons changed" in note for note in c.notes)


class Alternating(FakeDevice):
    """Every second body takes 5 % longer."""

    bodies = 0

    def run(self, duration, reads, writes, **keywords):
        self.bodies += 1
        super().run(duration * (1.05 if self.bodies % 2 else 1.0), reads, writes, **keywords)


def test_that_one_always_comes_second_is_no_fault_of_it(monkeypatch):
    fake = device(kind=Alternating, jitter=0.001)
    fair = compared(fake, pair(fake))
    assert fair.speedup(of="slow", over="fast").point == pytest.approx(1.0, abs=0.005)

    def naive(versions, repeats, _seed):
        while True:
            yield list(range(versions)) * 2 * repeats

    monkeypatch.setattr(interleave, "abba", naive)
    fake = device(kind=Alternating, jitter=0.001)
    blamed = compared(fake, pair(fake)).speedup(of="slow", over="fast").point
    assert abs(blamed - 1.0) > 0.03, "A B A B blames one of them"


def test_calibration_cancels_between_versions_of_one_kind_only():
    fake = device(**STILL)
    versions = {"kernel": fake.kernel(20 * US), "again": fake.kernel(20 * US), "graph": fake.kernel(20 * US, graph=True)}
    c = compared(fake, versions)
    assert {name: c[name].details["body"] for name in c} == {"kernel": "kernel", "again": "kernel", "graph": "graph"}
    assert c.speedup(of="again", over="kernel").shift < 1e-4
    assert c.speedup(of="graph", over="kernel").shift == pytest.approx(2 * 0.1 / 20.7, rel=0.1)
    low, high = c.speedup(of="graph", over="kernel").bounds
    assert low < 1.0 < high


def test_a_version_that_synchronises_moves_all_to_wall_time():
    fake = device(**STILL)
    kernel, other = fake.kernel(200 * US), fake.kernel(100 * US)

    def waits():
        kernel()
        fake.synchronize(0)

    with bench(fake, 0.2) as gpuperf:
        gpuperf.measure(fake.kernel(5 * US), name="calibrates")
        before = fake.now()
        c = gpuperf.compare({"waits": waits, "other": other})
        assert 1.0 < fake.now() - before < 2.2, "found once: the stream waited for its watchdog one time"
    assert c.quantity == "wall_time"
    assert {c[name].time.reason.code for name in c} == {"sync"}
    assert "'waits' synchronises" in c["other"].time.reason.detail
    speedup = c.speedup(of="other", over="waits")
    assert speedup.source == "host"
    assert "wall_time" in speedup.name
    assert speedup.point == pytest.approx(c["waits"].wall_time.point / c["other"].wall_time.point, rel=0.02)
    assert 1.5 < speedup.point < 2.0
    assert speedup.systematic == {}
    assert any("compared by their wall_time" in note for note in c.notes)
    assert c.record()["quantity"] == "wall_time"
    assert len(c.order) >= interleave.MIN_BLOCKS


def test_a_sync_in_the_middle_leaves_no_device_time_of_anybody():
    fake = device(**STILL)
    kernel, calls = fake.kernel(20 * US), itertools.count()

    def sometimes():
        kernel()
        if next(calls) % 100 > 80:
            fake.synchronize(0)

    c = compared(fake, {"good": fake.kernel(20 * US), "sometimes": sometimes})
    assert c.quantity == "wall_time"
    assert c["good"].details["samples"] is None
    assert c["good"].time.number is None
    assert c.speedup(of="good", over="sometimes").source == "host"


@pytest.mark.parametrize("cache", ["warm", "steady", "cold-dirty"])
def test_other_cache_states(cache):
    fake = device(**STILL)
    sets = [[fake.array(1 << 16)] for _ in range(2)]
    work = Work(reads=1 << 18, writes=0)
    versions = {"one": fake.kernel(20 * US, reads=lambda array: [array]), "two": fake.kernel(41 * US, reads=lambda array: [array])}
    c = compared(fake, versions, inputs=sets, cache=cache, work=work)
    assert c["one"].details["cache"] == cache
    assert c["one"].bandwidth.number is not None
    assert 1.5 < c.speedup(of="one", over="two").point < 2.1
    assert (c["one"].details["samples"]["batch"] > 1) == (cache == "steady")


def test_steady_without_inputs_has_no_speedup_and_never_another_source():
    fake = device(**STILL)
    c = compared(fake, pair(fake), cache="steady")
    assert c.speedup(of="fast", over="slow").reason.code == "needs-inputs"
    assert c.quantity == "time"
    with pytest.raises(Unmeasured, match="needs-inputs"):
        c.require(speedup=">= 1", of="fast", over="slow")


def test_a_version_that_launches_nothing_has_no_speedup():
    fake = device(**STILL)
    c = compared(fake, {"nothing": lambda: None, "kernel": fake.kernel(20 * US)})
    with pytest.raises(Inconclusive, match="below-clock"):
        c.require(speedup=">= 1", of="nothing", over="kernel")


def test_one_that_moves_during_the_comparison_is_a_drift_of_the_ratio():
    fake = device(seed=1)
    kernel, calls = fake.kernel(20 * US), itertools.count()

    def slows():
        kernel.duration = 20 * US * (1.0 if next(calls) < 150 else 1.2)
        kernel()

    c = compared(fake, {"still": fake.kernel(20 * US), "slows": slows}, limit=0.4)
    with pytest.raises(Inconclusive, match="drift"):
        c.require(speedup=">= 0.9", of="slows", over="still")


def test_the_seed_is_recorded_and_repeats_the_blocks():
    runs = []
    for _ in range(2):
        fake = device(seed=5)
        runs.append(compared(fake, pair(fake, 1.3)).record())
    assert runs[0] == runs[1]
    assert runs[0]["order"] == list(itertools.islice(interleave.abba(2, len(runs[0]["order"][0]) // 4, runs[0]["seed"]), runs[0]["blocks"]))
    (ratio,) = runs[0]["ratios"]
    assert (ratio["of"], ratio["over"], ratio["value"]["unit"]) == ("slow", "fast", "x")
    assert ratio["value"]["low"] < 1 / 1.3 < ratio["value"]["high"]


def test_samples_by_block_are_the_rounds_of_each_measurement():
    fake = device(seed=5)
    c = compared(fake, pair(fake, 1.3))
    for name in c:
        samples = c[name].details["samples"]
        assert [len(one) for one in samples["rounds"]] == [block.count(0) for block in c.order]
        again = [[(raw - samples["constant"]) * samples["unit_s"] for raw in one] for one in samples["rounds"]]
        assert np.allclose(again, c.blocks[name], atol=2e-10)


def test_limits_are_judged_by_the_whole_interval():
    fake = device(seed=6)
    c = compared(fake, pair(fake, 2.0))
    c.require(speedup=[">= 1.9", "<= 2.1 x"], of="fast", over="slow")
    with pytest.raises(BudgetExceeded, match=r"^compare/fast over slow speedup: [\d.]+ x is below 2\.500 x by [\d.]+ % \(95 % interval [\d.]+\.\.[\d.]+, \d+ ABBA blocks, "):
        c.require(speedup=">= 2.5x", of="fast", over="slow")
    low, high = c.speedup(of="fast", over="slow").bounds
    with pytest.raises(Inconclusive, match="straddles"):
        c.require(speedup=f">= {(low + high) / 2:.6f}", of="fast", over="slow")
    assert c.speedup(of="fast", over="slow") * 2 > 3.5, "a Value as any other"
    c.require(speedup={"FAKE": ">= 1.9", "H200": ">= 100"}, of="fast", over="slow")


def test_no_wall_time_starts_from_what_another_version_left():
    fake = device(**STILL)
    sequence, kernel = [], fake.kernel(20 * US)

    def version(name):
        def body():
            sequence.append(name)
            kernel()
            fake.synchronize(0)

        return body

    c = compared(fake, {"a": version("a"), "b": version("b")})
    taken = sum(map(len, c.order)) * 2
    tail = sequence[-taken - 8 :][:taken]
    pairs = [all(one == other for one, other in zip(tail[start::2], tail[start + 1 :: 2], strict=False)) for start in range(2)]
    assert any(pairs), "every timed call comes after an untimed one of the same version"


def test_a_function_that_ran_before_has_no_first_call():
    fake = device(**STILL)

    def body():
        fake.run(20 * US, [], [])

    with bench(fake, 0.01) as gpuperf:
        gpuperf.measure(body)
        c = gpuperf.compare({"known": body, "new": lambda: fake.run(20 * US, [], [])})
    assert c["known"].first_call.reason.code == "already-warm"
    assert c["new"].first_call.reason.code == "first-call-unknown"


@pytest.mark.parametrize(("limit", "enough"), [(0.1, True), (0.02, False)])
def test_samples_of_a_percentile_may_take_twice_the_limit_and_no_more(limit, enough):
    fake = device(**STILL)
    with bench(fake, limit) as gpuperf:
        gpuperf._case.samples_for = lambda _name, _own: {"time": 368}
        before = fake.now()
        c = gpuperf.compare(pair(fake))
        spent = fake.now() - before
    samples = sum(len(one) for one in c.blocks["fast"])
    assert (samples >= 368) == enough
    assert len(c.order) < 60
    assert spent < 2 * 2 * limit + 1.5
