"""A fair comparison on a fake device: what is common to the versions cancels, what is not is found, and they must leave the same bits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.errors import BadBudget, BudgetExceeded, Inconclusive, NotIdentical, Unmeasured
from pytest_gpuperf.testing import FakeDevice
from pytest_gpuperf.timing import interleave
from pytest_gpuperf.work import Work


def compared(fake, versions, *args, limit=0.2, **keywords):
    with bench(fake, limit) as gpuperf:
        return gpuperf.compare(versions, *args, **keywords)


def pair(fake, ratio=1.0, base=20 * US):
    return {"fast": fake.kernel(base), "slow": fake.kernel((base + 0.7 * US) * ratio - 0.7 * US)}


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
    assert low < 1.1 < high
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
        if next(calls) == 100:
            fake.synchronize(0)

    c = compared(fake, {"good": fake.kernel(20 * US), "sometimes": sometimes})
    assert c.quantity == "wall_time"
    assert c["good"].details["samples"] is None
    assert c["good"].time.number is None
    assert c.speedup(of="good", over="sometimes").source == "host"


def adds(fake, array, amount, duration=20 * US, **keywords):
    def effect():
        array.numpy()[:] += amount

    return fake.kernel(duration, reads=[array], writes=[array], effect=effect, **keywords)


def test_every_call_starts_from_the_same_bits_and_one_call_is_left():
    fake = device(**STILL)
    total = fake.array(64)
    total.numpy()[:] = 1.0
    c = compared(fake, {"one": adds(fake, total, 2.0), "two": adds(fake, total, 2.0), "three": adds(fake, total, 2.0)}, inout=[total])
    assert total.numpy().tolist() == [3.0] * 64
    assert {c[name].details["digest"] for name in c} == {c["one"].details["digest"]}
    assert c["one"].details["checked"] == "every sample"


def test_versions_that_leave_different_bits_are_named():
    fake = device(**STILL)
    total = fake.array(64)
    total.numpy()[:] = 1.0

    def wrong():
        total.numpy()[:] += 2.0
        total.numpy()[5] += 1.0

    with bench(fake) as gpuperf:
        with pytest.raises(NotIdentical, match=r"^versions 'good' and 'bad' leave different bits in inout\[0\]: bits differ: 1 of 64 elements, first at \[5\]"):
            gpuperf.compare({"good": adds(fake, total, 2.0), "also": adds(fake, total, 2.0), "bad": fake.kernel(20 * US, effect=wrong)}, inout=[total])
        assert [(check.name, check.verdict) for check in gpuperf._case.checks] == [("compare", "FAIL")]
        assert gpuperf._case.measurements["compare/bad"].time.number is not None, "what was measured is recorded all the same"
        c = gpuperf.compare({"good": adds(fake, total, 2.0), "bad": fake.kernel(20 * US, effect=wrong)}, inout=[total], varies=True, name="declared")
        assert c.speedup(of="bad", over="good").number is not None


def test_a_version_that_leaves_outputs_unwritten_is_named():
    fake = device(**STILL)
    out = fake.array(64)

    def whole():
        out.numpy()[:] = 1.0

    def part():
        out.numpy()[:60] = 1.0

    with pytest.raises(NotIdentical, match=r"^version 'part': not written: 4 of 64 elements of outputs\[0\] keep the poison, first at \[60\]"):
        compared(fake, {"whole": fake.kernel(20 * US, effect=whole), "part": fake.kernel(20 * US, effect=part)}, outputs=[out])


def test_a_version_whose_calls_differ_is_named():
    fake = device(**STILL)
    out, calls = fake.array(8), itertools.count()

    def effect():
        out.numpy()[:] = 1.0 if next(calls) < 40 else 2.0

    def right():
        out.numpy()[:] = 1.0

    with pytest.raises(NotIdentical, match=r"^version 'moody': changed between calls: outputs\[0\]"):
        compared(fake, {"right": fake.kernel(20 * US, effect=right), "moody": fake.kernel(20 * US, effect=effect)}, outputs=[out])


def test_returned_arrays_are_compared_too():
    fake = device(**STILL)
    mine, theirs = fake.array(8), fake.array(8)
    mine.numpy()[:] = theirs.numpy()[:] = 4.0
    versions = {"mine": fake.kernel(20 * US, effect=lambda: mine), "theirs": fake.kernel(20 * US, effect=lambda: theirs)}
    assert compared(fake, versions)["theirs"].result is theirs
    theirs.numpy()[3] = 5.0
    with pytest.raises(NotIdentical, match="'mine' and 'theirs' leave different bits in returned array 0: bits differ: 1 of 8"):
        compared(fake, versions)


def test_setup_runs_before_every_call_and_inputs_rotate_for_every_version_alike():
    fake = device(**STILL)
    seen, setups = {"a": [], "b": []}, []
    versions = {name: fake.kernel(20 * US, effect=lambda number, name=name: seen[name].append(number)) for name in seen}
    compared(fake, versions, inputs=[[1], [2], [3]], setup=lambda: setups.append(1))
    assert len(setups) == len(seen["a"]) + len(seen["b"])
    counts = [{number: seen[name].count(number) for number in (1, 2, 3)} for name in seen]
    assert counts[0] == counts[1]
    assert max(counts[0].values()) - min(counts[0].values()) <= 20


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


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("2.5", "require: speedup='2.5': not a limit; write '[p50|p95|p99] OP NUMBER [unit | % | x roof]', as '>= 2.5 x'"),
        (2.5, "require: speedup=2.5: a limit is a string such as '>= 2.5 x'"),
        (">= 2.5 us", "require: speedup='>= 2.5 us': unknown unit 'us'; valid: x"),
        (">= 250 %", "require: speedup='>= 250 %': speedup cannot be held against '%': it has no roof"),
        ("p99 >= 2", "require: speedup='p99 >= 2': speedup has no statistic 'p99'; valid: p50"),
        ("== 2", "require: speedup='== 2': speedup has an interval, so == never decides; use <= or >="),
        ({}, "require: speedup={} holds no limit"),
        ([], "require: speedup=[] holds no limit"),
        ({1: ">= 2"}, "require: speedup: 1 is no device glob; write as 'H200' or '*'"),
    ],
)
def test_a_limit_that_cannot_be_read(limit, said):
    fake = device(**STILL)
    c = compared(fake, pair(fake), limit=0.01)
    with pytest.raises(BadBudget) as error:
        c.require(speedup=limit, of="fast", over="slow")
    assert str(error.value) == said


def test_unknown_versions_have_their_nearest_name():
    fake = device(**STILL)
    c = compared(fake, pair(fake), limit=0.01)
    for call in (lambda: c.speedup(of="fats", over="slow"), lambda: c.speedup(of="slow", over="fats")):
        with pytest.raises(BadBudget, match="^speedup: comparison 'compare' has no version 'fats'; nearest 'fast'$"):
            call()
    with pytest.raises(BadBudget, match="^require: comparison 'compare' has no version 'fats'; nearest 'fast'$"):
        c.require(speedup=">= 1", of="fats", over="slow")
    with pytest.raises(BadBudget, match="of= and over= are both 'fast'"):
        c.speedup(of="fast", over="fast")
    with pytest.raises(KeyError, match="has no version 'fats'; nearest 'fast'"):
        c["fats"]


@pytest.mark.parametrize(
    ("versions", "keywords", "said"),
    [
        ({"one": print}, {}, "compare: needs at least two versions, as {'loop': f, 'kernel': g}; got 'one'"),
        ({}, {}, "compare: needs at least two versions, as {'loop': f, 'kernel': g}; got none"),
        ([print, print], {}, "compare(list): name the versions, as compare({'loop': f, 'kernel': g}, ...)"),
        ({"one": print, "two": 3}, {}, "compare: version 'two' is int, which cannot be called; pass the function itself"),
        ({"one": print, "": print}, {}, "compare: '' is no name of a version; a name is a text such as 'kernel'"),
        ({"one": lambda: 0, "two": lambda: 0}, {"output": []}, "compare: no option 'output', and the body takes no such argument; nearest 'outputs'"),
        ({"one": print, "two": print}, {"cache": "clod"}, "cache='clod': no such cache state; nearest 'cold'"),
        ({"one": print, "two": print}, {"inputs": []}, "inputs=[]: needs at least one argument set"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(versions, keywords, said):
    fake = device(**STILL)
    with pytest.raises((TypeError, ValueError)) as error:
        compared(fake, versions, **keywords)
    assert str(error.value) == said


def test_a_name_is_used_once():
    fake = device(**STILL)
    with bench(fake, 0.01) as gpuperf:
        gpuperf.compare(pair(fake))
        with pytest.raises(ValueError, match="^compare: this case has compared 'compare' already; give the second one a name=$"):
            gpuperf.compare(pair(fake))
        gpuperf.compare(pair(fake), name="again")
        assert list(gpuperf._case.measurements) == ["compare/fast", "compare/slow", "again/fast", "again/slow"]
