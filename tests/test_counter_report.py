"""Reading reports of Nsight Compute: two roads to the same numbers, and one line for whatever cannot be read."""

from __future__ import annotations

import copy
import csv
import importlib.util
import io
import subprocess

import pytest
from ncu_reports import GRAPH_CSV, SMALL, SMALL_CSV, FakePackage, told

from pytest_gpuperf.counters import report
from pytest_gpuperf.counters.names import TIME, counter
from pytest_gpuperf.counters.report import BY_CSV, BY_PACKAGE, WORDS, Counted, read
from pytest_gpuperf.errors import ReportError

WRITE = "dram__bytes_write.sum"


def nothing():
    """Stand for a machine without the package."""


def prints(text, status=0, seen=None):
    def run(command):
        if seen is not None:
            seen.append(list(command))
        return status, text

    return run


def by_csv(text=SMALL_CSV, status=0, names=None, path=SMALL):
    return read(path, ["ncu"], names, package=nothing, run=prints(text, status))


def by_package(actions=None, names=None, path=SMALL):
    return read(path, None, names, package=FakePackage(told() if actions is None else actions))


def printed(number):
    """Write a number as ncu prints it in a table: to two digits after the point."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.2f}"


def test_the_table_agrees_with_the_package_to_what_it_prints():
    facts, rows = by_package(), list(csv.DictReader(io.StringIO(SMALL_CSV)))[1:]
    table = by_csv()
    assert (facts.road, table.road) == (BY_PACKAGE, BY_CSV)
    assert [(one.slug, one.kernel) for one in facts.actions] == [(one.slug, one.kernel) for one in table.actions]
    assert facts.outside == table.outside == 0
    compared = 0
    for exact, rounded, row in zip(facts.actions, table.actions, rows, strict=True):
        # The package's recorded answers leave out facts of the device.
        assert set(exact.values) <= set(rounded.values)
        for name, value in exact.values.items():
            assert value.word == rounded.values[name].word
            assert printed(value.raw) == row[name] == printed(rounded.values[name].raw), name
            compared += 1
    assert compared > 300


@pytest.mark.skipif(importlib.util.find_spec("ncu_report") is None, reason="ncu-report is not installed: its licence is proprietary, so nothing here may install it")
def test_the_package_itself_reads_the_recorded_report():
    facts, real = by_package(), read(SMALL, None)
    assert real.road == BY_PACKAGE
    assert [(one.slug, one.kernel) for one in real.actions] == [(one.slug, one.kernel) for one in facts.actions]
    for expected, one in zip(facts.actions, real.actions, strict=True):
        assert expected.values == {name: one.values[name] for name in expected.values}


@pytest.mark.skipif(importlib.util.find_spec("ncu_report") is None, reason="ncu-report is not installed: its licence is proprietary, so nothing here may install it")
@pytest.mark.parametrize("kept", [5, 2_000, 50_000])
def test_the_package_itself_says_what_is_wrong_with_a_damaged_report(kept, tmp_path):
    damaged = tmp_path / "cut.ncu-rep"
    damaged.write_bytes(SMALL.read_bytes()[:kept])
    with pytest.raises(ReportError, match=r"the report is cut off|no report of Nsight Compute"):
        read(damaged, None)


@pytest.mark.parametrize("reading", [by_csv, by_package])
def test_kernels_are_found_by_the_range_of_ours_that_they_ran_in(reading):
    found = reading()
    assert {one.slug: [two.kernel for two in found.of(one.slug)] for one in found.actions} == {
        "g1-one": ["copy"],
        "g2-two": ["copy", "fill", "copy"],
        # Launched by another thread than the one that opened the range.
        "g3-thread": ["copy"],
    }
    assert found.of("g4-none") == ()


@pytest.mark.parametrize("reading", [by_csv, by_package])
def test_numbers_are_in_si_units_and_carry_ncus_own_word(reading):
    first = reading().of("g1-one")[0].values
    assert (first[WRITE].number, first[WRITE].unit, first[WRITE].word) == (47_905_536, "B", "byte")
    assert (first[TIME].number, first[TIME].unit, first[TIME].word) == (48.576e-6, "s", "ns")
    assert (first["sm__warps_launched.sum"].number, first["sm__warps_launched.sum"].unit, first["sm__warps_launched.sum"].word) == (524_288, "1", "warp")
    assert first["sm__throughput.avg.pct_of_peak_sustained_elapsed"].unit == "%"
    assert first["sm__throughput.avg.pct_of_peak_sustained_elapsed"].number == pytest.approx(33.25, abs=0.005)
    # Texts are no numbers.
    assert "launch__func_cache_config" not in first


@pytest.mark.parametrize("reading", [by_csv, by_package])
def test_the_unit_of_every_number_is_the_one_that_its_name_tells(reading):
    known = 0
    for name, value in reading().actions[0].values.items():
        row = counter(name)
        if row is not None and not name.startswith(("device__", "nvlink__", "profiler__")):
            assert row.unit == value.unit, name
            known += 1
    assert known > 50


@pytest.mark.parametrize("reading", [by_csv, by_package])
def test_only_the_metrics_that_matter_are_kept_where_they_are_named(reading):
    assert {name for one in reading(names=[WRITE, "no__such.sum"]).actions for name in one.values} == {WRITE}


def test_nodes_of_a_graph_keep_the_names_of_their_kernels():
    found = by_csv(GRAPH_CSV)
    assert [one.kernel for one in found.of("g7-graph")] == ["vectorized_elementwise_kernel"] * 3
    assert [one.kernel for one in found.of("g4-stream")] == ["fill"]
    assert all(one.values[TIME].number > 0 for one in found.actions)


@pytest.mark.parametrize("cell", ["n/a", "nan", "-nan", "", "inf", "PolicySpread"])
def test_what_is_no_number_is_absent(cell):
    text = SMALL_CSV.replace('"47,905,536"', f'"{cell}"')
    assert text != SMALL_CSV
    first, *others = by_csv(text).actions
    assert WRITE not in first.values
    assert all(WRITE in one.values for one in others)
    actions = told()
    actions[0]["values"][WRITE][0] = {"nan": float("nan"), "-nan": float("nan"), "inf": float("inf"), "": None}.get(cell, cell)
    first, *others = by_package(actions).actions
    assert WRITE not in first.values
    assert all(WRITE in one.values for one in others)


def test_kernels_outside_our_domain_are_counted_and_left_out():
    actions = told()
    actions[0]["ranges"] = {"<default domain>": ["g1-one"]}
    actions[1]["ranges"] = {}
    found = by_package(actions)
    assert (len(found.actions), found.outside) == (3, 2)
    found = by_csv(SMALL_CSV.replace("0:gpuperf:g1-one", "0:theirs:g1-one"))
    assert (found.of("g1-one"), len(found.actions), found.outside) == ((), 4, 1)


def test_a_kernel_in_two_ranges_of_ours_counts_in_both():
    actions = told()
    actions[0]["ranges"] = {"gpuperf": ["outer", "inner"], "theirs": ["x"]}
    assert [one.slug for one in by_package(actions).actions[:2]] == ["outer", "inner"]
    text = SMALL_CSV.replace('""0:gpuperf:g1-one:none', '""7:theirs:x:none:none:RGB:0xff:REGISTERED:x"" ""0:gpuperf:outer:none:none"" ""1:gpuperf:inner:none')
    assert [one.slug for one in by_csv(text).actions[:2]] == ["outer", "inner"]


def test_a_range_profiled_as_a_whole_is_one_action():
    actions = told()[:1]
    actions[0]["name"] = "range"
    assert [(one.slug, one.kernel) for one in by_package(actions).actions] == [("g1-one", "range")]


def test_what_ncu_says_around_the_table_is_no_part_of_it():
    text = f"==WARNING== Something is old.\n\n==PROF== Disconnected\n{SMALL_CSV}==WARNING== And more.\n"
    assert by_csv(text) == by_csv()


def test_the_command_is_the_one_that_prints_base_units():
    seen = []
    read(SMALL, ["/opt/ncu", "-q"], package=nothing, run=prints(SMALL_CSV, seen=seen))
    assert seen == [["/opt/ncu", "-q", "--import", str(SMALL), "--csv", "--page", "raw", "--print-units", "base"]]


def short_row(text):
    return text.rstrip("\n").rpartition(",")[0] + "\n"


@pytest.mark.parametrize(
    ("text", "status", "story"),
    [
        ("", 0, "ncu printed no table: nothing"),
        ("junk\n", 0, "ncu printed no table: junk"),
        ("==ERROR== The file is not a report.\n", 1, "ncu cannot read it: The file is not a report. (exit status 1)"),
        ("==ERROR== The file is not a report.\n" + SMALL_CSV, 0, "ncu cannot read it: The file is not a report. (exit status 0)"),
        ("first\nlast words\n", 3, "ncu cannot read it: last words (exit status 3)"),
        ("", 3, "ncu cannot read it: it said nothing (exit status 3)"),
        (SMALL_CSV.splitlines()[0] + "\n", 0, "ncu printed no table: "),
        ("\n".join(SMALL_CSV.splitlines()[:2]) + "\n", 0, "no report of Nsight Compute, or nothing was profiled"),
        (short_row(SMALL_CSV), 0, "ncu's table is cut off: a row of "),
        (SMALL_CSV.replace("Start/Stop_Range", "Ranges"), 0, "ncu printed no table: "),
    ],
)
def test_a_table_that_is_none_is_an_error_of_one_line(text, status, story):
    with pytest.raises(ReportError) as error:
        by_csv(text, status)
    assert str(error.value).startswith(f"{SMALL}: {story}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("trouble", [FileNotFoundError("no ncu"), subprocess.TimeoutExpired(["ncu"], 1)])
def test_an_ncu_that_does_not_run_is_an_error(trouble):
    def run(_):
        raise trouble

    with pytest.raises(ReportError, match=f"ncu cannot be run: {type(trouble).__name__}"):
        read(SMALL, ["ncu"], package=nothing, run=run)


def test_ncu_is_really_run_and_its_words_are_read(tmp_path):
    script = tmp_path / "ncu"
    script.write_text(f"#!/bin/sh\ntest $LC_ALL = C || exit 9\ncat '{SMALL.with_suffix('.csv')}'\n")
    script.chmod(0o755)
    assert read(SMALL, [str(script)], package=nothing) == by_csv()


def test_a_file_that_is_not_there_or_empty_is_an_error_on_both_roads(tmp_path):
    empty = tmp_path / "empty.ncu-rep"
    empty.write_bytes(b"")
    for reading in (by_csv, by_package):
        with pytest.raises(ReportError, match=r"none.ncu-rep: there is no such report$"):
            reading(path=tmp_path / "none.ncu-rep")
        with pytest.raises(ReportError, match=r"empty.ncu-rep: the report is empty$"):
            reading(path=empty)


def test_without_package_and_ncu_the_error_says_what_to_install():
    with pytest.raises(ReportError, match=r"nothing here reads reports: install pytest-gpuperf\[ncu\], or put ncu on PATH$"):
        read(SMALL, None, package=nothing)


def test_a_report_that_was_cut_off_or_holds_nothing_is_no_success():
    with pytest.raises(ReportError, match=r"no report of Nsight Compute, or nothing was profiled$"):
        by_package([])
    with pytest.raises(ReportError, match=r"the report is cut off: nothing is known of kernel 2 of 5$"):
        by_package([told()[0], None, *told()[2:]])


def test_whatever_the_package_raises_is_one_of_our_errors():
    class Broken:
        def load_report(self, _):
            raise RuntimeError("bad magic")

    with pytest.raises(ReportError, match=r"ncu-report cannot read it: RuntimeError: bad magic$"):
        read(SMALL, None, package=Broken)
    odd = copy.deepcopy(told())
    del odd[0]["ranges"]
    with pytest.raises(ReportError, match=r"ncu-report cannot read it: KeyError"):
        by_package(odd)


def test_a_package_that_does_not_load_is_as_good_as_none(tmp_path, monkeypatch):
    (tmp_path / "ncu_report.py").write_text("raise OSError('libnvperf_host.so: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "ncu_report", raising=False)
    assert report.import_package() is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("byte", ("B", 2.0)),
        ("byte/block", ("B", 2.0)),
        ("byte/s", ("B/s", 2.0)),
        ("byte/ns", ("B/s", 2e9)),
        ("ns", ("s", 2e-9)),
        ("usecond", ("s", 2e-6)),
        ("%", ("%", 2.0)),
        ("hz", ("1/s", 2.0)),
        ("sector/s", ("1/s", 2.0)),
        ("cycle/nsecond", ("1/s", 2e9)),
        ("register/thread", ("1", 2.0)),
        ("byte/sector", ("1", 2.0)),
        ("", ("1", 2.0)),
    ],
)
def test_a_unit_word_has_its_si_unit(word, expected):
    one = Counted(2.0, word)
    assert (one.unit, one.number) == (expected[0], pytest.approx(expected[1], rel=1e-15))
    assert all(per > 0 for _, per in WORDS.values())
