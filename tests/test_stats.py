"""The statistics: an interval covers what it says on the data that GPUs give, and drift is found where there is some."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpuperf import stats

TICK = 32e-9
TRUTH = 3.0e-6
TRIALS = 500


def on_grid(durations, rng):
    """Read durations with two stamps on a grid of TICK: where the start lies in its tick is up to chance."""
    phase = rng.uniform(0.0, TICK, durations.shape)
    return np.floor((phase + durations) / TICK) * TICK


def independent(rng, rounds, samples):
    return rng.normal(0.0, 20e-9, (rounds, samples))


def autocorrelated(rng, rounds, samples):
    """An AR(1) process of 0.8 that runs on through all the rounds."""
    noise = np.empty(rounds * samples)
    last = rng.normal(0.0, 20e-9)
    for index, fresh in enumerate(rng.normal(0.0, 20e-9 * math.sqrt(1 - 0.8**2), rounds * samples)):
        noise[index] = last = 0.8 * last + fresh
    return noise.reshape(rounds, samples)


def wandering(rng, rounds, samples):
    """Each round has a level of its own, larger than the noise within it."""
    return rng.normal(0.0, 60e-9, (rounds, 1)) + rng.normal(0.0, 10e-9, (rounds, samples))


def drifting(rng, rounds, samples):
    """A rise of 3 % through the measurement, whose mean is the truth."""
    rise = np.linspace(-0.015 * TRUTH, 0.015 * TRUTH, rounds * samples).reshape(rounds, samples)
    return rise + rng.normal(0.0, 20e-9, (rounds, samples))


def covered(noise, rounds, tick, seed=7, samples=20, truth=TRUTH):
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(TRIALS):
        durations = truth + noise(rng, rounds, samples)
        taken = on_grid(durations, rng) if tick else durations
        interval = stats.centre_interval(taken.tolist(), tick)
        hits += interval.low <= truth <= interval.high
    return hits / TRIALS


@pytest.mark.parametrize("rounds", [5, 10])
@pytest.mark.parametrize("tick", [0.0, TICK], ids=["continuous", "32-ns-grid"])
@pytest.mark.parametrize("noise", [independent, autocorrelated, wandering, drifting], ids=lambda one: one.__name__)
def test_the_interval_covers_the_truth_as_often_as_it_says(noise, tick, rounds):
    assert covered(noise, rounds, tick) >= 0.92


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.9])
def test_a_quiet_body_is_covered_wherever_it_lies_between_two_ticks(place):
    def still(rng, rounds, samples):
        return rng.normal(0.0, 0.1e-9, (rounds, samples))

    assert covered(still, 5, TICK, truth=(94 + place) * TICK) >= 0.92


def test_sampling_that_ends_where_the_interval_is_narrow_still_covers():
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(TRIALS):
        rounds = (TRUTH + wandering(rng, 40, 5)).tolist()
        # 1.5 % of the centre is about where ten such rounds leave off: sampling ends early on luck as often as it can.
        count = next((n for n in range(10, 40) if stats.centre_interval(rounds[:n], 0.0).half_width <= 0.015 * TRUTH), 40)
        interval = stats.centre_interval(rounds[:count], 0.0)
        hits += interval.low <= TRUTH <= interval.high
    assert hits / TRIALS >= 0.90


def _order_statistics(samples):
    """The interval of the median that other timers use: two order statistics of all samples, whatever their grid and their order."""
    ordered = np.sort(samples, axis=None)
    reach = 0.98 * math.sqrt(len(ordered))
    return ordered[int(len(ordered) / 2 - reach)], ordered[min(len(ordered) - 1, int(len(ordered) / 2 + reach))]


def test_order_statistics_of_all_samples_collapse_on_the_grid_which_is_why_they_are_not_used():
    rng = np.random.default_rng(3)
    truth, empty, hits, ours = 94.25 * TICK, 0, 0, 0
    for _ in range(TRIALS):
        taken = on_grid(truth + rng.normal(0.0, 2e-9, (5, 20)), rng)
        low, high = _order_statistics(taken)
        empty += low == high
        hits += low <= truth <= high
        interval = stats.centre_interval(taken.tolist(), TICK)
        ours += interval.low <= truth <= interval.high
    assert empty / TRIALS > 0.9
    assert hits / TRIALS < 0.1
    assert ours / TRIALS >= 0.92


def test_order_statistics_of_autocorrelated_samples_cover_far_too_little():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(TRIALS):
        low, high = _order_statistics(autocorrelated(rng, 5, 20))
        hits += low <= 0.0 <= high
    assert hits / TRIALS < 0.75


def test_no_interval_of_a_clock_with_a_tick_is_narrower_than_the_tick():
    interval = stats.centre_interval([[TRUTH] * 20] * 10, TICK)
    assert interval.high - interval.low == pytest.approx(TICK)
    assert interval.half_width == pytest.approx(TICK / 2)


def test_one_round_bounds_nothing_and_no_round_is_an_error():
    assert stats.centre_interval([[1.0, 1.0]], 0.0) == stats.Interval(1.0, -math.inf, math.inf)
    with pytest.raises(ValueError, match="an interval of no rounds"):
        stats.centre_interval([[], []], 0.0)


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.7062), (4, 2.7764), (9, 2.2622), (19, 2.0930), (20, 2.0860), (25, 2.0595), (30, 2.0423), (60, 2.0003), (120, 1.9799), (10**6, 1.9600)],
)
def test_students_t_is_that_of_the_tables(freedom, expected):
    assert stats.student_t95(freedom) == pytest.approx(expected, abs=1e-4)


def test_students_t_of_nothing_is_unbounded():
    assert stats.student_t95(0) == math.inf


@pytest.mark.parametrize(
    ("samples", "fraction", "expected"),
    [
        ([1.0] * 4, 0.5, 1.0),  # half of the tick around 1.0
        ([1.0] * 3 + [2.0], 0.5, 0.5 + 2 / 3),
        ([1.0] * 2 + [2.0] * 2, 0.5, 1.5),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([1.0] * 10 + [2.0] * 10, 0.95, 2.4),
        ([3.0, 1.0, 2.0, 1.0], 1.0, 3.5),
    ],
)
def test_a_sample_is_uniform_over_its_tick(samples, fraction, expected):
    assert stats.grouped_percentile(samples, fraction, 1.0) == pytest.approx(expected)


def test_without_a_tick_a_percentile_is_that_of_the_samples():
    assert stats.grouped_percentile([3.0, 1.0, 2.0], 0.5, 0.0) == 2.0
    assert stats.grouped_percentile([1.0, 2.0, 3.0, 4.0], 0.5, 0.0) == 2.5
    assert stats.grouped_percentile([float(n) for n in range(100)], 0.99, 0.0) == pytest.approx(98.5)
    with pytest.raises(ValueError, match="a percentile of no samples"):
        stats.grouped_percentile([], 0.5, 0.0)


def test_ticks_with_rounding_errors_are_one_group():
    samples = [93 * TICK + error for error in (0.0, 1e-15, -1e-15, 2e-15)]
    assert stats.grouped_percentile(samples, 0.5, TICK) == pytest.approx(93 * TICK, rel=1e-6)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_percentiles_rise_and_stay_within_half_a_tick_of_the_data(ticks, one, other):
    samples = [float(tick) for tick in ticks]
    lower, upper = (stats.grouped_percentile(samples, fraction, 1.0) for fraction in sorted((one, other)))
    assert min(samples) - 0.5 <= lower <= upper + 1e-12
    assert upper <= max(samples) + 0.5


@pytest.mark.parametrize(("fraction", "needed"), [(0.95, 72), (0.99, 368), (0.05, 72), (0.01, 368)])
def test_a_tail_needs_its_number_of_samples(fraction, needed):
    samples = [float(n) for n in range(needed)]
    assert stats.percentile_interval(samples[1:], fraction, 0.0) is None
    interval = stats.percentile_interval(samples, fraction, 0.0)
    assert interval is not None
    assert (interval.high == samples[-1]) if fraction > 0.5 else (interval.low == samples[0])
    assert stats.percentile_interval([], fraction, 0.0) is None


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 40), (0.95, 72), (0.95, 200), (0.99, 400)])
def test_the_interval_of_a_percentile_covers_it(fraction, count):
    rng = np.random.default_rng(13)
    truth = -math.log(1 - fraction)
    hits = 0
    for _ in range(TRIALS):
        interval = stats.percentile_interval(rng.exponential(1.0, count).tolist(), fraction, 0.0)
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    assert hits / TRIALS >= 0.92


def test_the_ranks_of_a_percentile_are_those_of_the_binomial_distribution():
    for count, fraction in ((72, 0.95), (100, 0.5), (400, 0.99)):
        rank = stats._binomial_rank(count, fraction, 0.025)
        masses = [math.comb(count, k) * fraction**k * (1 - fraction) ** (count - k) for k in range(count + 1)]
        assert math.fsum(masses[:rank]) <= 0.025 < math.fsum(masses[: rank + 1])


@pytest.mark.parametrize("rounds", [5, 10, 20])
@pytest.mark.parametrize("tick", [0.0, TICK], ids=["continuous", "32-ns-grid"])
def test_noise_is_taken_for_drift_at_most_one_time_in_twenty(rounds, tick):
    rng = np.random.default_rng(17)
    centres = TRUTH + rng.normal(0.0, 60e-9, (600, rounds))
    taken = np.round(centres / TICK) * TICK if tick else centres
    alarms = sum(stats.drift([[one] for one in row], tick) is not None for row in taken.tolist())
    assert alarms / 600 <= 0.05


@pytest.mark.parametrize("rounds", [5, 10])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_trend_above_the_noise_is_found(rounds, sign):
    rng = np.random.default_rng(19)
    for _ in range(40):
        rise = sign * np.linspace(0.0, 0.1 * TRUTH, rounds)
        found = stats.drift([[one] for one in (TRUTH + rise + rng.normal(0.0, 0.002 * TRUTH, rounds)).tolist()], TICK)
        assert found is not None
        assert found.change == pytest.approx(sign * 0.1, abs=0.025)
        assert found.low < TRUTH * (1 + sign * 0.05) < found.high


@pytest.mark.parametrize("cut", [3, 5, 8])
def test_a_step_above_the_noise_is_found_wherever_it_is(cut):
    rng = np.random.default_rng(23)
    for _ in range(40):
        levels = np.where(np.arange(10) < cut, TRUTH, 1.05 * TRUTH) + rng.normal(0.0, 0.002 * TRUTH, 10)
        found = stats.drift([[one] for one in levels.tolist()], TICK)
        assert found is not None
        assert found.change > 0.03


def test_a_clean_step_is_found_where_no_straight_line_fits():
    found = stats.drift([[1.0]] * 8 + [[1.1]] * 2, 0.0)
    assert found is not None
    assert found.change == pytest.approx(0.1 / 1.02)
    assert (found.low, found.high) == (1.0, 1.1)


def test_what_the_clock_cannot_see_is_no_drift():
    assert stats.drift([[TRUTH + n * TICK / 20] for n in range(10)], TICK) is None
    assert stats.drift([[TRUTH + n * TICK / 20] for n in range(10)], 0.0) is not None


def test_four_rounds_are_too_few_to_tell_drift():
    assert stats.drift([[1.0], [1.1], [1.2], [1.3]], 0.0) is None
    assert stats.drift([[1.0], [1.1], [], [1.2], [1.3], [1.4]], 0.0) is not None


def test_a_quotient_that_cannot_be_told_from_zero_is_none():
    assert stats.propagate(stats.DIVIDE, stats.Spread(1.0, 1.0, 1.0), stats.Spread(1.0, 0.5, 1.5, {"clock": 0.5})) is None
    assert stats.propagate(stats.DIVIDE, stats.Spread(1.0, 1.0, 1.0), stats.Spread(1.0, 0.5, 1.5, {"clock": 0.4})) is not None


def test_straight_lines_are_widened_by_what_they_miss():
    ten = stats.Spread(10.0, 10.0, 10.0, {"clock": 1.0})
    other = stats.Spread(10.0, 10.0, 10.0, {"other": 1.0})
    ratio = stats.propagate(stats.DIVIDE, ten, other)
    product = stats.propagate(stats.MULTIPLY, ten, ten)
    assert ratio is not None
    assert product is not None
    # The straight line of the ratio ends at 0.8 and 1.2; the true ends are 9/11 and 11/9.
    assert ratio.bounds == (pytest.approx(0.8 - 0.2 / 9), pytest.approx(11 / 9))
    assert product.bounds == (pytest.approx(79.0), pytest.approx(121.0))
