"""Value: what a comparison may say, what an unmeasured one refuses, and how it reads."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
from made_values import ARITHMETIC, EQUALITIES, KERNEL, MIRRORED, ORDERINGS, Told, count, hole, seconds

from pytest_gpuperf.errors import Inconclusive, Unmeasured
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.values import Value, decide


def test_a_value_without_a_number_needs_a_reason():
    with pytest.raises(ValueError, match="needs a reason: time"):
        Value(None, "s", "device", name="time")


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


@pytest.mark.parametrize("other", [None, "12 us", True, [1], object(), np.True_], ids=lambda one: type(one).__name__)
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
