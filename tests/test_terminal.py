"""The terminal's summary."""

from __future__ import annotations

import random
import re

from run_files import assemble, case, make_run

from pytest_gpuperf.report.terminal import summary_lines


def lines(run: dict[str, object], verbosity: int = 0) -> list[str]:
    return [text for text, _ in summary_lines(run, verbosity)]


def test_failures_stand_first_one_line_each_worst_margin_first() -> None:
    run = make_run(failed=5)
    told = lines(run)
    assert [line.startswith("FAIL ") for line in told[:6]] == [True] * 5 + [False]
    assert "bits differ: 37 of 1,048,576" in told[0]
    over = [float(found[1]) for line in told[1:5] if (found := re.search(r"by ([\d.]+) %", line))]
    assert over == sorted(over, reverse=True)
    assert len(over) == 4


def test_the_five_budgets_nearest_to_their_limits_follow() -> None:
    run = make_run(passed=30)
    told = lines(run)
    start = told.index("nearest to their limits:")
    margins = [float(line.split()[0]) for line in told[start + 1 : start + 6]]
    held = sorted(row["margin"] for entry in run["cases"] for row in entry["budgets"] if row["verdict"] == "PASS")
    assert [round(margin / 100, 6) for margin in margins] == [float(f"{margin:.3e}") for margin in held[:5]]
    assert not told[start + 6].startswith("  ")


def test_no_budget_that_holds_means_no_such_heading() -> None:
    assert "nearest to their limits:" not in lines(assemble([case(1, "FAIL", random.Random(1))]))


def test_the_account_is_last_and_sums() -> None:
    assert lines(make_run())[-1] == (
        "account: collected 36 budgets = 25 PASS + 3 FAIL + 3 INCONCLUSIVE + 2 UNMEASURED + 1 NOT-APPLICABLE + 2 deselected"
    )
    run = make_run()
    run["account"]["collected"] += 1
    assert lines(run)[-1].endswith("the record does not add up, +1 unaccounted")


def test_reasons_come_with_their_next_step_and_are_cut() -> None:
    told = lines(make_run(gpu=False, passed=9))
    at = told.index("UNMEASURED no-gpu (9): no NVIDIA GPU is visible to this process; next: run on a machine with a GPU and its driver")
    assert told[at + 4] == "    and 6 more"
    assert "    and 6 more" not in lines(make_run(gpu=False, passed=9), verbosity=1)


def test_a_pass_of_the_simulator_is_said_to_be_one() -> None:
    assert "6 PASS (6 in the simulator)" in lines(make_run(gpu=False))[-2]


def test_no_line_can_be_broken_or_recoloured_by_a_node_id() -> None:
    row = case(1, "FAIL", random.Random(1)) | {"nodeid": "t.py::x[\x1b[31m\n\u202e]"}
    for text in lines(assemble([row])):
        assert text.isprintable()


def test_an_interrupted_session_says_so() -> None:
    run = make_run()
    run["run"]["complete"] = False
    run["not_run"] = [{"nodeid": "t.py::a", "budgets": []}, {"nodeid": "t.py::b", "budgets": []}]
    assert "the session did not end: this is what its journal holds" in lines(run)
    assert "2 collected cases did not run before the session ended (UNMEASURED not-run in the account)" in lines(run)


def test_many_failures_are_cut_without_verbosity_only() -> None:
    run = make_run(failed=60, passed=0, undecided=0)
    assert sum(line.startswith("FAIL ") for line in lines(run)) == 50
    assert "and 10 more failures (all of them with -v, and on the page)" in lines(run)
    assert sum(line.startswith("FAIL ") for line in lines(run, 1)) == 60
