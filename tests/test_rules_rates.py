"""Operation rates: tflops over the roof of our own arithmetic, what binds a work, and claims that cannot be."""

from __future__ import annotations

import re

import pytest
from rules_bench import STILL, US, bench, device

from pytest_gpuperf.errors import BadBudget, BudgetExceeded, Inconclusive, Unmeasured
from pytest_gpuperf.work import Work

#: 100 GB/s, no L2 to speak of, 100 TFLOP/s in bf16, 110 on zeros: 256 KiB of reads are 2.6 us, 1 GFLOP 10 us.
RATES = {"fp32": 1e13, "fp16": 1e14, "bf16": 1e14, "fp8": 2e14}
SPEC = {"l2": 1 << 14, "bandwidth": 1e11, "rates": RATES, "zeros_faster": 1.1, **STILL}
GFLOP = 10**9


def _taking(fake, microseconds):
    """Return a body that takes so long, and touches nothing."""
    return fake.kernel(microseconds * US)


def test_tflops_is_operations_over_time_in_flop_per_second():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 20), work=Work(flops=GFLOP, kind="bf16"))
        assert m.tflops.unit == "FLOP/s"
        assert m.tflops.point == pytest.approx(GFLOP / m.time.point)
        assert m.tflops.point == pytest.approx(GFLOP / 20.7e-6, rel=0.02)
        m.require(tflops=[">= 40 TFLOP/s", "<= 0.06 PFLOP/s", ">= 50 %", "<= 58 %"])
        with pytest.raises(BudgetExceeded, match=r"^tflops: 48\.\d+ TFLOP/s is below 60\.00 TFLOP/s by"):
            m.require(tflops=">= 60 TFLOP/s")


@pytest.mark.parametrize("kind", RATES)
@pytest.mark.parametrize("cache", ["cold", "warm", "cold-dirty", "steady"])
def test_a_body_at_the_rate_of_the_device_reaches_the_roof_of_its_kind(kind, cache):
    fake = device(**SPEC)
    arrays = [fake.array(1 << 16, "uint8") for _ in range(2)]
    flops = int(RATES[kind] * 20e-6)
    with bench(fake) as gpuperf:
        body = _taking(fake, 20.6)
        m = gpuperf.measure(lambda _array: body(), inputs=[(one,) for one in arrays], work=Work(flops=flops, kind=kind), cache=cache)
        share = m.held("tflops", "p50", "%")
        assert share.point == pytest.approx(100, abs=3)
        assert m.x_roof.point == pytest.approx(1, abs=0.03)
        assert m.bound == f"{kind} FLOP"
        assert m.tflops.reason is None
        assert share.shift < 0.5, "what both share of the calibration cancels"


def test_the_roof_is_in_the_record_with_how_it_was_reached():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 20), work=Work(flops=GFLOP, kind="bf16"))
        assert "roofs" not in m.record(), "nobody has asked yet"
        assert m.percent.point < 60
        record = m.record()
    assert record["bound"] == "bf16 FLOP"
    (roof,) = record["roofs"]
    assert (roof["of"], roof["time"]["number"]) == ("flops", m.roof.number)
    assert roof["how"] == "wgmma.m64n256k16.f32.bf16, 132 blocks of 256, 1,000,341,504 operations on noise"
    assert record["values"]["tflops"]["unit"] == "FLOP/s"


def test_a_roof_of_operations_is_measured_at_its_first_use_and_once():
    fake = device(**SPEC)

    def computed():
        return sum(one.name == "wgmma_bf16" for one in fake.launches)

    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 20), name="a", work=Work(flops=GFLOP, kind="bf16"))
        assert m.time.point > 0
        assert computed() == 0
        first = m.roof.point
        taken = computed()
        assert taken > 0
        again = gpuperf.measure(_taking(fake, 20), name="b", work=Work(flops=GFLOP, kind="bf16"))
        assert again.roof.point == first
        assert computed() == taken
        warm = gpuperf.measure(_taking(fake, 20), name="c", work=Work(flops=GFLOP, kind="bf16"), cache="warm")
        assert warm.roof.number
        assert computed() > taken, "another state has its own: clocks differ with what runs between"


@pytest.mark.parametrize(
    ("reads", "bound", "roof"),
    [(1 << 18, "bf16 FLOP", 10.6), (1 << 22, "bytes", 42.5), (0, "bf16 FLOP", 10.6)],
    ids=["little to move", "much to move", "nothing to move"],
)
def test_the_later_of_the_two_roofs_binds(reads, bound, roof):
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 100), work=Work(reads=reads, flops=GFLOP, kind="bf16"))
        assert m.bound == bound
        assert m.roof.point == pytest.approx((roof + 0.7) * US, rel=0.04)
        assert m.x_roof.point == pytest.approx(100.7 / (roof + 0.7), rel=0.04)
        if reads:
            assert m.record()["bound"] == bound
            assert {one["of"] for one in m.record()["roofs"]} == {"bytes", "flops"}
        with pytest.raises(BudgetExceeded, match=rf"^time: .* exceeds 1\.100 x roof .*, bound by {bound}\)"):
            m.require(time="<= 1.1 x roof")


def test_each_rate_is_held_against_its_own_roof():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 20), work=Work(reads=1 << 18, flops=GFLOP, kind="bf16"))
        assert m.held("bandwidth", "p50", "%").point == pytest.approx(100 * 3.9 / 20.7, abs=2)
        assert m.held("tflops", "p50", "%").point == pytest.approx(100 * 11.3 / 20.7, abs=2)


def test_a_work_of_bytes_alone_says_nothing_of_operations():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 20), work=Work(reads=1 << 18))
        with pytest.raises(BudgetExceeded) as caught:
            m.require(time="<= 1.1 x roof")
        assert "bound by" not in str(caught.value)
        assert m.bound == "bytes"
        assert m.tflops.reason.code == "needs-flops"
        with pytest.raises(Unmeasured, match=r"needs-flops: tflops needs to know the operations of the body \(pass work=Work\(flops"):
            m.require(tflops=">= 1 TFLOP/s")
        with pytest.raises(BadBudget, match=r"^'%' needs work=Work\(flops=\.\.\., kind=\.\.\.\) in measure\('main'\)$"):
            m.require(tflops=">= 60 %")


def test_a_work_of_operations_alone_has_no_bandwidth():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 20), work=Work(flops=GFLOP))
        assert m.bandwidth.reason.code == "needs-work"
        with pytest.raises(BadBudget, match=r"^'%' needs work=Work\(reads=\.\.\., writes=\.\.\.\) in measure\('main'\)$"):
            m.require(bandwidth=">= 60 %")


@pytest.mark.parametrize(("capability", "kind"), [((10, 0), "bf16"), ((9, 0), "int8"), ((8, 0), "fp8")])
def test_where_no_kernel_of_ours_reaches_the_rate_the_roof_is_unmeasured(capability, kind):
    fake = device(compute_capability=capability, **SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 100), work=Work(reads=1 << 10, flops=GFLOP, kind=kind))
        assert (m.roof.number, m.roof.reason.code) == (None, "no-rate")
        assert f"{capability[0]}.{capability[1]} does in {kind}" in m.roof.reason.detail
        assert m.bound == "unknown"
        assert m.record()["bound"] is None
        for limit in ({"tflops": ">= 60 %"}, {"time": "<= 1.3 x roof"}):
            with pytest.raises(Unmeasured, match="no-rate"):
                m.require(**limit)
        m.require(tflops=">= 1 GFLOP/s")
        assert m.held("bandwidth", "p50", "%").number is not None, "its own roof is there"


def test_more_operations_than_the_device_does_are_impossible():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 5), work=Work(flops=GFLOP, kind="bf16"))
        assert m.tflops.reason.code == "impossible"
        assert "1,000,000,000 bf16 operations in 5.6" in m.tflops.reason.detail
        assert "times what the device computes, even on zeros" in m.tflops.reason.detail
        for limits in ({"tflops": ">= 60 %"}, {"tflops": ">= 1 TFLOP/s"}, {"time": "<= 1.3 x roof"}):
            with pytest.raises(Inconclusive, match="impossible"):
                m.require(**limits)
        m.require(time="<= 6 us")


@pytest.mark.parametrize("prologue", [0.0, 1.2e-6, 5e-6])
def test_what_our_kernel_does_before_it_computes_is_no_part_of_the_roof(prologue):
    fake = device(rate_prologue=prologue, **SPEC)
    with bench(fake) as gpuperf:
        # A tenth of a microsecond of computing: with its prologue our kernel takes longer than the body, which is honest all the same.
        m = gpuperf.measure(_taking(fake, 0.7), work=Work(flops=GFLOP // 100, kind="bf16"))
        assert m.roof.number == pytest.approx(1.40 * US, abs=0.06 * US)
        assert m.tflops.reason is None
        assert m.percent.number == pytest.approx(100, abs=6)


def test_nobody_waits_for_the_roof_of_a_claim_that_is_a_thousand_times_too_large():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 20), work=Work(flops=1000 * GFLOP * 100, kind="bf16"))
        began = fake.now()
        assert m.roof.number == pytest.approx(1.0, rel=0.01)
        assert fake.now() - began < 5, "a launch of a second each would have taken more"
        assert re.search(r"4,9\d\d,\d{3},\d{3},\d{3} operations on noise, its time times 20\.\d$", m.record()["roofs"][0]["how"])
        assert m.tflops.reason.code == "impossible"
        long = gpuperf.measure(_taking(fake, 40_000), name="long", work=Work(flops=4000 * GFLOP, kind="bf16"))
        assert long.roof.number == pytest.approx(0.04, rel=0.01)
        assert long.record()["roofs"][0]["how"].endswith("operations on noise")


def test_who_is_faster_than_noise_and_not_than_zeros_is_possible():
    fake = device(**SPEC)
    flops = 10 * GFLOP
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 92), work=Work(flops=flops, kind="bf16"))
        assert m.tflops.reason is None
        assert m.held("tflops", "p50", "%").point == pytest.approx(108.9, abs=0.8)
        assert [one["of"] for one in m.record()["roofs"]] == ["flops", "zeros"]
        over = gpuperf.measure(_taking(fake, 86), name="over", work=Work(flops=flops, kind="bf16"))
        assert over.tflops.reason.code == "impossible"


def test_a_little_work_that_looks_too_fast_is_within_what_prologues_differ_by():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(_taking(fake, 0.5), work=Work(flops=GFLOP // 50, kind="bf16"))
        assert m.tflops.reason is None


@pytest.mark.parametrize(("cache", "code"), [("cold", "impossible"), ("cold-dirty", "impossible"), ("warm", None)])
def test_first_touch_reads_four_percent_above_the_roof_are_impossible(cache, code):
    fake = device(**SPEC)
    nbytes = 1 << 22
    body = fake.kernel((0.6 + 1e6 * nbytes / 1e11 / 1.04) * US)
    with bench(fake) as gpuperf:
        m = gpuperf.measure(body, work=Work(reads=nbytes), cache=cache)
        assert (m.bandwidth.reason.code if m.bandwidth.reason else None) == code
        if code:
            assert "4,194,304 bytes read for the first time in 41" in m.bandwidth.reason.detail
            assert "1.04 times what the device reads from its memory" in m.bandwidth.reason.detail


def test_two_percent_above_the_read_roof_are_possible():
    fake = device(**SPEC)
    nbytes = 1 << 22
    body = fake.kernel((0.6 + 1e6 * nbytes / 1e11 / 1.02) * US)
    with bench(fake) as gpuperf:
        assert gpuperf.measure(body, work=Work(reads=nbytes)).bandwidth.reason is None


def test_the_read_roof_is_measured_only_for_who_beats_all_bytes():
    fake = device(**SPEC)
    nbytes = 1 << 20
    with bench(fake) as gpuperf:
        slow = gpuperf.measure(fake.kernel(40 * US), name="slow", work=Work(reads=nbytes, writes=nbytes))
        assert slow.bandwidth.reason is None
        assert [one["of"] for one in slow.record()["roofs"]] == ["bytes"]


def test_a_comparison_knows_the_roofs_too():
    fake = device(**SPEC)
    with bench(fake) as gpuperf:
        c = gpuperf.compare({"a": _taking(fake, 20), "b": _taking(fake, 40)}, work=Work(flops=GFLOP, kind="bf16"))
        shares = [m.held("tflops", "p50", "%").point for m in c.measurements.values()]
        assert shares == [pytest.approx(55, abs=2), pytest.approx(28, abs=2)]
