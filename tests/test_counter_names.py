"""COUNTERS and the grammar of full names: what a counter is called, its unit, whether it is a count; and what is refused, with the nearest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_gpuperf.counters import names
from pytest_gpuperf.counters.names import COUNTERS, PARTS, canonical, counter, find_counter, full_names, parse_listing, refuse_unknown
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.metrics import METRICS, metric

#: A part of what `ncu --query-metrics` said of an H200, wrapped lines, odd names and the last remark included.
LISTING = (Path(__file__).parent / "data" / "ncu_query_metrics.txt").read_text(encoding="utf-8")
LISTED = re.findall(r"^([a-z]\S+) +(Counter|Ratio|Throughput) +(byte|ns|%|sector|warp|cycle|inst)?", LISTING, re.MULTILINE)
SUFFIX = {"Counter": "sum", "Ratio": "ratio", "Throughput": "avg.pct_of_peak_sustained_elapsed"}


@pytest.mark.parametrize("row", COUNTERS, ids=lambda row: row.name)
def test_every_short_name_is_a_quantity_and_stands_for_counters_of_this_chip(row):
    known = metric(row.name)
    assert (known.source, known.unit, known.exact, known.relative) == ("ncu", row.unit, row.exact, ())
    assert counter(row.name) is row
    assert row.metric is known
    for full in row.full:
        behind = counter(full)
        assert (behind.unit, behind.exact, behind.how) == (row.unit, row.exact, row.how)
        assert full.partition(".")[0] in parse_listing(LISTING)
        assert full.partition("__")[0] in PARTS
    assert len(row.full) == 1 or row.how == names.ADD


def test_every_quantity_of_ncu_is_a_row_and_every_row_one_quantity():
    assert [row.name for row in COUNTERS] == [row.name for row in METRICS if row.source == "ncu"]
    full = [one for row in COUNTERS for one in row.full]
    assert len(full) == len(set(full))


@pytest.mark.parametrize(
    ("name", "unit", "exact", "how"),
    [
        ("dram__bytes_write.sum", "B", True, "add"),
        ("dram__bytes_write.avg", "B", False, "weigh"),
        ("dram__bytes_write.max", "B", False, "most"),
        ("dram__bytes_write.min", "B", False, "least"),
        ("dram__bytes_write.sum.per_second", "B/s", False, "weigh"),
        ("dram__bytes_write.sum.per_cycle_elapsed", "B/cycle", False, "weigh"),
        ("dram__bytes_write.sum.peak_sustained", "B/cycle", False, "weigh"),
        ("dram__bytes_write.avg.peak_sustained_active.per_second", "B/s", False, "weigh"),
        ("dram__bytes_write.sum.pct_of_peak_sustained_elapsed", "%", False, "weigh"),
        ("dram__throughput.max.pct_of_peak_sustained_elapsed", "%", False, "most"),
        ("lts__t_sectors_op_write.sum", "1", True, "add"),
        ("lts__t_sectors_op_write.sum.per_second", "1/s", False, "weigh"),
        ("lts__t_sector_hit_rate.pct", "%", False, "weigh"),
        ("lts__t_sector_hit_rate.ratio", "1", False, "weigh"),
        ("lts__t_sector_hit_rate.max_rate", "1", False, "weigh"),
        ("smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio", "1", False, "weigh"),
        ("gpu__time_duration.sum", "s", False, "add"),
        ("sm__cycles_elapsed.sum", "1", False, "add"),
        ("launch__registers_per_thread", "1", True, "same"),
        ("launch__shared_mem_per_block_static", "B", True, "same"),
        ("launch__waves_per_multiprocessor", "1", False, "same"),
        ("launch__occupancy_cluster_pct", "%", False, "weigh"),
        ("smsp__pcsamp_sample_buffer_full", "1", False, "same"),
    ],
)
def test_the_name_tells_unit_exactness_and_how_kernels_add_up(name, unit, exact, how):
    row = counter(name)
    assert (row.name, row.full, row.unit, row.exact, row.how) == (name, (name,), unit, exact, how)
    assert row.metric.source == "ncu"


@pytest.mark.parametrize(("base", "kind", "word"), LISTED)
def test_the_unit_from_the_name_is_the_one_that_ncu_lists(base, kind, word):
    row = counter(f"{base}.{SUFFIX[kind]}")
    assert row.unit == ("1" if kind == "Ratio" else {"byte": "B", "ns": "s", "%": "%"}.get(word, "1"))
    assert base.partition("__")[0] in PARTS


@pytest.mark.parametrize("name", ["", "time", "dram__bytes_write", "dram__bytes_write.", "dram__bytes_write.som", "dram__bytes_write.sum.sum", "dram__bytes_write.ratio.per_second",
                                  "__x.sum", "DRAM__bytes.sum", "regex:dram__bytes.sum", "dram__bytes_write.sum ", "dram__bytes_write.sum,a__b.sum", "dram._bytes.sum"])  # fmt: skip
def test_what_is_no_counter(name):
    assert counter(name) is None


def test_short_names_stand_for_their_full_ones():
    assert canonical("dram_write") == "dram__bytes_write.sum"
    assert canonical("local_bytes") == "local_bytes"
    assert full_names(["local_bytes", "warps", "sm__warps_launched.sum", "time", "no"]) == (
        "l1tex__t_bytes_pipe_lsu_mem_local_op_ld.sum",
        "l1tex__t_bytes_pipe_lsu_mem_local_op_st.sum",
        "sm__warps_launched.sum",
    )


def test_the_listing_is_read_name_by_name():
    listed = parse_listing(LISTING)
    assert {"dram__bytes_write", "gpu__time_duration", "lts__t_sector_hit_rate"} <= listed
    # Wrapped descriptions, rulers and names of another mode are none.
    assert listed == {base for base, _, _ in LISTED}
    for nothing in ("==ERROR== no device\n", "dram__bytes_read\n", "dram__bytes_read is not there\n", "  dram__bytes_read   Counter  byte\n"):
        assert parse_listing(nothing) == frozenset()


@pytest.mark.parametrize(
    ("name", "listing", "story"),
    [
        ("dram__bytes_wirte.sum", LISTING, "this chip has no counter 'dram__bytes_wirte.sum'; nearest 'dram__bytes_write.sum'; ncu --query-metrics lists them"),
        ("sm__warps_launchd.avg.per_second", LISTING, "this chip has no counter 'sm__warps_launchd.avg.per_second'; nearest 'sm__warps_launched.avg.per_second'; ncu --query-metrics lists them"),
        ("qqq__zzz.sum", LISTING, "this chip has no counter 'qqq__zzz.sum'; ncu --query-metrics lists them"),
        ("dram__bytes_write", LISTING, "no counter 'dram__bytes_write': a suffix such as .sum is missing; nearest 'dram__bytes_write.sum'"),
        ("dram__bytes_write.som", "", "no counter 'dram__bytes_write.som': there is no suffix '.som'; nearest 'dram__bytes_write.sum'"),
        ("dram_wirte", "", "no counter 'dram_wirte'; nearest 'dram_write'"),
        ("Dram_Write", "", "no counter 'Dram_Write'; nearest 'dram_write'"),
        (3, "", "no counter 3; valid: dram_write, dram_read, l2_write_sectors, .*, achieved_occupancy"),
    ],
)
def test_an_unknown_name_is_refused_in_one_line_with_the_nearest(name, listing, story):
    with pytest.raises(BadBudget) as error:
        refuse_unknown([name], parse_listing(listing) if listing else None, "here")
    assert re.fullmatch(re.escape("here: ") + story.replace("(", r"\("), str(error.value)), str(error.value)
    assert "\n" not in str(error.value)


def test_what_the_chip_has_is_let_through_and_without_a_listing_the_grammar_decides():
    listing = parse_listing(LISTING)
    # Facts of the launch are in no listing of base names.
    refuse_unknown(["local_bytes", "dram_pct", "dram__bytes_write.max.per_second", "launch__registers_per_thread"], listing)
    for nothing in (None, frozenset()):
        refuse_unknown(["qqq__zzz.sum"], nothing)


def test_a_counter_is_found_or_refused():
    assert find_counter("warps", "here").full == ("sm__warps_launched.sum",)
    with pytest.raises(BadBudget, match=r"^here: no counter 'warp'; nearest 'warps'$"):
        find_counter("warp", "here")
