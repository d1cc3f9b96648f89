"""One quantity before and now: what is faster, the same, slower or not decided, and when a limit on a change fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.metrics import METRICS
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.reference.change import NOTEWORTHY, Number, change, gate, kind_of, number_of, row_of
from pytest_gpuperf.reference.limits import EXAMPLE, read_limits

REASON = {"code": "throttled", "verdict": "INCONCLUSIVE", "sentence": "clocks changed", "next_step": "wait"}


def timed(centre, half=0.0, shift=0.0, source="device", reason=None):
    return Number("s", centre, centre - half, centre + half, shift, source, reason)


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (timed(100.0, 0.5), timed(100.5, 0.5), "SAME"),
        (timed(100.0, 0.5), timed(105.0, 0.5), "SLOWER"),
        (timed(105.0, 0.5), timed(100.0, 0.5), "FASTER"),
        # Shown to be slower, but by less than matters.
        (timed(100.0, 0.1), timed(101.0, 0.1), "SAME"),
        # Slower by more than matters, and not shown to be.
        (timed(100.0, 3.0), timed(104.0, 3.0), "INCONCLUSIVE"),
        (timed(100.0, 0.5), timed(101.5, 0.5), "INCONCLUSIVE"),
        # What the clock may be off from process to process counts.
        (timed(100.0, 0.5, 3.0), timed(105.0, 0.5, 3.0), "INCONCLUSIVE"),
        (timed(0.0), timed(1.0), "INCONCLUSIVE"),
    ],
)
def test_a_time(old, new, verdict):
    assert change("time", old, new).verdict == verdict


def test_a_rate_is_faster_where_it_is_more():
    old, new = (Number("B/s", x, x * 0.999, x * 1.001, 0.0, "device", None) for x in (1e12, 1.1e12))
    assert change("bandwidth", old, new).verdict == "FASTER"
    assert change("bandwidth", new, old).verdict == "SLOWER"


def test_counts_have_no_interval_and_counters_a_small_one():
    def of(name, *numbers):
        return change(name, *(Number("1", x, x, x, 0.0, "ncu" if "dram" in name else "cupti", None) for x in numbers)).verdict

    assert [of("launches", 100, other) for other in (99, 100, 101)] == ["LESS", "SAME", "MORE"]
    assert [of("launches", 0, other) for other in (0, 1)] == ["SAME", "MORE"]
    assert [of("dram_write", 1000, other) for other in (900, 1010, 1100)] == ["LESS", "SAME", "MORE"]


def test_what_cannot_be_compared_says_why():
    one = timed(100.0, 0.1)
    hole = Number("s", None, 0.0, 0.0, 0.0, "device", {"code": "sync", "sentence": "it waits"})
    later = Number("s", None, 0.0, 0.0, 0.0, "device", {"code": "a-code-of-tomorrow", "sentence": "its words"})
    rows = [
        (change("time", one, hole), "UNMEASURED", "sync", "it waits"),
        (change("time", hole, one), "UNMEASURED", "sync", "the reference's: it waits"),
        (change("time", one, later), "UNMEASURED", "no-measurement", "its words"),
        (change("time", one, None), "UNMEASURED", "no-measurement", "this run was not asked for"),
        (change("time", one, timed(100.0, source="cupti")), "INCONCLUSIVE", "measured-otherwise", "the reference's is of the source device, this one of cupti"),
        (change("time", one, timed(200.0, reason=REASON)), "INCONCLUSIVE", "throttled", "clocks changed"),
        (change("time", one, timed(200.0), Reason("environment-differs", "driver 1 -> 2")), "INCONCLUSIVE", "environment-differs", "driver 1 -> 2"),
    ]
    for found, verdict, code, words in rows:
        assert (found.verdict, found.reason.code, found.reason.detail) == (verdict, code, words)


class TestGate:
    def judged(self, limit, old, new, name="time"):
        (allowed,) = read_limits(limit)
        return gate(allowed, change(name, old, new))[0]

    @pytest.mark.parametrize(
        ("old", "new", "verdict"),
        [
            (timed(100.0, 1.0), timed(107.0, 1.0), "FAIL"),
            # Statistically worse, practically not.
            (timed(100.0, 0.1), timed(104.0, 0.1), "PASS"),
            # Practically worse, statistically not: nothing is decided.
            (timed(100.0, 6.0), timed(107.0, 6.0), "INCONCLUSIVE"),
            (timed(100.0, 1.0), timed(104.0, 1.0), "INCONCLUSIVE"),
            (timed(100.0, 1.0), timed(90.0, 1.0), "PASS"),
            (timed(100.0, 1.0, source="host"), timed(120.0, 1.0), "INCONCLUSIVE"),
        ],
    )
    def test_both_must_hold(self, old, new, verdict):
        assert self.judged("time:+5%", old, new) == verdict

    def test_an_amount_and_a_rate(self):
        assert self.judged("time:+2 us", timed(100e-6, 1e-7), timed(103e-6, 1e-7)) == "FAIL"
        assert self.judged("time:+5 us", timed(100e-6, 1e-7), timed(103e-6, 1e-7)) == "PASS"
        old, less = (Number("B/s", x, x * 0.999, x * 1.001, 0.0, "device", None) for x in (1e12, 0.9e12))
        assert self.judged("bandwidth:-5%", old, less, "bandwidth") == "FAIL"
        assert self.judged("bandwidth:-5%", less, old, "bandwidth") == "PASS"

    def test_counts(self):
        def of(limit, *numbers):
            return self.judged(limit, *(Number("1", x, x, x, 0.0, "cupti", None) for x in numbers), "launches")

        assert [of("launches:+0", 3, 4), of("launches:+0", 3, 3), of("launches:+1", 3, 4), of("launches:+10%", 0, 1), of("launches:+0", 0, 0)] == ["FAIL", "PASS", "PASS", "FAIL", "PASS"]

    @given(st.floats(1, 1e3), st.floats(0.5, 2), st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0, 0.1), st.floats(0, 0.5))
    def test_it_never_fails_what_may_be_unchanged_and_never_passes_what_may_be_worse(self, old, ratio, wide, other, shift, allowed):
        before, now = timed(old, old * wide, old * shift), timed(old * ratio, old * ratio * other, old * shift)
        verdict = self.judged(f"time:+{100 * allowed:.6f}%", before, now)
        least, most = before.low - before.shift, before.high + before.shift
        worst = (now.high + now.shift) / least if least > 0 else float("inf")
        if verdict == "FAIL":
            assert now.low - now.shift > most
            assert ratio > 1 + allowed - 1e-6
        if verdict == "PASS":
            assert worst <= 1 + allowed + 1e-6

    @given(st.floats(1, 1e3), st.floats(0.5, 2), st.floats(0, 0.3))
    def test_what_is_said_of_a_change_is_turned_round_with_it(self, old, ratio, wide):
        one, other = timed(old, old * wide), timed(old * ratio, old * ratio * wide)
        turned = {"SLOWER": "FASTER", "FASTER": "SLOWER", "SAME": "SAME", "INCONCLUSIVE": "INCONCLUSIVE"}
        assert change("time", other, one).verdict in {turned[change("time", one, other).verdict], "INCONCLUSIVE", "SAME"}
        if change("time", one, other).verdict == "SLOWER":
            assert ratio > 1 + NOTEWORTHY


class TestLimits:
    def test_the_example_and_every_quantity_can_be_written(self):
        assert EXAMPLE.startswith("time:+5%,")
        for row in METRICS:
            sign = "+" if row.better == "less" else "-"
            (one,) = read_limits(f"{row.name}:{sign}5%")
            assert (one.name, one.share, one.worse) == (row.name, 0.05, 1 if sign == "+" else -1)
        assert read_limits("dram__bytes_write.sum:+2%")[0].row.unit == "B"

    @pytest.mark.parametrize(
        ("text", "story"),
        [
            ("tiem:+5%", "no quantity 'tiem'; nearest 'time'"),
            ("time:5%", "'time:5%' is no limit: write QUANTITY:+NUMBER[% | unit], as 'time:+5%,registers:+0,dram_write:+2%'"),
            ("time", "'time' is no limit"),
            ("", "'' is no limit"),
            ("time:+5", "'time:+5': needs a unit: one of %, ns, us, ms, s"),
            ("time:+5 uss", "unknown unit 'uss': one of %, ns"),
            ("time:-5%", "'time:-5%': less is better of time, so it can only be too high: write time:+5%"),
            ("bandwidth:+5%", "more is better of bandwidth, so it can only be too low: write bandwidth:-5%"),
            ("time.p97:+5%", "time has no statistic 'p97'; nearest 'p9"),
            ("time:+5%,time:+3%", "time has two limits"),
            ("dram__bytes_write:+5%", "no quantity 'dram__bytes_write'; nearest 'dram__bytes_write"),
        ],
    )
    def test_what_is_none_is_refused_in_one_line(self, text, story):
        with pytest.raises(BadBudget) as error:
            read_limits(text)
        assert str(error.value).startswith("--gpuperf-fail-on: ")
        assert story in str(error.value)
        assert "\n" not in str(error.value)


def test_a_counter_is_found_by_both_its_names_and_added_up():
    counters = {
        "dram__bytes_write.sum": {"number": 5.0, "unit": "byte", "how": "single", "reason": None},
        "l1tex__t_bytes_pipe_lsu_mem_local_op_ld.sum": {"number": 2.0, "unit": "byte", "how": "single", "reason": None},
        "l1tex__t_bytes_pipe_lsu_mem_local_op_st.sum": {"number": 3.0, "unit": "byte", "how": "single", "reason": None},
    }
    one = {"values": {}, "counters": counters}
    assert [number_of(one, name).value for name in ("dram_write", "dram__bytes_write.sum", "local_bytes")] == [5.0, 5.0, 5.0]
    assert number_of(one, "dram_read") is None
    assert number_of({"values": {}}, "dram_write") is None


def test_what_moves_a_quantity():
    kinds = {name: kind_of(row_of(name)) for name in ("time", "time.p95", "bandwidth", "wall_time", "launches", "dram_write", "api_time", "peak_memory")}
    assert kinds == {"time": "device", "time.p95": "device", "bandwidth": "device", "wall_time": "host", "launches": "code", "dram_write": "device", "api_time": "host", "peak_memory": "code"}
