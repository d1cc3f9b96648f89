"""Strictness where other rules meet it: expected failures, and outputs that nobody could look at."""

from __future__ import annotations

from plugin_runs import run_pytest

UNDECIDED_XFAIL = """
    @pytest.mark.xfail(strict=False, reason="slower than it should be")
    @pytest.mark.gpuperf(time="<= 10.7 us")
    def test_edge(gpuperf, fake):
        gpuperf.measure(fake.kernel(10e-6))
"""


def test_an_undecided_case_under_xfail_is_skipped(pytester):
    done = run_pytest(pytester, UNDECIDED_XFAIL)
    assert (done.status, done.outcomes) == (0, {"skipped": 1})


def test_strict_wants_a_decision_of_an_expected_failure_too(pytester):
    done = run_pytest(pytester, UNDECIDED_XFAIL, "--gpuperf-strict=all")
    assert (done.status, done.outcomes) == (1, {"failed": 1})
    assert "straddles" in done.text


def test_an_expected_failure_that_is_seen_stays_one_under_strict(pytester):
    done = run_pytest(pytester, UNDECIDED_XFAIL.replace("10.7 us", "5 us"), "--gpuperf-strict=all")
    assert (done.status, done.outcomes) == (0, {"xfailed": 1})


def test_declared_outputs_that_nobody_could_digest_are_unmeasured(pytester):
    done = run_pytest(
        pytester,
        """
        def test_declared(gpuperf):
            gpuperf.measure(lambda: None, outputs=[object()])

        def test_nothing_declared(gpuperf):
            gpuperf.measure(lambda: None)
        """,
        conftest="",
    )
    assert done.case("::test_declared")["verdict"] == "UNMEASURED"
    assert [reason["subject"] for reason in done.case("::test_declared")["reasons"]] == ["outputs of main"]
    assert done.case("::test_nothing_declared")["verdict"] == "PASS"
