"""Value: what arithmetic carries, what a comparison may say, and what an unmeasured one refuses."""

from __future__ import annotations

import copy
import dataclasses
import math
import operator
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_gpuperf.errors import Inconclusive, Unmeasured
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.values import Value, decide

KERNEL, GRAPH = "device/kernel", "device/graph"
ORDERINGS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
EQUALITIES = {"==": operator.eq, "!=": operator.ne}
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


class Told:
    """A listener that remembers."""

    def __init__(self):
        self.errors = []

    def undecided(self, error):
        self.errors.append(error)


def seconds(number, half=0.0, calibration=0.0, key=KERNEL, **more):
    more.setdefault("name", "time")
    return Value(number, "s", "device", number - half, number + half, {key: calibration} if calibration else {}, **more)


def count(number, **more):
    return Value(number, "1", "compiler", exact=True, name="registers", **more)


def hole(code="no-gpu", **more):
    return Value.missing("time", "s", "device", Reason(code), **more)


def test_a_value_without_a_number_needs_a_reason():
    with pytest.raises(ValueError, match="needs a reason: time"):
        Value(None, "s", "device", name="time")


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


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda a, b: a - b, "time - base"),
        (lambda a, _: a - 1e-6, "time - 1.000 us"),
        (lambda _, b: 0.9 * b, "0.9 * base"),
        (lambda a, b: (a - b) / b, "(time - base) / base"),
        (lambda a, b: a - (b - a), "time - (base - time)"),
        (lambda a, b: a + b + a, "time + base + time"),
        (lambda a, b: -(a - b), "-(time - base)"),
        (lambda a, _: abs(a), "abs(time)"),
        (lambda a, _: dataclasses.replace(a, name="") * 2, "value * 2"),
    ],
)
def test_an_expression_is_named_as_it_was_written(make, name):
    assert make(seconds(3e-6), seconds(2e-6, name="base")).name == name


def test_negation_and_distance_from_zero():
    time = seconds(4.0, 1.0, 0.5, statistics={"p99": seconds(5.0)})
    assert ((-time).number, (-time).bounds) == (-4.0, (-5.5, -2.5))
    assert (time + -time).systematic == {KERNEL: 0.0}
    assert (abs(-time).number, abs(-time).bounds) == (4.0, (2.5, 5.5))
    assert abs(seconds(-1.0, 2.0, 0.5)).bounds == (0.0, 3.5)
    assert not (-time).statistics
    assert not abs(time).statistics
    assert str(-hole()) == str(abs(hole())) == str(hole())


def test_counts_stay_exact_through_sums_and_products_and_not_through_ratios():
    one, two = count(40), count(32)
    assert one - two == 8
    assert one + two == 72
    assert 2 * two == 64
    assert abs(two - one) == 8
    assert abs(one - 40) == 0
    assert one != two
    assert not one == two  # noqa: SIM201
    for inexact in (one / two, one * seconds(1.0), seconds(1.0)):
        with pytest.raises(TypeError, match="has an interval, so == is never meaningful"):
            _ = inexact == 1.25
        with pytest.raises(TypeError, match="has an interval"):
            _ = inexact != 1.25


@pytest.mark.parametrize("other", [None, "12 us", True, [1], object(), np.True_], ids=repr)
def test_equality_with_what_is_no_number_is_an_error_and_not_an_answer(other):
    for value in (count(1), seconds(1.0)):
        for compare in EQUALITIES.values():
            with pytest.raises(TypeError, match="compare with a number or a Value"):
                compare(value, other)
        for compare in (*ORDERINGS.values(), *ARITHMETIC.values()):
            with pytest.raises(TypeError):
                compare(value, other)


@pytest.mark.parametrize(
    ("limit", "symbol", "expected"),
    [
        (13.0, "<", True), (12.5, "<", None), (12.5, "<=", True), (12.0, "<=", None), (11.5, "<=", None), (11.5, "<", False), (11.0, "<=", False),
        (11.0, ">", True), (11.5, ">", None), (11.5, ">=", True), (12.0, ">=", None), (12.5, ">=", None), (12.5, ">", False), (13.0, ">=", False),
    ],
)  # fmt: skip
def test_a_comparison_judges_the_whole_interval(limit, symbol, expected):
    told = Told()
    time = seconds(12.0, 0.25, 0.25, listener=told)
    assert time.bounds == (11.5, 12.5)
    if expected is None:
        with pytest.raises(Inconclusive) as error:
            ORDERINGS[symbol](time, limit)
        assert told.errors == [error.value]
        assert error.value.reason.code == "straddles"
        with pytest.raises(Inconclusive):
            ORDERINGS[MIRRORED[symbol]](limit, time)
    else:
        assert ORDERINGS[symbol](time, limit) is expected
        assert ORDERINGS[MIRRORED[symbol]](limit, time) is expected
        assert not told.errors


def test_a_straddling_comparison_says_what_straddles_what():
    time, base = seconds(12e-6, 1e-7, 1e-7), seconds(12.1e-6, 2e-7, 1e-7, name="base")
    with pytest.raises(Inconclusive) as error:
        _ = time < 12e-6
    assert str(error.value).startswith("time < 12.00 us: INCONCLUSIVE straddles: the interval 11.80 us .. 12.20 us straddles 12.00 us (")
    with pytest.raises(Inconclusive) as error:
        _ = time < base
    assert str(error.value).startswith("time < base: INCONCLUSIVE straddles: the difference -400.0 ns .. 200.0 ns straddles 0 (")


@pytest.mark.parametrize("compare", [*ORDERINGS.values(), *EQUALITIES.values()])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("other", [1.0, 0, math.inf, np.float64(1.0), seconds(1.0), count(1)], ids=repr)
def test_an_unmeasured_value_compares_with_nothing(compare, turned, other):
    told = Told()
    gone = hole(listener=told)
    with pytest.raises(Unmeasured, match="UNMEASURED no-gpu"):
        compare(other, gone) if turned else compare(gone, other)
    assert [error.reason.code for error in told.errors] == ["no-gpu"]


@pytest.mark.parametrize("combine", ARITHMETIC.values())
def test_an_unmeasured_value_absorbs_arithmetic_on_either_side(combine):
    for made in (combine(hole(), 2.0), combine(2.0, hole()), combine(hole(), seconds(1.0)), combine(seconds(1.0), hole()), combine(hole(), hole())):
        assert made.number is None
        assert made.reason == Reason("no-gpu")
        for use in (float, bool, lambda value: value.point, lambda value: value.bounds):
            with pytest.raises(Unmeasured):
                use(made)


def test_the_worst_reason_is_carried():
    throttled = seconds(1.0, reason=Reason("throttled"))
    assert (throttled + 1.0).reason == (1.0 - throttled).reason == Reason("throttled")
    assert (throttled + seconds(1.0)).point == 2.0
    assert (throttled * hole()).reason == (hole() * throttled).reason == Reason("no-gpu")


def test_an_inconclusive_value_may_be_looked_at_and_not_judged():
    told = Told()
    value = seconds(1.0, reason=Reason("throttled"), listener=told)
    assert (value.point, float(value)) == (1.0, 1.0)
    for use in (bool, *(lambda one, compare=compare: compare(one, 2.0) for compare in (*ORDERINGS.values(), *EQUALITIES.values()))):
        with pytest.raises(Inconclusive, match="throttled"):
            use(value)
    assert len(told.errors) == 7


def test_a_divisor_that_cannot_be_told_from_zero_gives_no_ratio():
    for divisor in (seconds(0.0), seconds(1.0, 2.0), seconds(1.0, 0.5, 0.5), count(0)):
        for dividend in (seconds(1.0), count(0), 1.0):
            ratio = dividend / divisor
            assert (ratio.number, ratio.reason) == (None, Reason("zero-ratio"))
            with pytest.raises(Inconclusive, match="zero-ratio"):
                _ = ratio < 1e9
    assert (seconds(1.0) / 0).reason == Reason("zero-ratio")
    assert (hole() / 0).reason == Reason("no-gpu")


def test_the_listener_hears_of_it_also_where_the_error_is_swallowed():
    told, other = Told(), Told()
    try:
        _ = hole(listener=told) < 1
    except Unmeasured as error:
        swallowed = error
    assert told.errors == [swallowed]
    with pytest.raises(Unmeasured):
        _ = seconds(1.0, listener=other) < hole(listener=told)
    assert len(told.errors) == 2
    assert len(other.errors) == 1
    with pytest.raises(Inconclusive):
        _ = 1.0 < seconds(1.0, 1.0) * seconds(1.0, listener=told) + 0  # noqa: SIM300
    assert len(told.errors) == 3
    with pytest.raises(Inconclusive):
        _ = seconds(1.0, 1.0, listener=told) < seconds(1.0, listener=told)
    assert len(told.errors) == 4


@pytest.mark.parametrize(
    "value",
    [
        hole(), hole("throttled"), seconds(1e-6), seconds(1e-6, 1e-9, 1e-9), seconds(1.0, reason=Reason("throttled")), seconds(math.nan), seconds(math.inf),
        Value(1.0, "s", "device", -math.inf, math.inf), count(3), count(3) / 0, Value(7, "furlong", "host"), Value(np.float64(2.0), "s", "device"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_texts_never_raise_and_tell_nobody(value):
    told = Told()
    value = dataclasses.replace(value, listener=told)
    for text in (repr(value), str(value), f"{value}", f"{value!r:>5}", f"{value:.3f}", f"{value:>30}", "%s" % value):  # noqa: UP031
        assert text
        if value.number is None:
            assert value.reason is not None
            assert value.reason.code in text
    assert not told.errors


def test_texts_hold_number_interval_source_and_reason():
    assert str(seconds(12e-6, 1e-7, 1e-7)) == "12.00 us [11.80 us .. 12.20 us], device"
    assert repr(seconds(12e-6)) == "Value(time: 12.00 us, device)"
    assert f"{seconds(12e-6):.1e}" == "1.2e-05"
    assert "throttled" in str(seconds(1.0, reason=Reason("throttled")))


def test_truth_is_known_only_where_the_interval_leaves_zero_out():
    assert bool(seconds(2.0, 1.0)) is True
    assert bool(count(0)) is False
    assert bool(seconds(1e-6) - 1e-6) is False
    with pytest.raises(Inconclusive, match=r"bool\(time\)"):
        bool(seconds(1.0, 2.0))


def test_percentiles_are_attributes_and_unknown_ones_say_which_there_are():
    time = seconds(1.0, statistics={"p50": seconds(1.0), "p99": hole("too-few-samples")})
    assert time.p50 < 2
    with pytest.raises(Unmeasured, match="too-few-samples"):
        _ = time.p99 < 2
    with pytest.raises(AttributeError, match="time has no statistic 'p90'; it has: p50, p99"):
        _ = time.p90
    assert not hasattr(time, "_private")


@pytest.mark.parametrize("scalar", [np.float64(2.0), np.float32(2.0), np.int64(2), np.array(2.0)], ids=lambda one: type(one).__name__)
def test_numpy_scalars_are_plain_numbers_on_either_side(scalar):
    time = seconds(4.0, 1.0)
    for combine in ARITHMETIC.values():
        assert isinstance(combine(scalar, time), Value)
        assert combine(scalar, time).bounds == combine(2.0, time).bounds
        assert combine(time, scalar).bounds == combine(time, 2.0).bounds
    assert (scalar < time) is (time > scalar) is True
    assert (scalar >= time) is (time <= scalar) is False
    assert (count(2) == scalar) is (scalar == count(2)) is True
    with pytest.raises(Unmeasured):
        _ = scalar < hole()
    with pytest.raises(Inconclusive):
        _ = scalar * 2 > time


def test_values_can_be_copied_pickled_hashed_and_recorded():
    time = seconds(12e-6, 1e-7, 1e-7)
    assert copy.deepcopy(time).bounds == copy.copy(time).bounds == pickle.loads(pickle.dumps(time)).bounds == time.bounds
    assert len({time, time}) == 1
    record = time.record()
    assert (record["number"], record["systematic"], record["reason"]) == (12e-6, 1e-7, None)
    gone = hole().record()
    assert (gone["number"], gone["low"], gone["systematic"], gone["reason"]["code"]) == (None, None, None, "no-gpu")


def test_an_interval_that_says_nothing_decides_nothing():
    wild = Value(1.0, "s", "device", -math.inf, math.inf)
    assert (wild * 0.0).bounds == (wild * seconds(1.0, 1.0)).bounds == (-math.inf, math.inf)
    for value in (wild, wild * 0.0, wild - wild, wild * wild, seconds(math.nan), seconds(1.0) * math.nan):
        for compare in ORDERINGS.values():
            with pytest.raises(Inconclusive):
                compare(value, 1.0)
    for compare in ORDERINGS.values():
        with pytest.raises(Inconclusive):
            compare(seconds(1.0), math.nan)


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


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-2.0, -1.0, {"<": True, "<=": True, ">": False, ">=": False, "==": False}),
        (-2.0, 0.0, {"<": None, "<=": True, ">": False, ">=": None, "==": None}),
        (-2.0, 1.0, {"<": None, "<=": None, ">": None, ">=": None, "==": None}),
        (0.0, 0.0, {"<": False, "<=": True, ">": False, ">=": True, "==": True}),
        (0.0, 1.0, {"<": False, "<=": None, ">": None, ">=": True, "==": None}),
        (1.0, 2.0, {"<": False, "<=": False, ">": True, ">=": True, "==": False}),
    ],
)
def test_decide_knows_every_position_of_an_interval(low, high, expected):
    assert {symbol: decide(Value((low + high) / 2, "s", "device", low, high), symbol) for symbol in expected} == expected
