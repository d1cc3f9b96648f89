"""A comparison on the page: a bar a version, drawn inside its picture, shown once."""

from __future__ import annotations

import random
import re

import pytest
from run_files import assemble, budget, case

from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.report import html
from pytest_gpuperf.report.compared import compared
from pytest_gpuperf.report.svg_bars import Bar, bars


def ratio(of, number, spread=0.02, why=None):
    value = {"unit": "x", "source": "device", "number": number, "low": None, "high": None, "systematic": None, "reason": None}
    if number is None:
        value["reason"] = {"code": why, "verdict": "UNMEASURED", "sentence": "", "next_step": "", "subject": ""}
    else:
        value |= {"low": number * (1 - spread), "high": number * (1 + spread), "systematic": 0.01}
    return {"of": of, "over": "loop", "value": value}


def compared_case(**over):
    row = case(1, "PASS", random.Random(1))
    main = row["measurements"][0]
    row["measurements"] = [{**main, "name": f"race/{name}"} for name in ("loop", "kernel", "<b>graph")]
    row["comparisons"] = [
        {"name": "race", "quantity": "time", "source": "device", "versions": ["loop", "kernel", "<b>graph"], "seed": 7, "blocks": 20, "order": [[0, 1, 2, 2, 1, 0]] * 20,
         "ratios": [ratio("kernel", 2.0), ratio("<b>graph", 3.0)], "notes": [], **over}
    ]  # fmt: skip
    row["budgets"] = [budget(">= 2.5", "FAIL", measurement="race/kernel over loop", quantity="speedup", op=">=", limit=2.5, unit="x", value=2.0, origin="require")]
    return row


def test_it_is_shown_once_with_its_limits_and_escaped():
    run = assemble([compared_case()])
    assert validate(run) == []
    page = html.render(run)
    table = page[page.index('id="data"') :]
    assert table.count("random ABBA blocks") <= 1
    assert "<b>graph" not in page
    row = run["cases"][0]
    (shown,) = compared(row, row["measurements"][0])
    assert shown.labels == ("race/kernel over loop",)
    assert 'class="dist v-FAIL"' in shown.picture
    assert shown.picture.count('class="whisker"') == 2
    assert shown.picture.count('class="limit"') == 1
    assert "&lt;b&gt;graph" in shown.picture
    assert compared(row, row["measurements"][1]) == []
    assert compared(row, None) == []
    assert compared(case(2, "PASS", random.Random(1)), {"name": "main"}) == []


def test_the_interval_of_a_bar_holds_the_systematic_part():
    (shown,) = compared(compared_case(), {"name": "race/loop"})
    assert "1.950..2.050 x" in shown.picture


def test_a_version_without_a_number_says_why():
    row = compared_case(ratios=[ratio("kernel", None, why="no-gpu")], blocks=0, notes=["a note"])
    (shown,) = compared(row, {"name": "race/loop"})
    assert "UNMEASURED no-gpu" in shown.picture
    assert "UNMEASURED without a reason" in shown.picture
    assert shown.caption == "race: speedup of time over loop; a note"


@pytest.mark.parametrize(
    "rows",
    [
        [Bar("a", 1.0)],
        [Bar("a", 1.0), Bar("b", 0.0, -1.0, 0.1)],
        [Bar("a", 1.0), Bar("b", 1e9, 0.9e9, 1.1e9, limit=2.0)],
        [Bar("a", 1.0), Bar("b" * 200, 1e-9, 0.9e-9, 1.1e-9, limit=1e12)],
        [Bar("a", 1.0), Bar("b", None, why="UNMEASURED sync")],
    ],
)
def test_bars_stay_inside_whatever_the_ratios_are(rows):
    drawn = bars(rows)
    assert "nan" not in drawn
    places = [float(x) for x in re.findall(r"[MH](-?[\d.]+)", drawn)]
    assert all(0 <= x <= 460 for x in places)


def test_a_longer_bar_is_a_larger_ratio():
    ends = [float(x) for x in re.findall(r'class="bars" d="M[\d.]+ [\d.]+H([\d.]+)', bars([Bar("a", 1.0), Bar("b", 2.0), Bar("c", 4.0)]))]
    start = 112.0
    assert [(end - start) / (ends[0] - start) for end in ends] == pytest.approx([1.0, 2.0, 4.0], rel=0.01)
