"""Ratios of interleaved versions: the interval covers what it says, what is common cancels, and what is not is found."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from pytest_gpuperf.ratios import abba, levelled, ratio_drift, ratio_interval, settled


def simulate(rng, blocks, repeats=2, truth=1.0, *, sd=0.004, rho=0.0, drift=0.0, step=0.0, tick=0.0, base=20e-6, second=0.0, plan=abba):
    """Draw samples of two versions by block: AR noise along the sequence, drift and a step common to both, a clock's grid, an order effect."""
    seed, state, number = rng.randrange(1 << 30), rng.gauss(0, 1), 0
    times, total = (base, base * truth), blocks * 4 * repeats
    taken = [[], []]
    for block in itertools.islice(plan(2, repeats, seed), blocks):
        here = [[], []]
        for place, version in enumerate(block):
            state = rho * state + math.sqrt(1 - rho * rho) * rng.gauss(0, 1)
            factor = (1 + sd * state) * (1 + drift * number / total) * (1 + step * (number > total / 2)) * (1 + second * (place % 2))
            seconds = times[version] * factor
            here[version].append(math.floor(seconds / tick + rng.random()) * tick if tick else seconds)
            number += 1
        for version in (0, 1):
            taken[version].append(here[version])
    return seed, taken


def interval_of(taken, seed, tick=0.0, resamples=300):
    first, second = levelled(taken)
    return ratio_interval(second, first, (tick, tick), seed, resamples)


@pytest.mark.parametrize(
    "world",
    [
        {"blocks": 10},
        {"blocks": 10, "rho": 0.8},
        {"blocks": 10, "rho": 0.8, "drift": 0.2},
        {"blocks": 20, "rho": 0.5, "drift": 0.2, "truth": 1.05},
        {"blocks": 20, "rho": 0.8, "step": 0.25},
        {"blocks": 20, "repeats": 3, "rho": 0.8, "tick": 32e-9, "truth": 1.013, "drift": 0.1},
        {"blocks": 16, "repeats": 4, "rho": 0.9, "sd": 0.02, "truth": 2.5, "drift": -0.2},
    ],
    ids=str,
)
def test_the_interval_covers_the_truth(world):
    rng, truth, runs = random.Random(11), world.get("truth", 1.0), 300
    found = [interval_of(taken, seed, world.get("tick", 0.0)) for seed, taken in (simulate(rng, **world) for _ in range(runs))]
    assert sum(one.low <= truth <= one.high for one in found) / runs >= 0.93


def test_equal_versions_are_an_alarm_at_two_percent_almost_never_and_five_percent_are_found():
    rng, runs = random.Random(12), 300
    world = {"blocks": 20, "rho": 0.6, "drift": 0.1, "tick": 32e-9, "sd": 0.006}
    same = [interval_of(taken, seed, 32e-9) for seed, taken in (simulate(rng, **world) for _ in range(runs))]
    slow = [interval_of(taken, seed, 32e-9) for seed, taken in (simulate(rng, truth=1.05, **world) for _ in range(runs))]
    assert sum(one.low > 1.02 or one.high < 1 / 1.02 for one in same) == 0
    assert sum(one.low > 1.02 for one in slow) >= 0.95 * runs


def test_a_drift_and_a_step_leave_a_still_ratio_as_it_is():
    rng = random.Random(13)
    for world in ({"drift": 0.3}, {"step": 0.25}, {"drift": -0.3, "step": 0.5}):
        _, taken = simulate(rng, 20, truth=1.5, sd=0.0, **world)
        found = interval_of(taken, 1)
        assert found.centre == pytest.approx(1.5, rel=1e-3)
        assert found.high - found.low < 0.01


def alternating(versions, repeats, seed):
    while True:
        yield list(range(versions)) * 2 * repeats


def test_what_comes_second_is_slower_and_abba_does_not_blame_a_version_for_it():
    rng = random.Random(14)
    _, fair = simulate(rng, 20, second=0.04, sd=0.001)
    assert interval_of(fair, 1).centre == pytest.approx(1.0, abs=0.003)
    _, naive = simulate(rng, 20, second=0.04, sd=0.001, plan=alternating)
    assert interval_of(naive, 1).low > 1.02, "A B A B would have found a slower B"


@pytest.mark.parametrize("versions", [2, 3, 5])
def test_blocks_are_balanced_random_and_the_same_for_a_seed(versions):
    blocks = list(itertools.islice(abba(versions, 2, seed=3), 50))
    assert blocks == list(itertools.islice(abba(versions, 2, seed=3), 50))
    assert blocks != list(itertools.islice(abba(versions, 2, seed=4), 50))
    for block in blocks:
        for piece in (block[: 2 * versions], block[2 * versions :]):
            assert piece == piece[::-1]
            assert sorted(piece) == sorted([*range(versions)] * 2)
    firsts = [block[0] for block in blocks]
    assert set(firsts) == set(range(versions))


def test_one_seed_is_one_interval():
    _, taken = simulate(random.Random(15), 12)
    assert interval_of(taken, 5) == interval_of(taken, 5)
    assert interval_of(taken, 5).centre == interval_of(taken, 6).centre


def test_half_a_tick_of_both_is_in_the_interval():
    still = [[1.0] * 4] * 10
    found = ratio_interval([[2.0] * 4] * 10, still, (0.1, 0.1), 0)
    assert found.centre == pytest.approx(2.0)
    assert found.high - found.centre == pytest.approx(2.0 * math.hypot(0.05 / 2, 0.05 / 1), rel=1e-6)


@pytest.mark.parametrize(("over", "of"), [([[1.0]], [[1.0]]), ([[1.0]] * 5, [[0.0]] * 5), ([[-1.0]] * 5, [[1.0]] * 5), ([], []), ([[1.0]] * 5, [[1.0]] * 4)])
def test_what_cannot_be_told_is_none(over, of):
    assert ratio_interval(over, of) is None


def test_a_ratio_that_moves_is_found_and_noise_is_not():
    noise = random.Random(16)
    still = [[1.0 + noise.gauss(0, 0.002)] for _ in range(20)]
    moves = [[1.0 + 0.005 * number + noise.gauss(0, 0.002)] for number in range(20)]
    assert ratio_drift(still, [[1.0]] * 20) is None
    assert ratio_drift(moves, [[1.0]] * 20).change == pytest.approx(0.09, abs=0.03)


def test_ratios_settle_with_more_blocks():
    rng = random.Random(17)
    few, many = (settled(simulate(rng, blocks, sd=0.01)[1]) for blocks in (4, 80))
    assert few > 2 * many > 0
    assert settled([[[1.0]], [[1.0]]]) == math.inf
