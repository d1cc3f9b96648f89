"""The table of benchmarks/counters.py, from made runs: what a case costs, which bars are missed, when times are the same."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
from run_files import make_run, reason

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from counters_table import bars, cost, lines_of, page_of, same


def moved(run, factor):
    """The same run with every time so many times as long."""
    other = copy.deepcopy(run)
    for case in other["cases"]:
        time = case["measurements"][0]["values"]["time"]
        for key in ("number", "low", "high"):
            time[key] = time[key] * factor if time[key] is not None else None
    return other


@pytest.fixture
def run():
    """Some passes, of which each time has an interval of 0.4 % to each side."""
    made = make_run(passed=6, failed=0, undecided=0)
    made["cases"] = [case for case in made["cases"] if case["measurements"][0]["values"]["time"]["number"] is not None]
    assert len(made["cases"]) == 7
    return made


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "SAME"), (1.005, "SAME"), (1.02, "UNDECIDED"), (1.05, "DIFFERENT"), (0.95, "DIFFERENT")])
def test_times_are_the_same_by_the_rule_of_the_gate(run, factor, verdict):
    # The clocks of two processes: their half-widths add up, so they are made small.
    for case in run["cases"]:
        case["measurements"][0]["values"]["time"]["systematic"] = 1e-8
    assert {one["verdict"] for one in same(run, moved(run, factor))} == {verdict}


def test_what_was_not_measured_is_not_the_same(run):
    other = copy.deepcopy(run)
    other["cases"][0]["measurements"][0]["values"]["time"] |= {"number": None, "reason": reason("sync")}
    verdicts = {one["case"]: one["verdict"] for one in same(run, other)}
    assert verdicts[run["cases"][0]["nodeid"]] == "UNDECIDED"


def found(run, *, each=0.2, starts=1, counted=None, factor=1.0):
    rows = [
        {"cases": size, "without": 10.0 + size, "with": 17.0 + (1 + each) * size, "starts": starts, "pass": 6.5, "counted": size if counted is None else counted}
        for size in (5, 20, 50)
    ]
    device = {"name": "NVIDIA H200", "driver": "580.159"}
    head = {"device": device, "ncu": "2025.3.1.0", "date": "2026-11-26", "commit": "abc", "metric": "sm__warps_launched.sum"}
    return head | {"rows": rows, "alone": [4.0, 4.2, 3.8, 4.1, 3.9], "pairs": same(run, moved(run, factor))}


def test_a_line_through_the_sizes(run):
    assert cost(found(run)) == pytest.approx((7.0, 0.2))


@pytest.mark.parametrize(
    ("over", "missed"),
    [({}, set()), ({"each": 0.31}, {0}), ({"starts": 2}, {1}), ({"counted": 4}, {2}), ({"factor": 1.1}, {3})],
)
def test_each_bar_can_be_missed(run, over, missed):
    assert {place for place, (_, _, kept) in enumerate(bars(found(run, **over))) if not kept} == missed


def test_what_is_extrapolated_is_labelled(run):
    text = "\n".join(lines_of(found(run)))
    assert "one ncu run a case (5 made, extrapolated)" in text
    assert "200 s" in text
    assert "MISSED" not in text
    assert "MISSED a case costs at most 0.3 s beside one start: 0.400 s a case, 7.0 s once" in "\n".join(lines_of(found(run, each=0.4)))
    page = page_of(found(run))
    assert "| 50 | 60.0 s | 77.0 s | 17.0 s | 0.34 s | 6.5 s | 1 | 200 s |" in page
    assert page.count("| yes |") == 4
