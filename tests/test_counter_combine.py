"""Several kernels of one body: what adds up, what is weighted, what is neither; and that a part is never taken for the whole."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ncu_reports import SMALL, FakePackage, told

from pytest_gpuperf.counters.combine import combine, joined
from pytest_gpuperf.counters.names import COUNTERS, TIME, counter
from pytest_gpuperf.counters.report import Action, Counted, read
from pytest_gpuperf.reasons import Reason

WRITE, RATE, PCT = "dram__bytes_write.sum", "dram__bytes_write.sum.per_second", "sm__throughput.avg.pct_of_peak_sustained_elapsed"
REGISTERS = "launch__registers_per_thread"
WORDS = {WRITE: "byte", RATE: "byte/s", PCT: "%", TIME: "ns", REGISTERS: "register/thread", "dram__bytes_write.max": "byte", "dram__bytes_write.min": "byte"}


def action(kernel="copy", ns=1000.0, **values):
    given = {name: Counted(float(value), WORDS.get(name, "")) for name, value in values.items()}
    return Action("slug", kernel, given if ns is None else {TIME: Counted(ns, "ns"), **given})


def one(actions, name):
    row = counter(name)
    found = combine(actions, [row])
    assert set(found) == {row.name}
    return found[row.name]


def test_one_kernel_is_its_own_number():
    for name, number, unit in ((WRITE, 7, "B"), (PCT, 50, "%"), (REGISTERS, 40, "1"), ("dram__bytes_write.max", 3, "B")):
        got = one([action(**{name: number})], name)
        assert (got.number, got.low, got.high, got.unit, got.how, got.hole, got.kernels) == (number, number, number, unit, "single", None, (("copy", number),))


def test_sums_add_up_and_values_of_each_kernel_are_kept():
    got = one([action("copy", **{WRITE: 7}), action("fill", **{WRITE: 5}), action("copy", **{WRITE: 0})], WRITE)
    assert (got.number, got.how, got.word) == (12, "sum", "byte")
    assert got.kernels == (("copy", 7), ("fill", 5), ("copy", 0))
    assert (one([action(ns=1000), action(ns=500)], TIME).number, one([action(), action()], TIME).unit) == (1.5e-6, "s")


@pytest.mark.parametrize("name", [PCT, RATE, "dram__bytes_write.avg", "sm__warps_active.avg.pct_of_peak_sustained_active", "lts__t_sector_hit_rate.pct", "lts__t_sector_hit_rate.ratio"])
def test_what_is_no_sum_is_weighted_by_time(name):
    # 3/4 of the time at 10, 1/4 at 50; their plain mean would be 30, their sum 60.
    word = {"%": "%", "B/s": "byte/s", "B": "byte"}.get(counter(name).unit, "")
    actions = [Action("slug", kernel, {TIME: Counted(ns, "ns"), name: Counted(number, word)}) for kernel, ns, number in (("a", 3000.0, 10.0), ("b", 1000.0, 50.0))]
    got = one(actions, name)
    assert (got.number, got.how, got.hole) == (pytest.approx(20), "weighted by time", None)
    assert got.low == got.high == got.number


def test_a_rate_weighted_by_time_is_the_bytes_of_all_over_the_time_of_all():
    actions = [action("a", 3000, **{WRITE: 30, RATE: 30 / 3e-6}), action("b", 1000, **{WRITE: 50, RATE: 50 / 1e-6})]
    assert one(actions, RATE).number == pytest.approx(one(actions, WRITE).number / one(actions, TIME).number)


def test_the_most_and_the_least_stay_so():
    actions = [action("a", **{"dram__bytes_write.max": 7, "dram__bytes_write.min": 7}), action("b", **{"dram__bytes_write.max": 3, "dram__bytes_write.min": 3})]
    assert (one(actions, "dram__bytes_write.max").number, one(actions, "dram__bytes_write.max").how) == (7, "max of 2 kernels")
    assert (one(actions, "dram__bytes_write.min").number, one(actions, "dram__bytes_write.min").how) == (3, "min of 2 kernels")


def test_a_fact_of_launches_is_a_number_where_they_agree_and_a_range_where_they_do_not():
    same = one([action("a", **{REGISTERS: 32}), action("b", **{REGISTERS: 32})], REGISTERS)
    assert (same.number, same.low, same.high, same.how) == (32, 32, 32, "the same in 2 kernels")
    # A limit of 40 must not pass because the average does.
    differ = one([action("a", 3000, **{REGISTERS: 32}), action("b", 1000, **{REGISTERS: 48})], REGISTERS)
    assert (differ.number, differ.low, differ.high, differ.how) == (36, 32, 48, "of 2 kernels that differ, weighted by time")


def test_no_kernel_is_a_hole_of_every_counter():
    found = combine([], [counter(WRITE), counter("local_bytes")])
    assert {name: (got.number, got.hole) for name, got in found.items()} == {WRITE: (None, Reason("no-kernel")), "local_bytes": (None, Reason("no-kernel"))}


def test_a_counter_that_one_kernel_lacks_has_no_number_and_says_which():
    got = one([action("copy", **{WRITE: 7}), action("fill"), action("copy", **{WRITE: 7})], WRITE)
    assert (got.number, got.low, got.high, got.hole.code) == (None, None, None, "no-such-counter")
    assert got.hole.detail == f"the report has no {WRITE} of fill, 1 of 3 kernels of the body"
    assert got.kernels == (("copy", 7), ("fill", None), ("copy", 7))
    assert one([action("copy")], WRITE).hole.detail == f"the report has no {WRITE} of copy"
    assert one([action("copy", **{WRITE: 0})], WRITE).number == 0


def test_without_times_nothing_is_weighted():
    for ns in (None, 0.0):
        got = one([action("a", ns, **{PCT: 10}), action("b", ns, **{PCT: 50})], PCT)
        assert (got.number, got.hole.code) == (None, "no-such-counter")
        assert TIME in got.hole.detail
    assert one([action("a", None, **{WRITE: 1}), action("b", None, **{WRITE: 2})], WRITE).number == 3
    assert one([action("a", None, **{PCT: 10})], PCT).number == 10


def test_a_short_name_of_several_counters_is_their_sum():
    load, store = counter("local_bytes").full
    actions = [Action("s", "a", {load: Counted(32.0, "byte"), store: Counted(64.0, "byte")}), Action("s", "b", {load: Counted(0.0, "byte"), store: Counted(4.0, "byte")})]
    got = one(actions, "local_bytes")
    assert (got.number, got.unit, got.how, got.kernels) == (100, "B", "sum", (("a", 96), ("b", 4)))
    del actions[1].values[store]
    assert one(actions, "local_bytes").hole.detail == f"the report has no {store} of b, 1 of 2 kernels of the body"


def test_a_unit_that_the_name_did_not_tell_is_ncus_bare_number_or_a_hole():
    # The limit was read as a bare number, so it is held against one.
    assert one([Action("s", "a", {"sm__odd_thing.sum": Counted(48.0, "ns")})], "sm__odd_thing.sum").number == 48
    got = one([Action("s", "a", {WRITE: Counted(48.0, "sector")})], WRITE)
    assert (got.number, got.hole.code, got.hole.detail) == (None, "no-such-counter", f"ncu gives {WRITE} of a in sector, not in B")


def test_what_full_names_came_to_is_joined_under_the_short_name():
    load, store = counter("local_bytes").full
    actions = [Action("s", name, {load: Counted(32.0, "byte"), store: Counted(64.0, "byte")}) for name in ("a", "b")]
    found = combine(actions, [counter(load), counter(store)])
    assert joined(counter("local_bytes"), found) == one(actions, "local_bytes")
    assert joined(counter(load), found) == found[load]
    hole = dataclasses.replace(found[store], number=None, hole=Reason("no-kernel"))
    assert joined(counter("local_bytes"), {**found, store: hole}).hole == Reason("no-kernel")
    missing = joined(counter("dram_write"), found)
    assert (missing.number, missing.unit, missing.hole.code, missing.hole.detail) == (None, "B", "not-collected", f"{WRITE} was not collected in the profiled run")


def test_the_recorded_report_comes_to_what_its_kernels_say():
    found = combine(read(SMALL, None, package=FakePackage(told())).of("g2-two"), [counter(name) for name in ("dram_write", "warps", "sm_pct", REGISTERS, "dram_read", "dram_pct")])
    assert found["dram_write"].number == 47_739_136 + 40_066_048 + 48_058_624
    assert found["warps"].number == 3 * 524_288
    assert [name for name, _ in found["warps"].kernels] == ["copy", "fill", "copy"]
    assert 29.18 < found["sm_pct"].number < 32.80
    assert (found[REGISTERS].number, found[REGISTERS].how) == (16, "the same in 3 kernels")
    assert found["dram_pct"].hole.code == "no-such-counter"


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 100)), min_size=1, max_size=6))
def test_a_weighted_number_lies_between_those_of_its_kernels(kernels):
    got = one([action("k", ns, **{PCT: number}) for ns, number in kernels], PCT)
    numbers = [number for _, number in kernels]
    assert min(numbers) - 1e-9 <= got.number <= max(numbers) + 1e-9


def test_every_row_has_a_way_to_come_to_one_number():
    for row in COUNTERS:
        word = {"B": "byte", "%": "%"}.get(row.unit, "")
        actions = [Action("s", "k", {TIME: Counted(1.0, "ns"), **{full: Counted(4.0, word) for full in row.full}})] * 2
        got = combine(actions, [row])[row.name]
        assert got.number == (8.0 * len(row.full) if row.exact else 4.0)
