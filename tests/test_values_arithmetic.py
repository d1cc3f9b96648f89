"""What arithmetic carries: random parts add, what two Values share cancels, and the truth stays inside the interval."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from made_values import ARITHMETIC, EQUALITIES, GRAPH, KERNEL, MIRRORED, ORDERINGS, seconds

from pytest_gpuperf.errors import Inconclusive
from pytest_gpuperf.values import Value


def test_the_random_part_adds_up_in_a_sum_and_in_a_difference():
    one, two = seconds(10.0, 1.0), seconds(4.0, 0.5)
    assert (one + two).bounds == (12.5, 15.5)
    assert (one - two).bounds == (4.5, 7.5)
    assert ((one - two).number, (one - two).unit, (one - two).source) == (6.0, "s", "device")


def test_the_shared_calibration_cancels_in_a_difference_and_doubles_in_a_sum():
    one, two = seconds(10.0, 0.0, 1.0), seconds(4.0, 0.0, 1.0)
    assert (one - two).bounds == (6.0, 6.0)
    assert (one + two).bounds == (12.0, 16.0)


def test_calibrations_of_two_body_kinds_do_not_cancel():
    kernel, graph = seconds(10.0, 0.0, 1.0), seconds(4.0, 0.0, 1.0, GRAPH)
    assert (kernel - graph).bounds == (4.0, 8.0)
    ratio = kernel / graph
    assert ratio.bounds[0] <= 9 / 5
    assert ratio.bounds[1] >= 11 / 3


def test_the_shared_calibration_cancels_in_a_ratio_as_far_as_the_two_are_alike():
    alike = seconds(10.0, 0.0, 0.1) / seconds(10.0, 0.0, 0.1)
    assert alike.bounds == (1.0, 1.0)
    low, high = (seconds(20.0, 0.0, 0.1) / seconds(10.0, 0.0, 0.1)).bounds
    assert low <= 20.1 / 10.1 < 2 < 19.9 / 9.9 <= high
    assert high - low < 0.0211
    apart = seconds(20.0, 0.0, 0.1) / seconds(10.0, 0.0, 0.1, GRAPH)
    assert apart.bounds[1] - apart.bounds[0] > 0.05


def test_a_share_of_a_baseline_keeps_what_they_share():
    base, better = seconds(10.0, 0.0, 1.0), seconds(8.0, 0.0, 1.0)
    assert better <= 0.9 * base
    assert (0.9 * base).bounds == pytest.approx((8.1, 9.9))
    with pytest.raises(Inconclusive):
        _ = better <= 0.9 * dataclasses.replace(base, systematic={GRAPH: 1.0})


def test_plain_numbers_stand_on_either_side_and_have_the_unit_of_the_value():
    time = seconds(4.0, 1.0)
    assert (time + 1).bounds == (1 + time).bounds == (4.0, 6.0)
    assert (time - 1).bounds == (2.0, 4.0)
    assert (10 - time).bounds == (5.0, 7.0)
    assert (2 * time).bounds == (time * 2).bounds == (6.0, 10.0)
    assert (time / 2).bounds == (1.5, 2.5)
    assert (15 / time).bounds == (3.0, 5.0)
    assert [one.unit for one in (time + 1, 1 - time, 2 * time, time / 2, 1 / time)] == ["s", "s", "s", "s", "1/s"]
    assert time > 1
    assert 10 > time  # noqa: SIM300
    assert not time < 3


def test_units_follow_the_arithmetic():
    size = Value(8.0, "B", "device", name="bytes")
    time = seconds(2.0)
    assert ((size / time).unit, (time / time).unit, (size * time).unit) == ("B/s", "1", "B*s")
    assert (time * (time / time)).unit == "s"
    with pytest.raises(TypeError, match="cannot add or subtract B and s"):
        _ = size + time
    for compare in (*ORDERINGS.values(), *EQUALITIES.values()):
        with pytest.raises(TypeError, match="cannot compare B with s"):
            compare(size, time)


def test_sources_are_kept_each_once():
    host = dataclasses.replace(seconds(1.0), source="host")
    assert (seconds(1.0) - host).source == "device/host"
    assert (seconds(1.0) - host - seconds(1.0)).source == "device/host"


numbers = st.floats(-1e3, 1e3, allow_nan=False)
halves = st.floats(0.0, 50.0)


@st.composite
def values_with_a_point(draw):
    """A Value, and a true number somewhere inside it for given positions of the calibrations."""
    number, below, above = draw(numbers), draw(halves), draw(halves)
    shifts = draw(st.dictionaries(st.sampled_from([KERNEL, GRAPH]), st.floats(-5.0, 5.0), max_size=2))
    where = draw(st.floats(0.0, 1.0))
    value = Value(number, "1", "device", number - below, number + above, shifts, name="x")
    return value, min(max(number - below + where * (below + above), number - below), number + above)


positions = st.fixed_dictionaries({KERNEL: st.floats(-1.0, 1.0), GRAPH: st.floats(-1.0, 1.0)})


def _true(value, random_part, position):
    return random_part + sum(part * position[key] for key, part in value.systematic.items())


@pytest.mark.parametrize("symbol", ARITHMETIC)
@given(left=values_with_a_point(), right=values_with_a_point(), third=values_with_a_point(), position=positions)
def test_the_true_result_is_inside_the_interval_wherever_the_truth_is_inside_the_operands(symbol, left, right, third, position):
    (a, a_random), (b, b_random), (c, c_random) = left, right, third
    # Next to zero a quotient of floats is rounding alone.
    assume(symbol != "/" or b.bounds[0] > 1e-3 or b.bounds[1] < -1e-3)
    result = ARITHMETIC[symbol](a, b)
    truth = ARITHMETIC[symbol](_true(a, a_random, position), _true(b, b_random, position))
    low, high = result.bounds
    slack = 1e-9 * (1 + abs(low) + abs(high))
    assert low - slack <= truth <= high + slack
    low, high = (result - c).bounds
    slack = 1e-9 * (1 + abs(low) + abs(high))
    assert low - slack <= truth - _true(c, c_random, position) <= high + slack


def _outcome(compare, one, other):
    try:
        return compare(one, other)
    except Inconclusive:
        return None


@given(left=values_with_a_point(), right=values_with_a_point(), position=positions)
def test_comparisons_are_true_only_of_the_truth_and_mirror_and_exclude_each_other(left, right, position):
    (a, a_random), (b, b_random) = left, right
    truth = _true(a, a_random, position) - _true(b, b_random, position)
    answers = {symbol: _outcome(compare, a, b) for symbol, compare in ORDERINGS.items()}
    for symbol, answer in answers.items():
        assert answer is _outcome(ORDERINGS[MIRRORED[symbol]], b, a)
        assert answer is _outcome(ORDERINGS[MIRRORED[symbol]], -a, -b)
        if answer is not None and abs(truth) > 1e-9:
            assert ORDERINGS[symbol](truth, 0.0) is answer
    opposite = {None: None, True: False, False: True}
    assert answers["<"] is opposite[answers[">="]]
    assert answers[">"] is opposite[answers["<="]]
