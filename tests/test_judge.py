"""The judge: one limit against one measured Value, by its whole interval, and the line that says so."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpuperf.budgets.collect import Budget, choose, read_limits
from pytest_gpuperf.budgets.grammar import Limit, parse_limit
from pytest_gpuperf.budgets.judge import Judgement, applicable, judge, title, unjudged
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.records.plain import plain
from pytest_gpuperf.stats import Drift
from pytest_gpuperf.values import Value

CONTEXT = "200 samples in 5 rounds, device clock, cold, SM 1755 MHz"


def time(number, low=None, high=None, calibration=0.0, **more):
    return Value(number, "s", "device", low, high, {"device/kernel": calibration}, name="time", **more)


def budget(text, quantity="time"):
    return Budget(parse_limit(quantity, text), "*", "function marker", None)


SLOW = time(13.42e-6, 13.41e-6, 13.50e-6, 0.1e-6)


def test_a_failure_is_told_in_one_line():
    judgement = judge(budget("<= 12 us"), "main", SLOW, CONTEXT)
    assert judgement.verdict == "FAIL"
    assert judgement.message == (
        "time: 13.42 us exceeds 12.00 us by 11.8 % (95 % interval 13.31..13.60, 200 samples in 5 rounds, device clock, cold, SM 1755 MHz)"
    )
    assert judgement.reason is None


@pytest.mark.parametrize(
    ("text", "verdict", "words"),
    [
        ("<= 12 us", "FAIL", "exceeds 12.00 us by 11.8 %"),
        ("< 12 us", "FAIL", "is not below 12.00 us by 11.8 %"),
        (">= 15 us", "FAIL", "is below 15.00 us by 10.5 %"),
        ("> 15 us", "FAIL", "is not above 15.00 us by 10.5 %"),
        ("<= 15 us", "PASS", "is within 15.00 us ("),
        ("> 12 us", "PASS", "is within 12.00 us ("),
        ("<= 0 us", "FAIL", "exceeds 0 s ("),
        (">= 0 us", "PASS", "is within 0 s ("),
    ],
)
def test_every_operator_has_its_words(text, verdict, words):
    judgement = judge(budget(text), "main", SLOW, CONTEXT)
    assert judgement.verdict == verdict
    assert judgement.message.startswith(f"time: 13.42 us {words}")


def test_counts_are_judged_exactly():
    spills = Budget(Limit("spills", "p50", "==", 0.0, "1", "== 0"), "*", "function marker", None)
    for number, verdict in ((0, "PASS"), (1, "FAIL")):
        assert judge(spills, "main", Value(number, "1", "compiler", exact=True, name="spills")).verdict == verdict


def test_other_measurements_and_statistics_are_named():
    limit = parse_limit("time", "p99 <= 20 us")
    assert (title("main", limit), title("nwor", limit)) == ("time p99", "nwor time p99")
    assert title("nwor", parse_limit("bandwidth", ">= 80 %")) == "nwor bandwidth"
    assert judge(budget("p99 <= 20 us"), "nwor", time(21e-6)).message == "nwor time p99: 21.00 us exceeds 20.00 us by 5.0 % (95 % interval 21.00..21.00)"


def test_relative_limits_are_judged_in_their_own_unit():
    share = Value(78.2, "%", "device", 77.0, 79.0, name="bandwidth")
    assert judge(budget(">= 80 %", "bandwidth"), "main", share).message == "bandwidth: 78.20 % is below 80.00 % by 2.2 % (95 % interval 77.00..79.00)"
    times = Value(1.4, "x roof", "device", 1.35, 1.45, name="time")
    assert judge(budget("<= 1.3 x roof"), "main", times).message == "time: 1.400 x roof exceeds 1.300 x roof by 7.7 % (95 % interval 1.350..1.450)"


def test_ends_of_an_interval_that_read_in_different_units_keep_them():
    assert "(95 % interval 900.0 ns..1.100 us)" in judge(budget("<= 500 ns"), "main", time(1e-6, 0.9e-6, 1.1e-6)).message


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("<= 13.61 us", "PASS"), ("<= 13.59 us", "INCONCLUSIVE"), ("<= 13.32 us", "INCONCLUSIVE"), ("<= 13.3 us", "FAIL"), (">= 13.3 us", "PASS"), (">= 13.5 us", "INCONCLUSIVE"), (">= 13.7 us", "FAIL")],
)  # fmt: skip
def test_the_whole_interval_with_its_systematic_part_is_judged(text, verdict):
    assert judge(budget(text), "main", SLOW).verdict == verdict


def test_a_straddled_limit_is_inconclusive_and_says_what_straddles_it():
    judgement = judge(budget("<= 13.5 us"), "main", SLOW, CONTEXT)
    assert (judgement.verdict, judgement.reason) == ("INCONCLUSIVE", Reason("straddles", "13.31 us .. 13.60 us straddles 13.50 us"))
    assert judgement.message == (
        "time <= 13.50 us: INCONCLUSIVE straddles: 13.31 us .. 13.60 us straddles 13.50 us "
        "(raise --gpuperf-limit, or leave a margin between limit and typical value)"
    )


def test_drift_is_inconclusive_only_above_two_percent_with_the_limit_inside_it():
    moved = Drift(0.08, 12.9e-6, 13.9e-6)
    judgement = judge(budget("<= 13.8 us"), "main", SLOW, CONTEXT, moved)
    assert (judgement.verdict, judgement.reason.code) == ("INCONCLUSIVE", "drift")
    assert "+8.0 % over the rounds, 12.90 us .. 13.90 us, around the limit 13.80 us" in judgement.message
    assert judge(budget("<= 13.0 us"), "main", SLOW, "", moved).reason.code == "drift"
    assert judge(budget("<= 14 us"), "main", SLOW, "", moved).verdict == "PASS"
    assert judge(budget("<= 12.8 us"), "main", SLOW, "", moved).verdict == "FAIL"
    assert judge(budget("<= 13.8 us"), "main", SLOW, "", dataclasses.replace(moved, change=0.019)).verdict == "PASS"
    assert judge(budget("<= 13.8 us"), "main", SLOW, "", dataclasses.replace(moved, change=-0.08)).reason.code == "drift"
    # The limit inside the interval, though not inside the drift, is undecided for the drift that widened it.
    for low, high in ((13.0e-6, 13.4e-6), (13.55e-6, 13.9e-6)):
        assert judge(budget("<= 13.5 us"), "main", SLOW, "", Drift(0.03, low, high)).reason.code == "drift"


@pytest.mark.parametrize("code", ["no-gpu", "sync", "too-few-samples", "throttled", "impossible"])
def test_a_value_with_a_reason_gets_the_verdict_of_its_reason(code):
    reason = Reason(code, "as it happened")
    for value in (Value.missing("time", "s", "device", reason), time(1e-6, reason=reason)):
        for text in ("<= 12 us", ">= 12 us"):
            judgement = judge(budget(text), "main", value)
            assert (judgement.verdict, judgement.reason, judgement.value) == (reason.verdict, reason, value)
            assert judgement.message == f"time {text[:2]} 12.00 us: {reason}"
            assert code in judgement.message


def test_a_limit_for_another_device_is_not_applicable_whatever_the_value():
    [other] = choose(read_limits({"time": {"H100": "<= 12 us", "A*": "<= 20 us"}}, "here", "function marker"), "NVIDIA H200", "here")
    for value in (SLOW, Value.missing("time", "s", "device", Reason("sync"))):
        judgement = judge(other, "main", value)
        assert judgement.verdict == "NOT-APPLICABLE"
        assert "NOT-APPLICABLE other-device: the limit is for H100, A*" in judgement.message
        assert not applicable(judgement)
    assert applicable(judge(budget("<= 12 us"), "main", SLOW))


@pytest.mark.parametrize(
    ("text", "margin"),
    [("<= 12 us", -0.11833), ("<= 20 us", 0.329), (">= 12 us", 0.11833), ("> 20 us", -0.329), ("<= 13.5 us", 0.0059), ("<= 0 us", None)],
)
def test_the_margin_is_the_distance_over_the_limit_and_negative_outside(text, margin):
    assert judge(budget(text), "main", SLOW).margin == (None if margin is None else pytest.approx(margin, abs=1e-4))


def test_an_unmeasured_budget_has_no_margin():
    assert judge(budget("<= 12 us"), "main", Value.missing("time", "s", "device", Reason("no-gpu"))).margin is None
    assert unjudged(budget("<= 12 us"), "main", Reason("body-failed")).margin is None


def test_an_equality_has_a_margin_that_is_never_inside():
    count = Judgement(Budget(Limit("launches", "p50", "==", 2.0, "1", "== 2"), "*", "x", None), "main", "FAIL", "", None, Value(3, "1", "graph", exact=True))
    assert count.margin == -0.5


def test_the_record_is_plain_and_has_null_for_what_is_not_known():
    known = judge(budget("<= 12 us"), "main", SLOW, CONTEXT).record()
    assert plain(known) == known
    assert (known["verdict"], known["limit"], known["unit"], known["value"]) == ("FAIL", 12e-6, "s", 13.42e-6)
    assert (known["low"], known["high"]) == pytest.approx((13.31e-6, 13.60e-6))
    for judgement in (judge(budget("<= 12 us"), "main", Value.missing("time", "s", "device", Reason("no-gpu"))), unjudged(budget("<= 12 us"), "main", Reason("no-gpu"))):
        record = judgement.record()
        assert (record["value"], record["low"], record["high"], record["margin"]) == (None, None, None, None)
        assert (record["verdict"], record["reason"]["code"], record["reason"]["subject"]) == ("UNMEASURED", "no-gpu", "main time")
        assert record["reason"]["next_step"]


@given(
    number=st.floats(1e-7, 1e-3),
    reach=st.floats(0.0, 0.2),
    calibration=st.floats(0.0, 1e-6),
    limit=st.floats(1e-7, 1e-3),
    op=st.sampled_from(["<", "<=", ">", ">="]),
)
def test_pass_and_fail_hold_for_every_point_of_the_interval(number, reach, calibration, limit, op):
    value = time(number, number * (1 - reach), number * (1 + reach), calibration)
    judgement = judge(Budget(Limit("time", "p50", op, limit, "s", op), "*", "x", None), "main", value)
    low, high = value.bounds
    slack = 1e-12 * limit
    if judgement.verdict == "INCONCLUSIVE":
        assert low - slack <= limit <= high + slack
    else:
        inside = judgement.verdict == "PASS"
        assert judgement.margin >= -1e-9 if inside else judgement.margin <= 1e-9
        assert (high <= limit + slack) if inside == (op[0] == "<") else (low >= limit - slack)
