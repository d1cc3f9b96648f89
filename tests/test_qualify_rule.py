"""The rule of a qualification on simulated measurements: honest intervals keep the promises, too narrow ones are caught by the pairs without a change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_gpuperf.errors import Inconclusive
from pytest_gpuperf.qualify.plan import LEVELS, process_pairs, turns
from pytest_gpuperf.qualify.rule import PROMISES, THRESHOLDS, Pair, curve, judge, keep, pair
from pytest_gpuperf.qualify.subject import SUBJECTS, Pace
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, PASS, REASONS, UNMEASURED, Reason
from pytest_gpuperf.shares import share
from pytest_gpuperf.stats import student_t95
from pytest_gpuperf.values import Value

ROUNDS = 10
#: Spread of a round's centre, as a share of the time: what a kernel of 20 us has on an H200.
SPREAD = 0.002


def simulated(rng, *, seconds=20e-6, slowdown=0.0, narrow=1.0, wander=0.0, process=None, shared=1e-7):
    """Return one measurement: Student's t over its rounds, times `narrow`; `wander` is what the clock's constant is off in this process."""
    rounds = rng.normal(seconds * (1 + slowdown), seconds * SPREAD, ROUNDS)
    half = student_t95(ROUNDS - 1) * rounds.std(ddof=1) / math.sqrt(ROUNDS) * narrow
    centre = rounds.mean() + wander
    key = "device/kernel" if process is None else f"device/kernel/process {process}"
    return Value(float(centre), "s", "device", float(centre - half), float(centre + half), {key: shared}, name="time")


def pairs_of(count, kernel="medium", slowdown=0.0, seed=0, **how):
    rng = np.random.default_rng(seed)
    return [pair(kernel, "allocations", slowdown, simulated(rng, **how), simulated(rng, slowdown=slowdown, **how)) for _ in range(count)]


def test_honest_intervals_raise_no_alarm_and_leave_little_open():
    point = next(point for point in curve(pairs_of(2000)) if point.threshold == 0.02)
    assert point.alarms.count == 0
    assert point.inconclusive.count <= 2
    assert keep(PROMISES[0], pairs_of(2000)).verdict == PASS


def test_a_rule_with_too_narrow_intervals_is_caught_by_pairs_without_a_change():
    # The kernel's own noise is 2 % from one measurement to the next, and its intervals claim a twentieth of what they should.
    rng = np.random.default_rng(1)
    broken = [pair("medium", "allocations", 0.0, *(simulated(rng, seconds=20e-6 * (1 + rng.normal(0, 0.02)), narrow=0.05) for _ in range(2))) for _ in range(200)]
    found = keep(PROMISES[0], broken)
    assert found.verdict == FAIL
    assert found.share.count > 10
    honest = [pair("medium", "allocations", 0.0, *(simulated(rng) for _ in range(2))) for _ in range(200)]
    assert keep(PROMISES[0], honest).verdict == INCONCLUSIVE


def test_five_percent_on_the_medium_kernel_is_found():
    assert keep(PROMISES[3], pairs_of(100, slowdown=0.05)).verdict == PASS
    assert keep(PROMISES[3], pairs_of(100, slowdown=0.05, seconds=20e-6, narrow=30.0)).verdict == FAIL


def test_what_the_constant_wanders_between_processes_must_not_cancel():
    # As seen on an H200: kernels of 2 us differ by up to 0.1 us between processes that take off the same constant.
    rng = np.random.default_rng(2)

    def between(name):
        return [
            pair("short", "processes", 0.0, *(simulated(rng, seconds=2e-6, wander=rng.uniform(-1e-7, 1e-7), process=name(2 * number + side)) for side in (0, 1)))
            for number in range(300)
        ]

    cancelled, counted = ([judge(one, 0.02) for one in between(name)] for name in (lambda _: 0, lambda number: number))
    assert cancelled.count(FAIL) > 30
    assert counted.count(FAIL) == 0
    assert counted.count(INCONCLUSIVE) > 150


def test_a_pair_is_judged_as_a_comparison_in_a_test_is():
    rng = np.random.default_rng(3)
    for _ in range(300):
        old, new = simulated(rng), simulated(rng, slowdown=rng.uniform(-0.02, 0.06))
        one = pair("medium", "allocations", 0.0, old, new)
        for threshold in THRESHOLDS:
            try:
                expected = PASS if new / old <= 1 + threshold else FAIL
            except Inconclusive as error:
                expected = error.reason.verdict
            assert judge(one, threshold) == expected


def test_what_was_not_measured_is_no_trial_and_what_cannot_be_judged_is_open():
    fine = Value(2e-6, "s", "device", name="time")
    lost = Value.missing("time", "s", "device", Reason("no-answer"))
    foreign = Value(2e-6, "s", "device", reason=Reason("foreign-load"), name="time")
    pairs = [pair("short", "processes", 0.0, fine, one) for one in (fine, lost, foreign)]
    assert [judge(one, 0.02) for one in pairs] == [PASS, UNMEASURED, INCONCLUSIVE]
    point = curve(pairs)[0]
    assert (point.alarms.of, point.inconclusive.count, point.unmeasured) == (2, 1, 1)
    assert judge(Pair("short", "processes", 0.0, None, None, None), 0.02) == UNMEASURED


@pytest.mark.parametrize(("count", "of"), [(0, 1), (0, 500), (1, 500), (3, 10), (10, 10), (499, 500), (250, 500)])
def test_the_ends_of_a_share_leave_a_fortieth_in_either_tail(count, of):
    def at_least(k, p):
        return sum(math.comb(of, n) * p**n * (1 - p) ** (of - n) for n in range(k, of + 1))

    found = share(count, of)
    assert found.low <= count / of <= found.high
    assert found.low == 0 if count == 0 else at_least(count, found.low) == pytest.approx(0.025, rel=1e-6)
    assert found.high == 1 if count == of else 1 - at_least(count + 1, found.high) == pytest.approx(0.025, rel=1e-6)


def test_a_share_of_nothing_says_nothing_and_an_impossible_one_is_refused():
    assert (share(0, 0).low, share(0, 0).high, share(0, 0).value) == (0.0, 1.0, None)
    with pytest.raises(ValueError, match="3 of 2"):
        share(3, 2)


def test_every_row_of_the_lists_is_sound():
    assert [subject.seconds for subject in SUBJECTS] == sorted({subject.seconds for subject in SUBJECTS})
    assert [level.slowdown for level in LEVELS] == sorted({level.slowdown for level in LEVELS})
    assert LEVELS[0].slowdown == 0
    assert LEVELS[0].every == 1
    assert list(THRESHOLDS) == [0.01, 0.02, 0.05]
    assert len({(promise.name, promise.kernel) for promise in PROMISES}) == len(PROMISES)
    for promise in PROMISES:
        assert promise.kernel in {"", *(subject.name for subject in SUBJECTS)}
        assert promise.threshold in THRESHOLDS
        assert promise.slowdown in {level.slowdown for level in LEVELS}
        assert promise.outcome in {FAIL, INCONCLUSIVE}
        assert 0 < promise.limit < 1
    assert {"no-answer"} <= {cause.code for cause in REASONS}


def test_every_turn_has_one_pair_without_a_change_and_the_order_can_be_repeated():
    found = list(turns(8, seed=4))
    assert found == list(turns(8, seed=4)) != list(turns(8, seed=5))
    assert len(found) == 8 * len(SUBJECTS)
    assert all(turn.slowdowns.count(0.0) == 1 for turn in found)
    for level in LEVELS:
        assert sum(level.slowdown in turn.slowdowns for turn in found) == 8 // level.every * len(SUBJECTS)
    assert (process_pairs(1), process_pairs(8), process_pairs(100)) == (1, 1, 12)


def test_more_work_is_always_more_iterations():
    pace = Pace(1.4e-6, 7e-9)
    for subject in SUBJECTS:
        counts = [pace.iterations(subject.seconds, level.slowdown) for level in LEVELS]
        assert counts == sorted(set(counts))
    assert Pace(3e-6, 7e-9).iterations(2e-6) == 1
