"""Rule 6: the clock of a round by stamps of one multiprocessor, rounds that are discarded, states that are judged, and sustained work."""

from __future__ import annotations

import itertools

import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.device.backend import Evidence
from pytest_gpuperf.testing import FakeDevice
from pytest_gpuperf.timing.backoff import MAX_NAPS, Backoff, Seen
from pytest_gpuperf.timing.body import Body
from pytest_gpuperf.timing.sustained import DUTIES, Load, warm_until_steady

HOT = 900.0


def clocks(m):
    return [one["effective_clock"] for one in m.details["evidence"]]


def throttling_body(fake, at, **how):
    """Return a body whose call number `at` lets the device throttle from then on."""
    calls = []

    def effect():
        calls.append(1)
        if len(calls) == at:
            fake.throttle(**how)

    return fake.kernel(20 * US, effect=effect)


@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty"])
def test_every_round_has_the_clock_between_two_stamps(cache):
    fake = device(**STILL)
    m = measured(fake, fake.kernel(20 * US), cache=cache)
    assert clocks(m) == pytest.approx([1980.0] * len(clocks(m)), abs=1)
    assert "SM 1980 MHz" in m.context


def test_a_lower_clock_shows_in_the_stamps_and_not_only_in_nvml():
    fake = device(throttle_at=0.0, throttle_factor=1.25, throttle_reasons=0x2, **STILL)
    m = measured(fake, fake.kernel(20 * US))
    assert clocks(m) == pytest.approx([1584.0] * len(clocks(m)), abs=1)
    assert m.details["state"] is None, "80 % of the clock, and no reason that is a bad one"


def test_without_a_stamp_there_is_no_clock_of_the_round_and_no_guess():
    fake = device(stamps=False, **STILL)
    m = measured(fake, fake.kernel(20 * US))
    assert set(clocks(m)) == {None}
    assert m.time.reason is None
    assert "SM 1980 MHz" in m.context, "NVML's, which the record keeps apart"


def test_stamps_stand_at_the_ends_of_a_round_and_never_before_a_timed_body():
    fake = device(**STILL)
    for cache, runway in (("cold", "flush_read"), ("warm", "spin")):
        with bench(fake, limit=0.2) as gpuperf:
            fake.launches.clear()
            m = gpuperf.measure(fake.kernel(20 * US), cache=cache)
        names = [one.name for one in fake.launches]
        stamps = [place for place, name in enumerate(names) if name == "stamp"]
        assert len(stamps) == 2 * len(m.details["evidence"])
        for first, last in zip(stamps[::2], stamps[1::2], strict=True):
            inside = names[first + 1 : last]
            timed = [before for before, name in itertools.pairwise(inside) if name == "body" and before == runway]
            assert len(timed) == len(m.details["samples"]["rounds"][0])


def test_rounds_of_a_passing_throttle_are_discarded_and_do_not_move_the_time():
    fake = device(**STILL)
    with bench(fake, limit=0.5) as gpuperf:
        free = gpuperf.measure(fake.kernel(20 * US), name="free")
        m = gpuperf.measure(throttling_body(fake, 60, seconds=40e-3))
    left_out = [one for one in m.details["evidence"] if one["discarded"]]
    assert left_out
    assert {one["discarded"] for one in left_out} == {"power-limited"}
    assert m.time.reason is None
    assert m.time.point == pytest.approx(free.time.point, abs=0.05 * US)
    samples = m.details["samples"]
    assert samples["discarded"] == len(left_out) * len(samples["rounds"][0])
    assert len(samples["rounds"]) + len(left_out) == len(m.details["evidence"])
    assert f"({len(left_out)} more discarded)" in m.context
    assert m.details["state"] is None


def test_a_slow_clock_is_discarded_though_no_reason_is_given():
    fake = device(**STILL)
    with bench(fake, limit=0.5) as gpuperf:
        m = gpuperf.measure(throttling_body(fake, 60, seconds=40e-3, factor=1.5, reasons=0))
    assert {one["discarded"] for one in m.details["evidence"]} == {None, "clock-limited"}
    assert m.time.reason is None
    assert min(clocks(m)) == pytest.approx(1320, rel=0.05)


def test_a_percentile_of_what_was_not_discarded_is_not_judged():
    fake = device(**STILL)
    with bench(fake, limit=1.0) as gpuperf:
        m = gpuperf.measure(throttling_body(fake, 60, seconds=40e-3), samples=400)
    assert m.time.reason is None
    assert m.time.p99.number is not None
    assert (m.time.p99.reason.verdict, m.time.p99.reason.code) == ("INCONCLUSIVE", "throttled")
    assert "the tail of the others is not the tail" in m.time.p99.reason.detail


def test_a_throttle_that_stays_is_inconclusive_and_nothing_is_hidden():
    fake = device(**STILL)
    with bench(fake, limit=0.5) as gpuperf:
        m = gpuperf.measure(throttling_body(fake, 180))
    assert m.time.reason.code == "throttled"
    assert "none -> power-limited" in m.time.reason.detail
    assert m.details["samples"]["discarded"] == 0, "all that was taken is there to look at"
    assert m.details["state"] is None


def test_a_throttle_in_every_round_is_a_state_that_the_record_names():
    fake = device(throttle_at=0.0, throttle_factor=1.25, **STILL)
    m = measured(fake, fake.kernel(20 * US), limit=0.5)
    assert m.time < 30 * US
    assert m.details["state"] == "power-limited"
    assert "power-limited, SM 1584 MHz" in m.context
    assert m.details["samples"]["discarded"] == 0


def test_backing_off_sleeps_longer_each_time_and_ends_with_the_limit():
    for limit, naps in ((10.0, [0.02, 0.04, 0.08, 0.16, 0.0, 0.0]), (0.05, [0.02, 0.04, 0.0, 0.0]), (0.01, [0.0, 0.0])):
        back, seen = Backoff(1980), []
        slept = []
        for _ in naps:
            seen.append(Seen([1.0], Evidence(throttle=0x20)))
            slept.append(back.weigh(seen, limit))
        assert slept == naps
        assert not any(one.discarded for one in seen), "a state"
    assert MAX_NAPS == 4


def weighed(masks):
    back, seen = Backoff(1980), []
    for mask in masks:
        seen.append(Seen([1.0], Evidence(throttle=mask)))
        back.weigh(seen, 10.0)
    return [bool(one.discarded) for one in seen]


def test_a_free_round_throws_out_the_limited_ones_and_one_that_comes_back_to_stay_brings_all_back():
    assert weighed([0, 4, 0]) == [False, True, False]
    assert weighed([4, 4, 0, 0]) == [True, True, False, False]
    assert weighed([4, 4, 4, 4, 4, 4, 0, 0]) == [True] * 6 + [False, False], "it only looked like a state"
    assert weighed([0, 4, 4, 4, 4, 4]) == [False] * 6
    assert weighed([0, 4, 4, 4, 4, 4, 0]) == [False] * 7, "the change is told, not hidden"


def test_a_hot_kernel_is_slower_where_the_device_never_rests():
    fake = device(**STILL)
    with bench(fake, limit=1.0) as gpuperf:
        spaced = gpuperf.measure(fake.kernel(500 * US, watts=HOT), name="spaced")
        sustained = gpuperf.measure(fake.kernel(500 * US, watts=HOT), name="sustained", duty="sustained")
    assert spaced.time.reason is None
    assert sustained.time.reason is None
    assert spaced.time.point == pytest.approx(500.7 * US, rel=0.01)
    assert sustained.time.point == pytest.approx(1.32 * spaced.time.point, rel=0.01)
    assert (spaced.details["duty"], sustained.details["duty"]) == DUTIES
    assert (spaced.details["state"], sustained.details["state"]) == (None, "power-limited")
    assert "cold, sustained, power-limited, SM 1500 MHz" in sustained.context
    assert "sustained" not in spaced.context
    assert clocks(sustained) == pytest.approx([1500.0] * len(clocks(sustained)), rel=0.01)
    assert sustained.details["notes"] == []


def test_a_short_hot_kernel_finds_no_rest_between_its_samples():
    fake = device(power_time=1e-3, **STILL)
    with bench(fake, limit=0.5) as gpuperf:
        m = gpuperf.measure(fake.kernel(20 * US, watts=HOT), duty="sustained")
    assert clocks(m) == pytest.approx([1500.0] * len(clocks(m)), rel=0.01)
    assert m.time.point == pytest.approx(27.1 * US, rel=0.02)


def test_a_cool_kernel_takes_the_same_time_on_either_duty():
    fake = device(**STILL)
    with bench(fake, limit=1.0) as gpuperf:
        both = [gpuperf.measure(fake.kernel(500 * US), name=duty, duty=duty) for duty in DUTIES]
    assert both[0].time.point == pytest.approx(both[1].time.point, rel=0.001)
    assert [one.details["state"] for one in both] == [None, None]


@pytest.mark.parametrize("cache", ["cold", "warm", "steady"])
def test_sustained_rounds_follow_without_a_gap_and_the_buffers_hold_one_call(cache):
    fake = device(**STILL)
    array = fake.array(1 << 16)
    array.numpy()[:] = 1.0
    before = array.numpy().copy()

    def effect():
        array.numpy()[:] += 1.0

    with bench(fake, limit=0.5) as gpuperf:
        gpuperf.measure(fake.kernel(5 * US), name="calibrates")
        began = fake.now()
        body = fake.kernel(200 * US, reads=[array], writes=[array], effect=effect, watts=HOT)
        m = gpuperf.measure(body, inout=[array], cache=cache, duty="sustained", work=None if cache != "steady" else _big())
        ran = [one for one in fake.launches if one.start > began]
    assert m.time.reason is None, m.time.reason
    stamps = [place for place, one in enumerate(ran) if one.name == "stamp"][-2 * len(m.details["evidence"]) :]
    sampled = ran[stamps[0] : stamps[-1] + 1]
    idle = [after.start - before.start - before.duration for before, after in itertools.pairwise(sampled)]
    assert max(idle) < 0.3e-3
    assert (array.numpy() == before + 1.0).all()


def _big():
    from pytest_gpuperf.work import Work

    return Work(reads=1 << 20)


class Falling:
    """A witness of a clock that falls for ever."""

    clocks = itertools.count(2000, -40)

    def start(self, stream):
        pass

    def clock(self, stream):
        return float(next(self.clocks))


def test_a_clock_that_does_not_come_to_rest_is_told_and_waited_for_no_longer_than_allowed():
    fake = device(**STILL)
    kernel = fake.kernel(500 * US)
    kernel()
    began = fake.now()
    note = warm_until_steady(fake, Falling(), Load(Body(kernel, ((),), {})), 500 * US, 0, 0.6)
    assert note.startswith("sustained: the clock was not steady after 0.6 s of back-to-back calls (2000 -> 15")
    assert 0.6 <= fake.now() - began < 0.7


def test_without_stamps_sustained_says_so():
    fake = device(stamps=False, **STILL)
    with bench(fake, limit=0.2) as gpuperf:
        m = gpuperf.measure(fake.kernel(500 * US), duty="sustained")
    assert "no stamp told the clock" in m.details["notes"][0]


def test_a_duty_that_does_not_exist_names_the_nearest():
    fake = device(**STILL)
    with bench(fake) as gpuperf, pytest.raises(ValueError, match=r"duty='sustaned': no such duty; nearest 'sustained'"):
        gpuperf.measure(fake.kernel(5 * US), duty="sustaned")


def test_blocks_of_a_comparison_have_their_evidence_too():
    fake = device(**STILL)
    with bench(fake, limit=0.2) as gpuperf:
        c = gpuperf.compare({"one": fake.kernel(20 * US), "two": fake.kernel(30 * US)})
    for name in ("one", "two"):
        assert clocks(c[name]) == pytest.approx([1980.0] * len(clocks(c[name])), abs=1)


def test_setup_runs_before_every_untimed_call_too():
    fake = device(**STILL)
    ready = []
    calls = []
    kernel = fake.kernel(200 * US)

    def body():
        assert ready, "called without its setup"
        ready.clear()
        calls.append(1)
        kernel()

    with bench(fake, limit=0.2) as gpuperf:
        m = gpuperf.measure(body, setup=lambda: ready.append(1), duty="sustained")
    assert len(calls) > 5 * sum(map(len, m.details["samples"]["rounds"]))


class SlowToRead(FakeDevice):
    """Reading the state of the machine takes as long as on a real one."""

    def evidence(self):
        self.sleep(6e-3)
        return super().evidence()


def test_the_device_works_on_while_the_host_reads_its_state():
    fake = device(kind=SlowToRead, power_time=5e-3, **STILL)
    with bench(fake, limit=0.5) as gpuperf:
        m = gpuperf.measure(fake.kernel(500 * US, watts=HOT), duty="sustained")
    assert clocks(m) == pytest.approx([1500.0] * len(clocks(m)), rel=0.01)
    assert m.details["state"] == "power-limited"
