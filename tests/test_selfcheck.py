"""The self-check on a fake device: two sources held against each other once a case, and what they say where they quarrel."""

from __future__ import annotations

import pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.errors import Inconclusive
from pytest_gpuperf.work import Work

L2 = 1 << 16


def checked(duration=5 * US, body=None, keywords=None, **knobs):
    fake = device("GPU-selfcheck", **{"cupti": "usable", **STILL, **knobs})
    with bench(fake) as gpuperf:
        return gpuperf.measure((body or (lambda fake: fake.kernel(duration)))(fake), **keywords or {})


@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty"])
def test_sources_that_agree_say_so(cache):
    m = checked(keywords={"cache": cache})
    check = m.details["selfcheck"]
    assert check["agrees"]
    assert check["calls"] == 20
    assert check["why"] == ""
    assert abs(check["device"] - check["cupti"]) < 0.1 * US
    assert m.time.reason is None


def test_a_body_of_several_kernels_is_compared_span_with_span():
    def body(fake):
        one, two = fake.kernel(5 * US), fake.kernel(7 * US)
        return lambda: (one(), two())

    m = checked(body=body)
    assert m.details["selfcheck"]["agrees"]
    assert m.details["selfcheck"]["cupti"] > 12 * US


@pytest.mark.parametrize("error", [1.0 * US, -0.5 * US])
def test_a_difference_beyond_the_bounds_decides_nothing(error):
    m = checked(cupti_error=error)
    assert not m.details["selfcheck"]["agrees"]
    assert m.time.reason.code == "sources-disagree"
    with pytest.raises(Inconclusive, match=r"the device clock says 5\.\d\d us, CUPTI \d\.\d\d us \(20 calls\): [+-]\d\.\d\d us, beyond -0\.\d\d \.\. \+0\.\d\d us"):
        _ = m.time < 1
    assert m.bandwidth.reason is not None


@pytest.mark.parametrize(
    ("nbytes", "slower", "agrees"), [(L2 // 4, 0.05, False), (L2, 0.05, True), (L2, 0.2, False), (L2, -0.06, False), (L2 // 4, 0.02, True)]
)
def test_only_what_the_l2_does_not_hold_may_be_slowed_down(nbytes, slower, agrees):
    m = checked(100 * US, keywords={"work": Work(reads=nbytes, writes=0)}, cupti_slowdown=slower)
    assert m.details["selfcheck"]["agrees"] is agrees, m.details["selfcheck"]


@pytest.mark.parametrize(("given", "agrees"), [(L2, True), (L2 // 8, False), (0, True)], ids=["large", "small", "nobody knows"])
def test_the_footprint_is_that_of_the_arrays_where_nobody_says_work(given, agrees):
    fake = device("GPU-selfcheck", cupti="usable", cupti_slowdown=0.06, **STILL)
    with bench(fake) as gpuperf:
        kernel = fake.kernel(100 * US)
        arrays = [fake.array(given // 4)] if given else []
        m = gpuperf.measure(lambda *_: kernel(), *arrays)
        assert m.details["selfcheck"]["agrees"] is agrees


def test_a_body_too_short_to_have_left_the_l2_is_held_to_the_narrow_bound():
    assert not checked(5 * US, cupti_error=0.5 * US, l2=1 << 27).details["selfcheck"]["agrees"]


def test_it_is_made_once_a_case_and_only_for_the_device_clock():
    fake = device("GPU-selfcheck", cupti="usable", **STILL)
    with bench(fake) as gpuperf:
        kernel = fake.kernel(5 * US)
        assert gpuperf.measure(kernel, clock="cupti").details["selfcheck"] is None
        assert gpuperf.measure(kernel, name="one").details["selfcheck"]
        assert gpuperf.measure(kernel, name="two").details["selfcheck"] is None


def test_without_cupti_it_costs_nothing_and_says_nothing():
    m = checked(cupti="")
    assert m.details["selfcheck"] is None
    assert m.time.reason is None


@pytest.mark.parametrize("state", ["taken", "no records", "drops"])
def test_a_profiler_that_cannot_tell_is_no_quarrel_but_is_said(state):
    m = checked(cupti=state)
    assert m.details["selfcheck"]["why"].startswith("UNMEASURED cupti-")
    assert m.details["selfcheck"]["cupti"] is None
    assert m.time.reason is None


def test_steady_is_not_compared():
    m = checked(keywords={"cache": "steady", "work": Work(reads=8 * L2, writes=0)})
    assert "batch" in m.details["selfcheck"]["why"]


def test_a_long_call_is_checked_by_fewer_and_a_very_long_one_not_at_all():
    assert checked(4e-3).details["selfcheck"]["calls"] < 20
    assert "longer than the check may" in checked(20e-3).details["selfcheck"]["why"]


def test_nothing_is_on_after_it():
    fake = device("GPU-selfcheck", cupti="usable", **STILL)
    with bench(fake) as gpuperf:
        gpuperf.measure(fake.kernel(5 * US))
    assert not fake.profiler.on
