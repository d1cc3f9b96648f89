"""The merge: one run out of journals, and an account that adds up whatever happened."""

from __future__ import annotations

import pytest
from record_events import FIRST, GPU, SECOND, THIRD, case, journal, judged, limit, start, sums
from run_files import make_run

from pytest_gpuperf.reasons import REASONS
from pytest_gpuperf.records.account import account_problems
from pytest_gpuperf.records.merge import combine, merge
from pytest_gpuperf.records.schema import validate


class TestMerge:
    def test_what_a_recorder_left_out_is_null_or_empty(self, tmp_path):
        value = {"unit": "s", "number": None, "reason": {"code": "no-gpu", "verdict": "UNMEASURED", "sentence": "x", "next_step": "y"}}
        found = case(FIRST, judged(), measurements=[{"name": "main", "varies": False, "values": {"time": value}}])
        del found["checks"], found["line"]
        run = merge([journal(tmp_path / "a.jsonl", ("case", found))])
        assert validate(run) == []
        (measurement,) = run["cases"][0]["measurements"]
        assert (measurement["samples"], measurement["notes"], measurement["values"]["time"]["low"]) == (None, [], None)
        assert (run["cases"][0]["checks"], run["cases"][0]["line"]) == ([], None)

    def test_one_session(self, tmp_path):
        done = [("device", {"uuid": GPU, "name": "NVIDIA H200", "sm_count": 132}), start(FIRST), ("case", case(FIRST, judged()))]
        run = merge([journal(tmp_path / "a.jsonl", *done)])
        assert validate(run) == []
        assert run["run"]["complete"]
        assert run["run"]["ended"] == "2026-11-21T10:16:00Z"
        assert run["devices"][0]["l2_bytes"] is None
        assert run["collected"] == {"cases": 3, "budgets": 4}
        assert run["account"] == {"collected": 4, "PASS": 1, "FAIL": 0, "INCONCLUSIVE": 0, "UNMEASURED": 3, "NOT-APPLICABLE": 0, "deselected": 0}
        assert run["not_run"] == [{"nodeid": SECOND, "budgets": 1}, {"nodeid": THIRD, "budgets": 2}]
        assert sums(run)

    def test_a_start_without_an_end_is_interrupted_and_its_budgets_are_there(self, tmp_path):
        run = merge([journal(tmp_path / "a.jsonl", start(THIRD, file="t.py", line=9), end=False)])
        (found,) = run["cases"]
        assert (found["verdict"], found["outcome"], found["duration_s"], found["line"]) == ("UNMEASURED", None, None, 9)
        assert [(budget["quantity"], budget["verdict"], budget["reason"]["code"]) for budget in found["budgets"]] == [
            ("time", "UNMEASURED", "interrupted"),
            ("bandwidth", "UNMEASURED", "interrupted"),
        ]
        assert found["reasons"][0]["code"] == "interrupted"
        assert validate(run) == []
        assert sums(run)

    def test_an_interrupted_case_without_budgets_has_its_reason_too(self, tmp_path):
        run = merge([journal(tmp_path / "a.jsonl", start(FIRST, duration_s=3.0), items=((FIRST, []),), end=False)])
        assert [reason["code"] for reason in run["cases"][0]["reasons"]] == ["interrupted"]
        assert run["cases"][0]["duration_s"] is None
        assert run["account"]["collected"] == 0

    @pytest.mark.parametrize(("outcome", "code"), [("passed", "no-measurement"), ("failed", "body-failed"), ("skipped", "skipped")])
    def test_a_collected_budget_that_nobody_judged_is_accounted_for(self, tmp_path, outcome, code):
        run = merge([journal(tmp_path / "a.jsonl", ("case", case(THIRD, judged(), outcome=outcome)))])
        (found,) = run["cases"]
        assert [budget["verdict"] for budget in found["budgets"]] == ["PASS", "UNMEASURED"]
        assert found["budgets"][1]["quantity"] == "bandwidth"
        assert found["reasons"][0]["code"] == code
        assert code in {row.code for row in REASONS}
        assert found["verdict"] == "UNMEASURED"
        assert sums(run)

    def test_one_of_a_list_of_limits_that_was_not_judged_is_missed(self, tmp_path):
        items = ((FIRST, [limit(), limit(text=">= 5 us")]),)
        run = merge([journal(tmp_path / "a.jsonl", ("case", case(FIRST, judged(text=">= 5 us"))), items=items)])
        assert [(budget["text"], budget["verdict"]) for budget in run["cases"][0]["budgets"]] == [(">= 5 us", "PASS"), ("<= 12 us", "UNMEASURED")]
        assert run["account"]["collected"] == 2
        assert sums(run)

    def test_a_limit_by_device_asks_for_one_verdict(self, tmp_path):
        items = ((FIRST, [limit(glob="H200"), limit(glob="*", text="<= 1.3 x roof")]), (SECOND, [limit(glob="H200"), limit(glob="*")]))
        run = merge([journal(tmp_path / "a.jsonl", ("case", case(FIRST, judged(glob="*", text="<= 1.3 x roof"))), items=items)])
        assert run["account"] | {"collected": 2, "PASS": 1, "UNMEASURED": 1} == run["account"]
        assert sums(run)

    def test_budgets_of_the_test_itself_are_counted_too(self, tmp_path):
        own = judged(origin="budget=", text="<= 9 us")
        items = ((FIRST, [limit(), limit(text=">= 1 us")]),)
        cases = [case(FIRST, own, judged(quantity="bandwidth", origin="budget="))]
        run = merge([journal(tmp_path / "a.jsonl", *(("case", found) for found in cases), items=items)])
        assert [budget["verdict"] for budget in run["cases"][0]["budgets"]] == ["PASS", "PASS"]
        assert run["account"]["collected"] == 2
        assert sums(run)

    def test_what_the_test_requires_on_the_spot_stands_for_no_limit_of_its_marker(self, tmp_path):
        found = case(FIRST, judged(origin="require"))
        run = merge([journal(tmp_path / "a.jsonl", ("case", found), items=((FIRST, [limit()]),))])
        assert [(budget["origin"], budget["verdict"]) for budget in run["cases"][0]["budgets"]] == [("require", "PASS"), ("function marker", "UNMEASURED")]
        assert run["account"]["collected"] == 2
        assert sums(run)

    def test_a_marker_on_several_measurements_is_judged_for_each(self, tmp_path):
        run = merge([journal(tmp_path / "a.jsonl", ("case", case(FIRST, judged(measurement="base"), judged(measurement="nwor"))), items=((FIRST, [limit()]),))])
        assert run["account"]["PASS"] == run["account"]["collected"] == 2
        assert sums(run)

    def test_xdist_workers_collect_the_same_once_and_run_in_any_order(self, tmp_path):
        items = tuple((f"{nodeid}@gpu0", [limit()]) for nodeid in (FIRST, SECOND, THIRD))
        gone = ("deselected", [{"nodeid": "t.py::test_z", "budgets": 2}])
        one = [gone, start(THIRD + "@gpu0"), ("case", case(THIRD + "@gpu0", judged(), worker="gw10"))]
        two = [gone, start(SECOND + "@gpu0"), ("case", case(SECOND + "@gpu0", judged("FAIL"), worker="gw9", outcome="failed", verdict="FAIL"))]
        ends = {"items": items, "end": False}
        paths = [
            journal(tmp_path / "gw10.jsonl", *one, worker="gw10", **ends),
            journal(tmp_path / "gw9.jsonl", *two, worker="gw9", **ends),
            journal(tmp_path / "main.jsonl", items=()),
        ]
        run = merge(paths)
        assert [found["nodeid"] for found in run["cases"]] == [SECOND, THIRD]
        assert run["run"]["workers"] == ["gw9", "gw10"]
        assert run["run"]["complete"]
        assert run["collected"] == {"cases": 4, "budgets": 5}
        assert run["account"] | {"PASS": 1, "FAIL": 1, "UNMEASURED": 1, "deselected": 2, "collected": 5} == run["account"]
        assert sums(run)
        assert run == merge(paths[::-1]) | {"notes": run["notes"]}

    def test_a_case_that_runs_again_counts_once(self, tmp_path):
        again = case(FIRST, judged(), started="2026-11-21T10:15:09Z")
        run = merge([journal(tmp_path / "a.jsonl", start(FIRST), ("case", case(FIRST, judged("FAIL"))), start(FIRST), ("case", again), items=((FIRST, [limit()]),))])
        assert [(found["attempt"], found["budgets"][0]["verdict"]) for found in run["cases"]] == [(1, "FAIL"), (2, "PASS")]
        assert run["account"] | {"collected": 1, "PASS": 1, "FAIL": 0} == run["account"]
        assert sums(run)

    def test_a_worker_that_crashed_and_its_replacement(self, tmp_path):
        one = journal(tmp_path / "gw0.jsonl", start(FIRST, device="GPU-0"), worker="gw0", end=False, items=((FIRST, [limit()]),))
        redone = case(FIRST, judged(), started="2026-11-21T10:15:30Z", worker="gw1")
        two = journal(tmp_path / "gw1.jsonl", start(FIRST), ("case", redone), worker="gw1", items=((FIRST, [limit()]),))
        run = merge([two, one])
        assert [(found["attempt"], found["worker"], found["verdict"]) for found in run["cases"]] == [(1, "gw0", "UNMEASURED"), (2, "gw1", "PASS")]
        assert run["account"] | {"collected": 1, "PASS": 1, "UNMEASURED": 0} == run["account"]
        assert sums(run)

    def test_the_same_case_on_two_devices_counts_on_each(self, tmp_path):
        one = journal(tmp_path / "gw0.jsonl", ("case", case(FIRST, judged(), device="GPU-0")), items=((FIRST, [limit()]),))
        two = journal(tmp_path / "gw1.jsonl", ("case", case(FIRST, judged("FAIL"), device="GPU-1", verdict="FAIL")), items=((FIRST, [limit()]),))
        run = merge([one, two])
        assert run["account"] | {"collected": 2, "PASS": 1, "FAIL": 1} == run["account"]
        assert sums(run)

    def test_a_contradiction_in_the_account_is_said(self):
        run = make_run()
        run["account"]["PASS"] += 1
        assert any("are accounted for" in line for line in account_problems(run))
        assert any(line.startswith("account: PASS is ") for line in account_problems(run))

    def test_shards(self, tmp_path):
        skipped = ("deselected", [{"nodeid": SECOND, "budgets": 1}])
        other = ("deselected", [{"nodeid": FIRST, "budgets": 1}])
        one = merge([journal(tmp_path / "a.jsonl", skipped, ("case", case(FIRST, judged())), items=((FIRST, [limit()]),))])
        two = merge([journal(tmp_path / "b.jsonl", other, ("case", case(SECOND, judged())), items=((SECOND, [limit()]),))])
        whole = combine([one, two])
        assert validate(whole) == []
        assert whole["account"] | {"collected": 2, "PASS": 2, "deselected": 0} == whole["account"]
        assert whole["notes"] == []
        twice = combine([one, one])
        assert [found["attempt"] for found in twice["cases"]] == [1, 2]
        assert twice["account"] | {"collected": 2, "PASS": 1, "deselected": 1} == twice["account"]
        assert twice["notes"] == ["1 cases are in more than one of the merged runs; they are kept as attempts, and the last one counts"]
        assert sums(whole)
        assert sums(twice)
