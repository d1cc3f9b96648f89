"""Rule 3: the cache state is part of the number."""

from __future__ import annotations

import pytest
from rules_bench import STILL, US, bench, device, measured

from pytest_gpuperf.work import Work

#: 1 MiB of L2 at 100 GB/s: what is read, or written back, is microseconds.
SLOW = {"l2": 1 << 20, "bandwidth": 1e11, **STILL}


def _reader(fake):
    source = fake.array(1 << 18, "float32")
    return fake.kernel(20 * US, reads=[source])


def test_clean_cold_costs_nothing_and_cold_dirty_pays_for_the_flush():
    clean, dirty = device(**SLOW), device(**SLOW)
    cold = measured(clean, _reader(clean), cache="cold")
    foul = measured(dirty, _reader(dirty), cache="cold-dirty")
    assert cold.time.point == pytest.approx(20.7 * US, abs=0.1 * US)
    # 40 % of the L2 was dirty, and the body's reads push all of it out.
    assert foul.time.point - cold.time.point == pytest.approx(0.4 * (1 << 20) / 1e11, rel=0.05)


def test_cold_ends_its_flush_with_a_read_and_cold_dirty_with_a_memset():
    names = {}
    for cache in ("cold", "cold-dirty"):
        fake = device(**SLOW)
        kernel = _reader(fake)
        with bench(fake) as gpuperf:
            gpuperf.measure(kernel, cache=cache)
        # A spin kernel may stand before the window, so that the host is ahead; it touches no cache.
        seen = [one.name for one in fake.launches if one.name != "spin"]
        starts = [place for place, name in enumerate(seen) if name == "body" and seen[place - 1] in {"memset", "flush_read"}]
        assert starts
        names[cache] = {tuple(seen[place - 2 : place]) for place in starts}
    assert {pair[-1] for pair in names["cold"]} == {"flush_read"}
    assert {pair[-1] for pair in names["cold-dirty"]} == {"memset"}


def test_warm_finds_its_inputs_in_the_cache():
    cold, warm = device(**SLOW), device(**SLOW)
    t_cold = measured(cold, _reader(cold), cache="cold").time.point
    t_warm = measured(warm, _reader(warm), cache="warm").time.point
    saved = (1 << 20) * (1 / 1e11 - 1 / 4e12)
    assert t_cold - t_warm == pytest.approx(saved, rel=0.05)


def _writers(fake, count, nbytes):
    arrays = [fake.array(nbytes, "uint8") for _ in range(count)]
    return fake.kernel(None, writes=lambda target: [target]), [(one,) for one in arrays]


def test_steady_is_the_only_state_in_which_a_body_pays_for_all_of_its_writes():
    size = 1 << 20
    times = {}
    for cache in ("cold", "warm", "steady"):
        fake = device(**SLOW)
        kernel, sets = _writers(fake, 4, size)
        times[cache] = measured(fake, kernel, inputs=sets, cache=cache).time.point
    paid = size / 1e11
    spec = fake.spec
    # All of its bytes, the shortest span of a kernel, and what a launch back to back adds.
    assert times["steady"] == pytest.approx(paid + spec.latency + spec.share + spec.gap, rel=0.01)
    assert times["cold"] < 0.75 * paid, "the last writes stay in the L2, unpaid"


def test_steady_is_a_fixed_batch_of_at_most_500_calls_and_has_no_tails():
    fake = device(**STILL)
    m = measured(fake, fake.kernel(2 * US), work=Work(reads=1 << 18), cache="steady", samples=80, limit=0.5)
    batch = m.details["samples"]["batch"]
    assert 4 <= batch <= 500
    assert m.time.samples >= 72, "enough for a p95, were there one"
    raw = m.details["samples"]["rounds"][0][0] * 1e-10
    assert raw > batch * 2 * US
    # A call of the batch costs its span and the gap to the next, not a launch from idle.
    assert 2 * US < m.time.point < 3.5 * US
    assert (m.time.p95.number, m.time.p95.reason.code) == (None, "no-tails")
    assert (m.time.p99.number, m.time.p99.reason.code) == (None, "no-tails")


def test_steady_needs_4x_l2_of_inputs_or_work():
    fake = device(**STILL)
    l2 = fake.spec.l2

    def sets(total, count=4):
        return [(fake.array(total // count, "uint8"),) for _ in range(count)]

    kernel = fake.kernel(1000 * US)
    with bench(fake) as gpuperf:
        none = gpuperf.measure(kernel, name="none", cache="steady")
        small = gpuperf.measure(lambda _: kernel(), name="small", cache="steady", inputs=sets(4 * l2 - 1024))
        large = gpuperf.measure(lambda _: kernel(), name="large", cache="steady", inputs=sets(4 * l2))
        one = gpuperf.measure(lambda _: kernel(), name="one", cache="steady", inputs=sets(4 * l2, 1))
        work = gpuperf.measure(kernel, name="work", cache="steady", work=Work(reads=2 * l2, writes=2 * l2))
        little = gpuperf.measure(kernel, name="little", cache="steady", work=Work(reads=2 * l2, writes=2 * l2 - 1))
    holes = {m.name: m.time.reason.code for m in (none, small, large, one, work, little) if m.time.reason}
    assert holes == {"none": "needs-inputs", "small": "needs-inputs", "one": "needs-inputs", "little": "needs-inputs"}
    assert f"{4 * l2:,} bytes (4x L2)" in none.time.reason.detail
    assert none.host_time.number is not None


def test_inputs_rotate():
    fake = device(**STILL)
    kernel = fake.kernel(5 * US)
    order = []
    m = measured(fake, lambda index: (order.append(index), kernel())[1], inputs=[(0,), (1,), (2,)], limit=0.1)
    assert set(order) == {0, 1, 2}
    assert all(order.count(index) > 10 for index in range(3))
    assert m.details["inputs"] == 3


def test_the_cache_option_is_for_those_that_name_none():
    fake = device(**STILL)
    with bench(fake, cache="warm") as gpuperf:
        a = gpuperf.measure(fake.kernel(5 * US), name="a")
        b = gpuperf.measure(fake.kernel(5 * US), name="b", cache="cold")
    assert (a.details["cache"], b.details["cache"]) == ("warm", "cold")
