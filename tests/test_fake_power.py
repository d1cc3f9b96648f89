"""The fake device's clock: cycles, power and counters of limited time."""

from __future__ import annotations

import struct

import pytest
from rules_bench import STILL, device

from pytest_gpuperf.testing import FakeDevice, FakeSpec
from pytest_gpuperf.timing.witness import Witness, clock_between, over


def clock_over(fake: FakeDevice, kernel, calls: int) -> float | None:
    witness = Witness(fake, fake.open())
    witness.start(0)
    for _ in range(calls):
        kernel()
    return witness.clock(0)


def test_a_hot_kernel_without_rests_loses_clock_and_a_rest_gives_it_back() -> None:
    fake = device(**STILL)
    hot = fake.kernel(1e-3, watts=900.0)
    hot()
    assert clock_over(fake, hot, 5) == pytest.approx(1980, rel=0.001)
    for _ in range(100):
        hot()
    fake.synchronize()
    state = fake.evidence()
    assert state.throttle == 0x4
    assert state.sm_clock == 1500
    assert state.power == pytest.approx(900, abs=10)
    assert clock_over(fake, hot, 20) == pytest.approx(1500, rel=0.001)
    fake.sleep(0.1)
    assert clock_over(fake, hot, 5) == pytest.approx(1980, rel=0.001)
    assert fake.evidence().throttle == 0


def test_counters_of_limited_time_grow_while_the_clock_is_held_down() -> None:
    fake = device(**STILL)
    before = fake.evidence()
    fake.throttle(reasons=0x20, seconds=0.05)
    fake.sleep(0.2)
    grown = over(before, fake.evidence()).violations
    assert grown == {"power": 0.0, "thermal": pytest.approx(0.05, rel=0.01)}


def test_a_throttle_for_some_time_ends() -> None:
    fake = device(**STILL)
    fake.throttle(after=0.01, seconds=0.02)
    seen = []
    for _ in range(4):
        seen.append(fake.evidence().throttle)
        fake.sleep(0.012)
    assert seen == [0, 4, 4, 0]


def test_a_stamp_that_does_not_land_leaves_zeros_and_no_clock() -> None:
    fake = FakeDevice(FakeSpec(stamps=False))
    assert clock_over(fake, fake.kernel(1e-3), 3) is None


def test_two_stamps_that_lie_too_close_or_run_backwards_tell_no_clock() -> None:
    def stamp(cycles: int, ns: int) -> bytes:
        return struct.pack("<QQ", cycles, ns)

    assert clock_between(stamp(1, 1000), stamp(198_001, 101_000)) == pytest.approx(1980)
    assert clock_between(stamp(1, 1000), stamp(198_001, 100_968)) is None, "100 us, not a tick less"
    assert clock_between(stamp(500, 1000), stamp(400, 201_000)) is None, "another counter"
    assert clock_between(stamp(1, 201_000), stamp(198_001, 1000)) is None


def test_a_counter_that_began_anew_has_told_nothing() -> None:
    from pytest_gpuperf.device.backend import Evidence

    seen = over(Evidence(violations={"power": 5.0, "thermal": 1.0}), Evidence(violations={"power": 1.0, "thermal": 1.5, "board": 0.0}))
    assert seen.violations == {"power": 0.0, "thermal": 0.5}
    assert over(Evidence(), Evidence(violations={"power": 1.0})).violations is None
    assert over(Evidence(throttle=None), Evidence(throttle=None)).throttle is None
