"""The cards of failures, and rows that measured nothing."""

from __future__ import annotations

import random

from curve_runs import sizes_with_holes
from run_files import assemble, case

from pytest_gpuperf.report import views
from pytest_gpuperf.report.beside import beside
from pytest_gpuperf.report.curves import curves
from pytest_gpuperf.report.details import drawn
from pytest_gpuperf.report.html import render
from pytest_gpuperf.report.markdown import summary
from pytest_gpuperf.report.terminal import summary_lines


def test_a_row_that_measured_nothing_says_what_is_wrong() -> None:
    wrong = {"kind": "identical", "name": "identical 1", "verdict": "FAIL", "detail": "NotIdentical: bits differ: 6 of 512 elements, first at [0]"}
    run = assemble([{**case(3, "FAIL", random.Random(1)), "measurements": [], "budgets": [], "checks": [wrong]}])
    (row,) = views.rows(run, beside(run, None))
    assert row.budget == "bits differ: 6 of 512 elements"
    assert "<wbr>" in render(run)


def test_failures_of_one_function_that_measured_nothing_share_a_card_and_keep_their_links() -> None:
    wrong = {"kind": "identical", "name": "identical 1", "verdict": "FAIL", "detail": "bits differ: 6 of 512 elements"}
    cases = [
        {**case(3, "FAIL", random.Random(1)), "nodeid": f"t.py::test_bits[{place}]", "measurements": [], "budgets": [], "checks": [{**wrong, "detail": f"bits differ: {place}"}]}
        for place in range(4)
    ]
    page = render(assemble([*cases, case(4, "FAIL", random.Random(2))]))
    section = page[page.index('<section id="failures">') : page.index('<section id="all">')]
    assert section.count("<article") == 2
    assert "3 more cases of this function" in section
    for place in range(4):
        assert f'id="t=t.py::test_bits[{place}]"' in section
        assert f"bits differ: {place}" in section


def test_a_measurement_that_is_a_point_of_a_curve_shows_the_curve() -> None:
    run = assemble(sizes_with_holes())
    (row,) = [row for row in drawn(views.rows(run, beside(run, None)), run, beside(run, None), {}) if row.case is run["cases"][0]]
    assert row.whole is not None
    (figure,) = [one for one in row.whole.right if "of which this is a point" in one.caption]
    assert figure.svg == curves(run)[0].pictures[0][1]
    alone = assemble([case(3, "PASS", random.Random(1))])
    (row,) = drawn(views.rows(alone, beside(alone, None)), alone, beside(alone, None), {})
    assert not any("of which this is a point" in one.caption for one in row.whole.right)


def test_a_case_of_hundreds_of_failed_checks_tells_the_first_and_counts_the_others() -> None:
    checks = [{"kind": "identical", "name": f"identical {place}", "verdict": "FAIL", "detail": f"bits differ: {place}"} for place in range(1, 217)]
    run = assemble([{**case(3, "FAIL", random.Random(1)), "nodeid": "t.py::test_bits", "measurements": [], "budgets": [], "checks": checks}])
    card = render(run)
    card = card[card.index('<section id="failures">') : card.index('<section id="all">')]
    lines = [text for text, _ in summary_lines(run) if text.startswith("FAIL ")]
    for told in (card, "\n".join(lines), summary(run)):
        assert "bits differ: 8" in told
        assert "bits differ: 9" not in told
        assert "and 208 more failed checks or limits of this case" in told
    assert len([text for text, _ in summary_lines(run, 1) if text.startswith("FAIL ")]) == 216
