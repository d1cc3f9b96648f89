"""Counters on the page and the terminal: apart from timed values, with reference, change, budget, kernels, age, and holes with their reason."""

from __future__ import annotations

import re

import pytest
from counted_runs import BUSY, REPORT, WARPS, WRITE, counted_run, counter
from record_events import RUN, journal
from run_files import make_run

from pytest_gpuperf.cli import main
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.records.journal import Journal
from pytest_gpuperf.records.merge import combine, merge
from pytest_gpuperf.records.runfile import write
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.report.beside import beside
from pytest_gpuperf.report.counters import HEADING, Counted, counted, counters_line
from pytest_gpuperf.report.html import render
from pytest_gpuperf.report.terminal import summary_lines


def shown(place: int, run=None, reference=None) -> Counted | None:
    run = run or counted_run()
    case = run["cases"][place]
    return counted(case, case["measurements"][0], beside(run, reference))


def card(run, reference=None) -> str:
    """The text of the page's first failure, without its tags."""
    found = re.search(r'<article class="card v-FAIL".*?</article>', render(run, reference), re.DOTALL)
    assert found
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


def test_the_schema_knows_counters():
    run = counted_run()
    assert validate(run) == []
    run["cases"][0]["measurements"][0]["counters"][WRITE]["nubmer"] = 1.0
    run["counters"]["holes"] = None
    told = [
        f"cases[0].measurements[0].counters.{WRITE}.nubmer: no field of a counter; nearest 'number'",
        "counters.holes: no field of a counted run; nearest 'hole'",
    ]
    assert sorted(validate(run)) == told


def test_a_line_a_counter_with_its_limit():
    lines = {line.name: line for line in shown(0).lines}
    assert lines[WRITE].number == "536.9 MB"
    assert lines[WRITE].limits == (("FAIL", "<= 512 MB, margin -4.860 %"),)
    assert lines[BUSY].how == "mean of 3 kernels, weighted by their times"
    assert (lines[WARPS].number, lines[WARPS].limits, lines[WARPS].reference) == ("12,288 warp", (), "")


def test_a_limit_under_a_name_in_two_parts():
    run = counted_run()
    run["cases"][0]["budgets"][1] |= {"quantity": "dram__bytes_write", "statistic": "sum"}
    assert shown(0, run).lines[0].limits[0][0] == "FAIL"


def test_a_limit_on_a_short_name_stands_beside_the_counter_that_it_stands_for():
    run = counted_run()
    run["cases"][0]["budgets"][1] |= {"quantity": "dram_write", "unit": "B", "value": 536_870_912.0}
    lines = shown(0, run).lines
    assert [line.name for line in lines] == [WRITE, "dram__bytes_read.sum", BUSY, WARPS]
    (verdict, text), = lines[0].limits
    assert verdict == "FAIL"
    assert text.startswith("dram_write <= ")


def test_a_counter_that_has_both_its_names_in_the_record_is_one_line():
    run = counted_run()
    told = run["cases"][0]["measurements"][0]["counters"]
    told["warps"] = dict(told[WARPS])
    assert [line.name for line in shown(0, run).lines] == [WRITE, "dram__bytes_read.sum", BUSY, WARPS]
    del told[WARPS]
    assert [line.name for line in shown(0, run).lines] == [WRITE, "dram__bytes_read.sum", BUSY, "warps"]


def test_a_limit_on_a_short_name_of_several_counters_has_a_line_of_its_own():
    run = counted_run()
    run["cases"][0]["budgets"][1] |= {"quantity": "local_bytes", "unit": "B", "value": 536_870_912.0}
    last = shown(0, run).lines[-1]
    assert (last.name, last.number, last.limits[0][0]) == ("local_bytes", "536.9 MB", "FAIL")
    assert not last.limits[0][1].startswith("local_bytes")
    assert shown(0, run).lines[0].limits == ()
    # Limits on what is timed are elsewhere.
    assert [line.name for line in shown(0).lines] == [WRITE, "dram__bytes_read.sum", BUSY, WARPS]


def test_a_limit_of_another_measurement_is_not_shown():
    run = counted_run()
    run["cases"][0]["budgets"][1]["measurement"] = "other"
    assert shown(0, run).lines[0].limits == ()


def test_the_reference_and_the_change():
    before = counted_run(factor=0.9)
    lines = {line.name: line for line in shown(0, None, before).lines}
    assert (lines[WRITE].reference, lines[WRITE].change) == ("483.2 MB", "+11.11 %")
    assert lines[WARPS].change == "none"
    before["devices"][0]["name"] = "NVIDIA H100"
    lines = {line.name: line for line in shown(0, None, before).lines}
    assert (lines[WRITE].reference, lines[WRITE].change) == ("483.2 MB", "")


def test_the_cache_state_of_the_timed_run_does_not_matter():
    before = counted_run(factor=0.9)
    for case in before["cases"]:
        case["measurements"][0]["cache"] = "cold-dirty"
    assert shown(0, None, before).lines[0].change == "+11.11 %"


def test_a_hole_is_no_number():
    absorbed, died = shown(1).lines[0], shown(2).lines[0]
    assert (absorbed.number, absorbed.why) == ("0 B", "INCONCLUSIVE absorbed-by-l2: 4.194 MB written, less than 4x the L2 of 62.91 MB")
    assert (died.number, died.why) == ("", "UNMEASURED ncu-died: ended by signal 6 in its second body")
    # Nothing to compare with: neither 0 nor "none".
    assert shown(2, None, counted_run()).lines[0].change == ""
    run = counted_run()
    run["cases"][2]["measurements"][0]["counters"][WRITE] = counter(WRITE, None)
    assert shown(2, run).lines[0].why == "UNMEASURED without a reason"


def test_where_nothing_was_counted_one_line_says_so():
    run = counted_run()
    row = run["cases"][0]
    row["measurements"][0]["counters"] = {name: counter(name, None, why=Reason("no-ncu", "ncu is not on PATH")) for name in (WRITE, WARPS)}
    del row["measurements"][0]["profiled"]
    row["budgets"] = row["budgets"][:1]
    found = shown(0, run)
    assert found.holes == (("UNMEASURED no-ncu: ncu is not on PATH", f"{WRITE}, {WARPS}"),)
    text = card(run)
    assert f"hardware counters {WRITE}, {WARPS}: UNMEASURED no-ncu: ncu is not on PATH" in text
    assert HEADING not in text
    # What the reference has is shown all the same.
    assert shown(0, run, counted_run()).lines[0].reference == "536.9 MB"
    assert HEADING in card(run, counted_run())


def test_a_case_without_counters_has_no_table():
    assert shown(4) is None
    page = render(make_run())
    assert HEADING not in page
    assert "counters:" not in page


def test_kernels_one_by_one():
    found = shown(0)
    assert len(found.kernels) == 3
    assert found.kernels[1] == ("fill", ("179.0 MB", "179.0 MB", "81.00 %", "4,096 warp"))
    run = counted_run()
    profiled = run["cases"][0]["measurements"][0]["profiled"]
    profiled["kernels"] = profiled["kernels"] * 30
    assert (len(shown(0, run).kernels), shown(0, run).more) == (40, 50)
    assert "90 kernels one by one" in card(run)


def test_the_page_has_it_apart():
    text = card(counted_run(), counted_run(factor=0.9))
    head, _, tail = text.partition(HEADING)
    # What runs it again stands below everything.
    assert "pytest --gpuperf" in tail
    for part in ("536.9 MB", "483.2 MB", "+11.11 %", "FAIL", "3 kernels one by one", f"{REPORT}, beside this page", f"ncu --import {REPORT} --nvtx"):
        assert part in tail
    assert "536.9 MB" not in head


def test_stored_counters_say_how_old_they_are():
    assert shown(3).age == "1.1 days old"
    assert "counted in an earlier run, 1.1 days old" in render(counted_run())


def test_hostile_names_are_text():
    run = counted_run()
    measurement = run["cases"][0]["measurements"][0]
    measurement["profiled"]["kernels"][0]["name"] = "<script>alert(1)</script>\u202e"
    measurement["profiled"] |= {"command": "ncu '<b>'", "report": "<i>.ncu-rep"}
    page = render(run)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in page
    assert "ncu &#39;&lt;b&gt;&#39;" in page


LINE = "counters: 3 cases profiled by ncu 2025.3.1.0 in 2 starts, 17.3 s (kernel replay, read by ncu-report); 1 case from earlier runs, up to 1.1 days old"


def test_one_line_on_the_terminal_and_the_page():
    run = counted_run()
    assert counters_line(run) == LINE
    assert [text for text, _ in summary_lines(run) if text.startswith("counters:")] == [LINE]
    assert f'<p class="account">{LINE}</p>' in render(run)
    assert not any(text.startswith("counters") for text, _ in summary_lines(make_run()))


@pytest.mark.parametrize(
    ("over", "line"),
    [
        ({"cases": 0, "starts": 0, "hole": {"code": "no-ncu", "detail": "ncu: not found"}}, "counters: none, no-ncu: ncu: not found"),
        ({"cases": 1, "starts": 1, "wall_s": None, "road": None, "replay": None}, "counters: 1 case profiled by ncu 2025.3.1.0 in 1 start"),
        ({"cases": 3, "starts": 3, "hole": {"code": "ncu-died", "detail": ""}}, "counters: 3 cases profiled by ncu 2025.3.1.0 in 3 starts, 17.3 s (kernel replay, read by ncu-report); ncu-died"),
    ],
)
def test_what_was_not_counted_is_told(over, line):
    run = counted_run()
    run["cases"] = run["cases"][:3]
    run["counters"] |= over
    assert counters_line(run) == line


def test_show_prints_them(tmp_path, capsys):
    write(counted_run(), tmp_path / "run.json")
    assert main(["show", str(tmp_path / "run.json")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert f"    {HEADING}" in told
    assert f"    {HEADING}, 1.1 days old" in told
    assert "      dram__bytes_write.sum                               536.9 MB; sum of 3 kernels" in told
    assert any(line.startswith(f"      {WRITE}  main {WRITE}: UNMEASURED ncu-died: ended by signal 6") for line in told)
    assert LINE in told


def test_the_record_of_the_run_under_ncu_goes_from_the_journal_to_the_run_file(tmp_path):
    head = {"ncu": "2025.3.1.0", "road": "csv", "starts": 1, "cases": 2, "reports": [REPORT]}
    lines = Journal(tmp_path / "main.jsonl")
    lines.append("session", run=RUN, worker="main")
    lines.append("counters", counters=head)
    lines.close()
    run = merge([tmp_path / "main.jsonl"])
    assert validate(run) == []
    assert run["counters"] == head | {"replay": None, "wall_s": None, "hole": None}
    both = combine([run, run])
    assert validate(both) == []
    assert (both["counters"]["starts"], both["counters"]["cases"], both["counters"]["reports"]) == (2, 4, [REPORT])
    assert "counters" not in merge([journal(tmp_path / "other.jsonl")])
