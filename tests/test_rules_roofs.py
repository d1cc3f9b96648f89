"""Roofs: our own kernel with exactly the work's bytes, in the same cache state and run."""

from __future__ import annotations

import pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.work import Work

#: 100 GB/s and no L2 to speak of: 256 KiB each way are 5.2 us.
SPEC = {"l2": 1 << 14, "bandwidth": 1e11, **STILL}
SIZE = 1 << 18


def _copy(fake, slower=1.0):
    source, target = fake.array(SIZE, "uint8"), fake.array(SIZE, "uint8")
    if slower == 1.0:
        return fake.kernel(None, reads=[source], writes=[target])
    return fake.kernel(slower * 2 * SIZE / 1e11, reads=[source], writes=[target])


@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty", "steady"])
def test_a_body_at_the_speed_of_the_device_reaches_its_roof(cache):
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_copy(fake), work=Work(reads=SIZE, writes=SIZE), cache=cache)
        assert m.percent.point == pytest.approx(100, abs=4)
        assert m.x_roof.point == pytest.approx(1, abs=0.04)
        assert m.bandwidth.point == pytest.approx(2 * SIZE / m.time.point, rel=0.01)


def test_a_body_of_twice_the_time_reaches_half():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_copy(fake, 2.0), work=Work(reads=SIZE, writes=SIZE), budget={"time": "<= 1.3 x roof", "bandwidth": [">= 80 %", ">= 30 %"]})
        verdicts = [m.judged(budget) for budget in gpuperf._case.overrides["main"]]
    assert m.percent.point == pytest.approx(50, abs=8)
    assert [one.verdict for one in verdicts] == ["FAIL", "FAIL", "PASS"]
    assert "exceeds 1.3 x roof" in verdicts[0].message.replace("1.300", "1.3")


def test_a_roof_is_measured_at_its_first_use_and_once():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_copy(fake), name="a", work=Work(reads=SIZE, writes=SIZE))
        assert not any(one.name == "move" for one in fake.launches), "nobody has asked yet"
        first = m.roof
        moves = sum(one.name == "move" for one in fake.launches)
        assert moves > 0
        other = gpuperf.measure(_copy(fake), name="b", work=Work(reads=SIZE, writes=SIZE))
        assert other.roof.point == first.point
        assert sum(one.name == "move" for one in fake.launches) == moves
        warm = gpuperf.measure(_copy(fake), name="warm", cache="warm", work=Work(reads=SIZE, writes=SIZE))
        assert warm.roof.number is not None
        assert sum(one.name == "move" for one in fake.launches) > moves, "another cache state has its own roof"


def test_a_roof_leaves_the_memory_as_it_was():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_copy(fake), work=Work(reads=SIZE, writes=SIZE))
        free = fake.memory()[0]
        assert m.roof.number is not None
        assert fake.memory()[0] == free


def test_a_roof_of_writes_alone_and_of_reads_alone():
    fake = device(**SPEC)
    target = fake.array(SIZE, "uint8")
    with bench(fake) as gpuperf:
        writer = gpuperf.measure(fake.kernel(None, writes=[target]), name="w", work=Work(writes=SIZE))
        reader = gpuperf.measure(fake.kernel(None, reads=[target]), name="r", work=Work(reads=SIZE))
        assert writer.percent.point == pytest.approx(100, abs=4)
        assert reader.percent.point == pytest.approx(100, abs=4)


def test_a_roof_that_does_not_fit_is_unmeasured_with_both_sizes():
    fake = device(memory=8 << 20, **SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(fake.kernel(5 * US), work=Work(reads=64 << 20))
        assert (m.roof.number, m.roof.reason.code) == (None, "no-memory")
        assert "67,108,864" in m.roof.reason.detail
        assert m.percent.number is None


def test_what_roof_and_body_share_of_the_calibration_cancels():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_copy(fake), work=Work(reads=SIZE, writes=SIZE))
        assert m.time.shift / m.time.point * 100 > 1, "alone it would be more than 1 %"
        assert m.percent.shift < 0.1
