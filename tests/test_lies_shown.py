"""Attempts to make the page or a summary say what the record does not: each of these once was shown."""

from __future__ import annotations

import os
import random
import resource
import threading
from typing import TYPE_CHECKING, Any

import pytest
from compared_runs import measured, run_of
from plugin_runs import QUICK, run_pytest
from run_files import assemble, budget, case, identity_failure, make_run, reason, value

from pytest_gpuperf import showing
from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.records import runfile
from pytest_gpuperf.reference.compared import compare
from pytest_gpuperf.reference.history import keep
from pytest_gpuperf.reference.limits import read_limits
from pytest_gpuperf.reference.past import past
from pytest_gpuperf.report import findings as findings_module
from pytest_gpuperf.report import html, markdown_file
from pytest_gpuperf.report.beside import beside
from pytest_gpuperf.report.headline import headline, notices
from pytest_gpuperf.report.held import headed
from pytest_gpuperf.report.markdown import summary
from pytest_gpuperf.report.roofline import rooflines
from pytest_gpuperf.report.views import centre_mark, marks, picture, rows

if TYPE_CHECKING:
    from pathlib import Path

SLOW = "def test_a(gpuperf, fake):\n    gpuperf.measure(fake.kernel(5e-6))\n"


def made(verdict: str = "PASS", index: int = 1) -> dict[str, Any]:
    return case(index, verdict, random.Random(index))


def test_wrong_bits_are_no_pass_of_one_measurement_where_another_fails_too() -> None:
    wrong = identity_failure(1, random.Random(1))
    wrong["measurements"].append({**wrong["measurements"][0], "name": "other"})
    wrong["budgets"].append(budget("<= 1 us", "FAIL", measurement="other", margin=-3.0))
    run = assemble([wrong])
    assert {row.label.partition(",")[0]: row.verdict for row in rows(run, beside(run, None))} == {"main": "FAIL", "other": "FAIL"}


class TestMarks:
    @pytest.mark.parametrize("statistic", ["p50", "p95"])
    def test_a_limit_in_roofs_stands_at_so_many_roofs(self, statistic: str) -> None:
        one = made()
        values = one["measurements"][0]["values"]
        values |= {"time": value(50e-6, "s"), "time.p95": value(100e-6, "s")}
        own = values["time" if statistic == "p50" else "time.p95"]["number"]
        one["budgets"] = [budget(f"{statistic} <= 4 x roof", "PASS", statistic=statistic, unit="x roof", limit=4.0, value=own / 40e-6)]
        (mark,) = marks(one, one["measurements"][0])
        assert (mark.at, mark.upper) == (pytest.approx(160e-6), True)

    def test_a_limit_in_percent_of_the_roof_is_an_upper_one_of_times(self) -> None:
        one = made()
        one["measurements"][0]["values"]["time"] = value(50e-6, "s")
        one["budgets"] = [budget(">= 40 %", "PASS", op=">=", unit="%", limit=40.0, value=80.0)]
        (mark,) = marks(one, one["measurements"][0])
        assert (mark.at, mark.upper) == (pytest.approx(100e-6), True)

    def test_a_limit_on_a_tail_is_none_on_centres(self) -> None:
        one = made()
        one["budgets"] = [budget("p99 <= 90 us", "PASS", statistic="p99", limit=90e-6), budget("<= 70 us", "PASS", limit=70e-6)]
        found = centre_mark(one, one["measurements"][0])
        assert found is not None
        assert found.label == "<= 70 us"
        one["budgets"].pop()
        assert centre_mark(one, one["measurements"][0]) is None


def test_a_time_has_the_colour_of_its_own_limit_and_not_of_one_on_launches() -> None:
    one = made()
    one["verdict"] = "FAIL"
    one["budgets"].append(budget("== 1", "FAIL", quantity="launches", statistic="value", unit="1", limit=1.0, value=2.0, margin=-1.0))
    run = assemble([one])
    (row,) = rows(run, beside(run, None))
    assert row.verdict == "FAIL"
    assert ("v-PASS" in picture(row, None, beside(run, None)), "v-FAIL" in picture(row, None, beside(run, None))) == (True, False)


def test_progress_that_cannot_be_drawn_costs_no_measurement(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing.Shown, "form", "passing")
    monkeypatch.setattr(showing.Shown, "_show", lambda *_: 1 / 0)
    done = run_pytest(pytester, SLOW, QUICK)
    assert (done.status, done.case("test_a")["verdict"]) == (0, "PASS"), done.text


class TestHeadline:
    def test_a_failure_that_is_expected_fails_no_session(self) -> None:
        expected = made("FAIL", 2) | {"outcome": "skipped"}
        assert headline(assemble([made(), expected])) == ("PASS", "The only case passes; 1 fails as expected (xfail)")
        assert headline(assemble([expected])) == ("PASS", "1 case fails, as expected (xfail)")
        assert headline(assemble([made("FAIL"), expected]))[0] == "FAIL"
        assert "expected to fail (xfail)" in html.render(assemble([expected]))

    def test_a_failure_that_a_later_attempt_did_not_have_fails_no_session(self) -> None:
        first = made("FAIL")
        again = {**made(), "nodeid": first["nodeid"], "attempt": 2}
        assert headline(assemble([first, again])) == ("PASS", "The only case passes; 1 failed before a later attempt")
        assert headline(assemble([again | {"attempt": 1}, first | {"attempt": 2}])) == ("FAIL", "1 of 2 cases fails")

    def test_cases_that_did_not_run_are_no_pass(self) -> None:
        run = assemble([made()]) | {"not_run": [{"nodeid": "t.py::x", "budgets": 1}]}
        assert headline(run) == ("UNMEASURED", "No case fails, but 1 collected case did not run")
        assert headline(run | {"cases": []})[0] == "UNMEASURED"
        assert headline(run | {"cases": [made("FAIL")]})[0] == "FAIL"
        killed = assemble([made()])
        killed["run"]["complete"] = False
        assert headline(killed) == ("UNMEASURED", "No case fails, but the session did not end")

    def test_what_is_worse_than_the_base_is_not_said_to_be_worse_than_the_reference(self) -> None:
        before, now = run_of(measured("t.py::a", 50.0)), run_of(measured("t.py::a", 60.0), number=2)
        found = compare(now, before, read_limits("time:+5%"))
        assert headed(found, "PASS", "", "the base") == ("FAIL", "1 measurement is worse than the base by more than is allowed")


    def test_a_limit_that_strict_does_not_let_pass_is_no_pass_of_the_page(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        assert run_pytest(pytester, SLOW).status == 0
        gate = ("--gpuperf-compare=last", "--gpuperf-fail-on=time:+4.4%", "--gpuperf-summary=s.md")
        for strict, status, verdict in (((), 0, "PASS"), (("--gpuperf-strict",), 1, "FAIL")):
            done = run_pytest(pytester, SLOW.replace("5e-6", "5.25e-6"), *gate, *strict)
            assert done.status == status, done.text
            assert f"{verdict}: " in (pytester.path / "s.md").read_text(encoding="utf-8").splitlines()[0]
            assert f"<title>{verdict}: " in (done.path / "reports" / "latest.html").read_text(encoding="utf-8")
            assert ("::error file=test_it.py,line=" in done.text) == bool(strict)
            assert ("INCONCLUSIVE against the reference" in done.text) == bool(strict)


class TestNotices:
    def test_a_session_that_measured_nothing_is_not_said_to_have_no_gpu(self, pytester: pytest.Pytester) -> None:
        done = run_pytest(
            pytester, "import numpy as np\ndef test_a(gpuperf):\n    gpuperf.identical(np.ones(1), np.ones(1))\n", "--gpuperf-summary=s.md"
        )
        for text in (
            (pytester.path / "s.md").read_text(encoding="utf-8"),
            (done.path / "reports" / "latest.html").read_text(encoding="utf-8"),
        ):
            assert "Nothing was measured on a GPU in this run" in text
            assert "had no GPU" not in text
            assert "no GPU ·" not in text
        assert "no GPU ·" in summary(make_run(gpu=False))

    @pytest.mark.parametrize("status", [1, 2, 3])
    def test_the_page_says_that_a_session_failed_though_no_case_does(self, status: int) -> None:
        run = assemble([made(), made("FAIL", 2) | {"outcome": "skipped"}])
        run["run"]["exit_status"] = status
        assert any(line.startswith("The session ") for line in notices(run))
        assert "The session " in html.render(run).partition("</header>")[0]
        run["run"]["exit_status"] = 0
        assert not any(line.startswith("The session ") for line in notices(run))


def test_work_without_bytes_is_not_said_to_be_no_work() -> None:
    one, other = made(), made(index=2)
    one["measurements"][0]["work"] |= {"reads": 0, "writes": 0, "flops": 1000}
    found = rooflines(assemble([one, other]))
    assert found is not None
    assert "1 measurement without bytes in its work= is not in it" in found.remark


@pytest.mark.parametrize("seconds", [-1e-9, 0.0, 1e-320])
def test_a_time_or_a_roof_of_nothing_has_no_place_and_costs_no_page(seconds: float) -> None:
    one, other, third = made(), made(index=2), made(index=3)
    one["measurements"][0]["roofs"] = [{"of": "bytes", "how": "move", "time": value(seconds, "s")}]
    other["measurements"][0]["values"]["time"] = value(seconds, "s")
    found = rooflines(assemble([one, other, third]))
    assert found is not None
    assert (found.bodies, found.farthest) == (2, ())
    assert "<main>" in html.render(assemble([one, other, third]))


def test_a_history_of_one_model_is_not_drawn_for_a_case_on_another(tmp_path: Path) -> None:
    keep(run_of(measured("t.py::a"), number=1), tmp_path)
    now = run_of(measured("t.py::a"), number=9)
    assert list(past(now, tmp_path)[0]) == [("t.py::a", "main")]
    now["devices"].append({**now["devices"][0], "uuid": "GPU-2", "name": "NVIDIA H100"})
    now["cases"].insert(0, {**now["cases"][0], "device": "GPU-2"})
    assert past(now, tmp_path)[0] == {}


def test_what_is_worse_than_the_base_is_annotated_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    before, now = run_of(measured("t.py::a", 50.0)), run_of(measured("t.py::a", 60.0), number=2)
    found = compare(now, before, read_limits("time:+5%"))
    monkeypatch.setattr(findings_module, "held_to_base", lambda _: found)
    told = findings_module.findings(now, found)
    assert [one.title.partition(":")[0] for one in told] == ["worse than the base", "worse than the reference"]
    # One of two with one fingerprint is not shown.
    assert len({(one.kind, one.nodeid) for one in told}) == 2


class TestOutputs:
    def test_a_page_that_cannot_be_drawn_costs_neither_summary_nor_run_file(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(html, "render", lambda *_: 1 / 0)
        page = pytester.path / "reports" / "latest.html"
        page.parent.mkdir()
        page.write_text("of an earlier session")
        done = run_pytest(pytester, SLOW, QUICK, "--gpuperf-summary=s.md")
        assert done.status not in {0, 1}
        assert ("\npage: " in done.text, "\nsummary: s.md" in done.text, "\nrun file: " in done.text) == (False, True, True)
        assert "latest.html: ZeroDivisionError: division by zero; please report this" in done.text
        assert done.run is not None
        assert "The only case passes" in (pytester.path / "s.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("options", [("--gpuperf-json=one", "--gpuperf-summary=./one"), ("--gpuperf-json=reports/latest.html",)])
    def test_two_outputs_at_one_path_are_refused_before_anything_runs(self, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
        done = run_pytest(pytester, SLOW, *options)
        assert done.status not in {0, 1}
        assert " name one file, " in done.text
        assert "1 passed" not in done.text

    def test_the_step_s_own_file_is_added_to_once_and_never_replaced(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = pytester.path / "step.md"
        step.write_text("# Earlier\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
        assert run_pytest(pytester, SLOW, QUICK, "--gpuperf-summary=step.md").status == 0
        text = step.read_text(encoding="utf-8")
        assert text.startswith("# Earlier\n")
        assert text.count("The only case passes") == 1

    def test_a_disk_that_fills_up_leaves_no_half_of_a_summary(self, tmp_path: Path) -> None:
        target, limits = tmp_path / "step.md", resource.getrlimit(resource.RLIMIT_FSIZE)
        target.write_text("# Earlier\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(RunFileError, match=r"only 990 of \d.* bytes found room"):
                markdown_file.append(make_run(), target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert target.read_text() == "# Earlier\n"

    @pytest.mark.parametrize("write", [html.write, runfile.write])
    def test_what_is_no_file_is_written_to_and_not_replaced(self, tmp_path: Path, write: Any) -> None:
        pipe, got = tmp_path / "pipe", []
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
        reader.start()
        write(assemble([made()]), pipe)
        reader.join(5)
        assert pipe.is_fifo()
        assert got
        assert len(got[0]) > 1000


def test_reasons_stand_in_for_a_gpu_that_is_not_there() -> None:
    run = assemble([made() | {"reasons": [reason("no-gpu")]}], gpu=False)
    assert any("This run had no GPU" in line for line in notices(run))
