"""Outcomes: what a case with budgets comes to in pytest's own words."""

from __future__ import annotations

import re

from plugin_runs import NO_GPU, run_pytest

# The limit of 5.7 us stands inside the interval of a body of 5 us and 0.7 us of launch share.
STRADDLES = """
@pytest.mark.gpuperf(time="<= 5.7 us")
def test_near(gpuperf, fake):
    gpuperf.measure(fake.kernel(5e-6))
"""
SYNCHRONISES = """
@pytest.mark.gpuperf(time="<= 12 us")
def test_sync(gpuperf, fake):
    kernel = fake.kernel(5e-6)
    def body():
        kernel()
        fake.synchronize(0)
    gpuperf.measure(body)
"""


def test_a_kept_budget_passes(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 12 us", host_time="<= 1 ms")
        def test_kept(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert (done.status, done.outcomes) == (0, {"passed": 1})
    assert done.account == {"collected": 2, "PASS": 2}
    assert "1 case: 1 PASS" in done.text
    assert done.case("test_kept")["verdict"] == "PASS"


def test_all_failed_limits_are_listed_together_in_one_error(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time=["<= 4 us", "<= 5 us", "<= 12 us"], wall_time="<= 1 us")
        def test_slow(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert (done.status, done.outcomes) == (1, {"failed": 1})
    assert done.account == {"collected": 4, "PASS": 1, "FAIL": 3}
    section = done.text.partition("= FAILURES =")[2].partition("= gpuperf =")[0]
    lines = section.splitlines()[2:-1]
    interval = r"\(95 % interval [\d.]+\.\.[\d.]+, "
    device = interval + r"5 samples in 5 rounds, device clock, cold, SM 1980 MHz\)"
    shapes = (
        r"time: 5\.[67]\d\d us exceeds 4\.000 us by 4[12]\.\d % " + device,
        r"time: 5\.[67]\d\d us exceeds 5\.000 us by 1[34]\.\d % " + device,
        r"wall_time: 8\.\d+ us exceeds 1\.000 us by 7\d\d\.\d % " + interval + r"\d+ samples, host clock\)",
    )
    assert len(lines) == len(shapes), f"nothing but the limits, no frame and no source: {section}"
    assert all(re.fullmatch(shape, line) for shape, line in zip(shapes, lines, strict=True)), section


def test_the_error_of_the_body_comes_first_and_carries_the_budgets(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 4 us", wall_time="<= 1 s")
        def test_wrong(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
            assert 1 == 2, "the result is wrong"
        """,
    )
    assert done.outcomes == {"failed": 1}
    errors = [line for line in done.text.splitlines() if line.startswith("E  ")]
    assert errors[0] == "E       AssertionError: the result is wrong"
    note = next(line for line in errors if "and its budgets: time: " in line)
    assert "exceeds 4.000 us" in note
    assert done.account == {"collected": 2, "PASS": 1, "FAIL": 1}
    assert done.case("test_wrong")["error"].startswith("AssertionError: the result is wrong")


def test_a_body_that_fails_before_it_measures_leaves_no_budget_unaccounted(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 4 us", of="late")
        @pytest.mark.gpuperf(time="<= 4 us")
        def test_early(gpuperf, fake):
            assert fake is None
        """,
    )
    assert done.outcomes == {"failed": 1}
    assert done.account == {"collected": 2, "UNMEASURED": 2}
    assert done.case("test_early")["verdict"] == "FAIL"
    assert done.codes["test_early"] == ["body-failed", "body-failed"]


def test_unmeasured_and_inconclusive_are_categories_of_their_own(pytester):
    done = run_pytest(pytester, STRADDLES + SYNCHRONISES + "\ndef test_plain():\n    pass\n")
    assert done.status == 0
    assert done.outcomes == {"passed": 1, "inconclusive": 1, "unmeasured": 1}
    assert done.text.splitlines()[-1].count("1 unmeasured") == 1
    assert done.codes == {"test_near": ["straddles"], "test_sync": ["sync"]}
    assert "2 cases: 1 INCONCLUSIVE, 1 UNMEASURED" in done.text


def test_verbose_says_the_verdict_of_every_case(pytester):
    done = run_pytest(pytester, STRADDLES + SYNCHRONISES, "-v")
    assert "test_it.py::test_near INCONCLUSIVE" in done.text
    assert "test_it.py::test_sync UNMEASURED" in done.text


def test_strict_unmeasured_fails_the_one_and_not_the_other(pytester):
    done = run_pytest(pytester, STRADDLES + SYNCHRONISES, "--gpuperf-strict=unmeasured")
    assert (done.status, done.outcomes) == (1, {"failed": 1, "inconclusive": 1})
    assert "UNMEASURED sync: the body synchronises with the host" in done.text
    assert done.case("test_sync")["outcome"] == "failed"
    assert done.account == {"collected": 2, "INCONCLUSIVE": 1, "UNMEASURED": 1}, "strict changes the outcome, not what is known of a budget"


def test_bare_strict_fails_both(pytester):
    done = run_pytest(pytester, STRADDLES + SYNCHRONISES, "--gpuperf-strict")
    assert (done.status, done.outcomes) == (1, {"failed": 2})


def test_strict_of_the_ini_file_counts(pytester):
    done = run_pytest(pytester, SYNCHRONISES, files={"pytest.ini": "[pytest]\ngpuperf_strict = unmeasured\n"})
    assert (done.status, done.outcomes) == (1, {"failed": 1})


def test_a_printed_measurement_is_one_short_line(pytester):
    done = run_pytest(
        pytester,
        """
        def test_printed(gpuperf, fake):
            print(gpuperf.measure(fake.kernel(5e-6)))
        """,
        "-s",
    )
    assert re.search(r"Measurement\('main': 5\.\d+ us \[5\.\d+ us \.\. 5\.\d+ us\], device\)$", done.text, re.MULTILINE), done.text


def test_xfail_sees_an_exceeded_budget(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.xfail(strict=True)
        @pytest.mark.gpuperf(time="<= 4 us")
        def test_known(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        @pytest.mark.xfail(strict=True, raises=BudgetExceeded)
        @pytest.mark.gpuperf(time="<= 4 us")
        def test_known_by_type(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        @pytest.mark.xfail(strict=True)
        @pytest.mark.gpuperf(time="<= 12 us")
        def test_mended(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
        """,
    )
    assert done.outcomes == {"xfailed": 2, "failed": 1}
    assert "FAIL (xfail) test_it.py::test_known  time: 5" in done.text
    assert "FAIL test_it.py::test_mended" in done.text
    assert "[XPASS(strict)]" in done.text
    assert done.account == {"collected": 3, "PASS": 1, "FAIL": 2}


def test_an_undecided_case_under_xfail_is_skipped_with_its_reason_and_never_xpass(pytester):
    strict = "@pytest.mark.xfail(strict=True)\n"
    loose = "@pytest.mark.xfail(strict=False)\n"
    text = strict + STRADDLES.strip() + "\n\n" + loose + SYNCHRONISES.strip() + "\n"
    done = run_pytest(pytester, text, "-rs")
    assert (done.status, done.outcomes) == (0, {"skipped": 2}), done.text
    assert "INCONCLUSIVE straddles" in done.text
    assert "UNMEASURED sync" in done.text
    assert done.account == {"collected": 2, "INCONCLUSIVE": 1, "UNMEASURED": 1}


def test_a_swallowed_comparison_marks_the_case_all_the_same(pytester):
    done = run_pytest(
        pytester,
        """
        def test_swallowed(gpuperf, fake):
            m = gpuperf.measure(fake.kernel(5e-6))
            try:
                assert m.time < 5.7e-6
            except Inconclusive:
                pass

        def test_swallowed_hole(gpuperf, fake):
            m = gpuperf.measure(fake.kernel(5e-6))
            with pytest.raises(Unmeasured):
                float(m.time.p99)
            assert m.time < 12e-6
        """,
    )
    assert done.outcomes == {"inconclusive": 1, "unmeasured": 1}
    assert done.codes == {"test_swallowed": ["straddles"], "test_swallowed_hole": ["too-few-samples"]}
    (reason,) = done.case("test_swallowed")["reasons"]
    assert reason["subject"].startswith("test_it.py:")
    assert "assert m.time < 5.7e-6" in reason["subject"]


def test_what_was_checked_before_counts(pytester):
    done = run_pytest(
        pytester,
        """
        import numpy as np
        def test_first(gpuperf, fake):
            m = gpuperf.measure(fake.kernel(5e-6))
            gpuperf.identical(np.zeros(3), np.zeros(3))
            assert m.time.p99 < 12e-6
            assert False, "never reached"
        """,
    )
    assert done.outcomes == {"unmeasured": 1}
    (check,) = done.case("test_first")["checks"]
    assert (check["kind"], check["verdict"]) == ("identical", "PASS")


def test_a_limit_for_another_device_never_fails(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time={"H200": "<= 1 us"})
        def test_elsewhere(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))

        @pytest.mark.gpuperf(time={"H200": "<= 1 us"}, wall_time="<= 1 s")
        def test_partly(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
        """,
        "--gpuperf-strict",
    )
    assert (done.status, done.outcomes) == (0, {"passed": 2})
    assert done.account == {"collected": 3, "PASS": 1, "NOT-APPLICABLE": 2}
    assert [done.case("test_elsewhere")["verdict"], done.case("test_partly")["verdict"]] == ["NOT-APPLICABLE", "PASS"]


NEEDS_GPU = """
@pytest.fixture
def staged():
    raise RuntimeError("touches CUDA")

@pytest.mark.gpuperf(gpu=True, time="<= 12 us")
def test_needs(gpuperf, staged):
    gpuperf.measure(staged)
"""


def test_a_case_that_needs_a_gpu_ends_before_its_fixtures(pytester):
    done = run_pytest(pytester, NEEDS_GPU, "-rs", conftest=NO_GPU)
    assert (done.status, done.outcomes) == (0, {"unmeasured": 1}), done.text
    assert "touches CUDA" not in done.text
    assert done.account == {"collected": 1, "UNMEASURED": 1}
    assert done.codes == {"test_needs": ["no-gpu", "no-gpu"]}, "once for the case, once for its limit"


def test_strict_fails_a_case_that_needs_a_gpu(pytester):
    done = run_pytest(pytester, NEEDS_GPU, "--gpuperf-strict=unmeasured", conftest=NO_GPU)
    assert done.status == 1
    assert "passed" not in done.outcomes
    assert "UNMEASURED no-gpu" in done.text
    assert "touches CUDA" not in done.text
    assert done.account == {"collected": 1, "UNMEASURED": 1}


def test_without_a_gpu_every_limit_is_unmeasured_and_never_not_applicable(pytester):
    done = run_pytest(
        pytester,
        """
        CALLS = []
        @pytest.mark.gpuperf(time={"H200": "<= 1 us"}, bandwidth=">= 80 %")
        def test_anywhere(gpuperf):
            m = gpuperf.measure(CALLS.append, 1, work=Work(reads=4096))
            assert CALLS == [1]
            assert gpuperf.device is None
        """,
        conftest=NO_GPU,
    )
    assert done.outcomes == {"unmeasured": 1}
    assert done.account == {"collected": 2, "UNMEASURED": 2}


def test_require_is_seen_by_raises_inside_the_body_and_judged_on_the_spot(pytester):
    done = run_pytest(
        pytester,
        """
        def test_spot(gpuperf, fake):
            m = gpuperf.measure(fake.kernel(5e-6))
            with pytest.raises(BudgetExceeded, match="^time: 5.[67].* us exceeds 4.000 us by "):
                m.require(time="<= 4 us")
            m.require(time="<= 12 us")

        def test_not_caught(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6)).require(time=["<= 4 us", "<= 12 us"])

        def test_undecided(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6)).require(time="<= 5.7 us")
            assert False, "never reached"
        """,
    )
    assert done.outcomes == {"failed": 1, "passed": 1, "inconclusive": 1}
    asked, kept = done.case("test_spot")["budgets"]
    assert (asked["verdict"], kept["verdict"]) == ("PASS", "PASS"), "a case that passed asked for that error; the terminal lists no failure of it"
    assert "exceeds 4.000 us" in asked["message"]
    assert "FAIL test_it.py::test_spot" not in done.text
    assert {budget["origin"] for budget in done.case("test_spot")["budgets"]} == {"require"}
    assert done.case("test_not_caught")["verdict"] == "FAIL"


def test_a_skip_after_a_failed_budget_does_not_hide_it(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.mark.gpuperf(time="<= 4 us")
        def test_hides(gpuperf, fake):
            gpuperf.measure(fake.kernel(5e-6))
            pytest.skip("it failed")
        """,
    )
    assert (done.status, done.outcomes) == (1, {"failed": 1})
    assert done.account == {"collected": 1, "FAIL": 1}


IN_A_FIXTURE = """
@pytest.fixture
def staged(gpuperf, fake):
    assert gpuperf.measure(fake.kernel(5e-6), name="staging").time < 5.7e-6

@pytest.mark.gpuperf(time="<= 12 us")
def test_uses(gpuperf, staged):
    assert False, "never reached"
"""


def test_a_comparison_in_a_fixture_ends_the_case_as_one_in_its_body_does(pytester):
    done = run_pytest(pytester, IN_A_FIXTURE)
    assert (done.status, done.outcomes) == (0, {"inconclusive": 1})
    assert done.case("test_uses")["verdict"] == "INCONCLUSIVE"
    assert done.account == {"collected": 1, "INCONCLUSIVE": 1}
    strict = run_pytest(pytester, IN_A_FIXTURE, "--gpuperf-strict")
    assert (strict.status, strict.outcomes) == (1, {"errors": 1})
    off = run_pytest(pytester, IN_A_FIXTURE, "--gpuperf-off", "-rs", quick=False)
    assert (off.status, off.outcomes) == (0, {"skipped": 1})
    assert "needs --gpuperf" in off.text
