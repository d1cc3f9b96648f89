"""--gpuperf-sanitize, with a compute-sanitizer that only runs its target: whose finding is whose, and what a case comes to."""

from __future__ import annotations

import pytest
from sanitize_runs import STORY, TWO, sanitizer, starts

from pytest_gpuperf.records.schema import validate


@pytest.fixture
def sanitize(pytester, monkeypatch):
    return sanitizer(pytester, monkeypatch)


def test_a_finding_fails_its_case_and_no_other(sanitize):
    done = sanitize(TWO)
    assert (done.status, done.outcomes) == (1, {"passed": 2, "failed": 1}), done.text
    wrong = done.case("test_wrong")
    assert (wrong["verdict"], wrong["error"].splitlines()[0]) == ("FAIL", f"NotClean: {STORY}")
    (check,) = wrong["checks"]
    assert (check["kind"], check["name"], check["verdict"]) == ("sanitizer", "memcheck", "FAIL")
    assert f"memcheck: {check['detail']}" == STORY
    (clean,) = done.case("test_right")["checks"]
    assert (clean["kind"], clean["name"], clean["verdict"]) == ("sanitizer", "memcheck", "PASS")
    assert clean["detail"].startswith("memcheck clean")
    assert done.case("test_right")["verdict"] == done.case("test_after")["verdict"] == "PASS"
    assert starts(done) == ["memcheck"], "one process for all"


def test_the_failure_is_short_and_whole_on_the_terminal(sanitize):
    done = sanitize(TWO)
    section = done.text.partition("= FAILURES =")[2].partition("= gpuperf =")[0]
    assert section.splitlines()[2:4] == [STORY, "    called by test_wrong in test_it.py:9"], section
    assert f"FAIL test_it.py::test_wrong  {STORY}" in done.text
    assert "memcheck (compute-sanitizer 2025.3.1.0): 3 cases, 2 clean, 1 with findings; 1 process, " in done.text


def test_the_line_of_the_test_is_told_where_a_library_made_the_call(sanitize):
    calls = "".join(f"=========         Host Frame: {one}\n" for one in ("safe_cuda_api_call in driver.py:324", "copy_to_host in devicearray.py:283", "test_one in test_it.py:8"))
    said = f'========= Program hit CUDA_ERROR_INVALID_VALUE (error 1) due to "invalid argument" on CUDA API call to cuMemcpyDtoH_v2.\n{calls}'
    done = sanitize(f"def test_one(gpuperf, wrong):\n    gpuperf.measure(wrong({said!r}))\n")
    story = 'program hit CUDA_ERROR_INVALID_VALUE (error 1) due to "invalid argument" on CUDA API call to cuMemcpyDtoH_v2, called by safe_cuda_api_call in driver.py:324'
    assert done.case("test_one")["error"] == f"NotClean: memcheck: {story}\n    called by test_one in test_it.py:8"


def test_the_record_holds_the_findings(sanitize):
    done = sanitize(TWO)
    assert validate(done.run) == []
    (record,) = done.run["sanitizer"]
    assert (record["tool"], record["version"], record["processes"], record["checked"], record["clean"], record["outside"]) == ("memcheck", "2025.3.1.0", 1, 3, 2, [])
    (case,) = record["cases"]
    (finding,) = case["findings"]
    assert case["nodeid"] == "test_it.py::test_wrong"
    assert (finding["kernel"], finding["source"], finding["address"], finding["count"]) == ("store", "kernels.py:11", "0x7fb584c00000", 64)
    assert done.run["run"]["options"]["sanitize"] == "memcheck"
    page = (done.path / "reports" / "latest.html").read_text(encoding="utf-8")
    assert "invalid __global__ write of size 4 bytes in store at kernels.py:11, 64 threads" in page


def test_nothing_is_timed_and_every_limit_is_accounted_for(sanitize):
    done = sanitize(
        """
        @pytest.mark.gpuperf(time={"H200": "<= 1 us", "*": "<= 1 ns"}, wall_time="<= 1 ns")
        def test_limits(gpuperf, wrong):
            gpuperf.measure(wrong(), budget={"host_time": "<= 1 ns"})

        @pytest.mark.gpuperf(time="<= 1 ns")
        def test_wrong(gpuperf, wrong):
            gpuperf.measure(wrong(BLOCK))
        """,
        "--gpuperf-strict",
    )
    assert (done.status, done.outcomes) == (1, {"passed": 1, "failed": 1}), done.text
    assert done.account == {"collected": 3, "UNMEASURED": 3}
    limits = done.case("test_limits")
    assert limits["verdict"] == "PASS", "a clean case is not UNMEASURED for limits that nobody asked this session to judge"
    assert limits["measurements"] == []
    assert {one["reason"]["code"] for one in limits["budgets"]} == {"under-sanitizer"}
    assert "UNMEASURED under-sanitizer (3): a session under compute-sanitizer measures nothing" in done.text


def test_a_death_in_the_middle_costs_one_case_and_another_process(sanitize):
    done = sanitize(
        """
        import os

        def test_before(gpuperf, wrong):
            gpuperf.measure(wrong())

        def test_dies(gpuperf, wrong):
            gpuperf.measure(wrong())
            if "FAKE_SANITIZER_LOG" in os.environ:
                os.abort()

        def test_wrong(gpuperf, wrong):
            gpuperf.measure(wrong(BLOCK))

        def test_after(gpuperf, wrong):
            gpuperf.measure(wrong())
        """
    )
    assert done.outcomes == {"passed": 2, "failed": 1, "unmeasured": 1}, done.text
    assert done.codes == {"test_before": [], "test_dies": ["sanitizer-died"], "test_wrong": [], "test_after": []}
    assert starts(done) == ["memcheck"] * 2
    assert "the checked process died in this case: it ended with status" in done.text


def test_what_was_found_before_a_death_fails_the_case(sanitize):
    done = sanitize(
        """
        import os

        def test_dies(gpuperf, wrong):
            gpuperf.measure(wrong(BLOCK))
            os.abort()
        """
    )
    assert (done.status, done.outcomes) == (1, {"failed": 1}), done.text


def test_a_case_that_hangs_costs_itself(sanitize):
    done = sanitize(
        """
        import os, time

        def test_hangs(gpuperf, wrong):
            time.sleep(600)

        def test_after(gpuperf, wrong):
            gpuperf.measure(wrong())
        """,
        "--gpuperf-timeout=6",
    )
    assert done.outcomes == {"passed": 1, "unmeasured": 1}, done.text
    assert done.codes["test_hangs"] == ["sanitizer-hang"]
    assert "the case did not end under compute-sanitizer within 6 s" in done.text


def test_a_test_that_fails_there_is_unmeasured_and_one_that_skips_is_skipped(sanitize):
    text = """
        def test_fails(gpuperf, wrong):
            raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")

        def test_skips(gpuperf, wrong):
            pytest.skip("needs torch")

        @pytest.mark.skip(reason="not now")
        def test_marked(gpuperf, wrong):
            pass

        def test_wrong_too(gpuperf, wrong):
            gpuperf.measure(wrong(BLOCK))
            raise RuntimeError("and more")
        """
    done = sanitize(text, "-rs")
    assert (done.status, done.outcomes) == (1, {"failed": 1, "skipped": 2, "unmeasured": 1}), done.text
    assert done.codes["test_fails"] == ["sanitizer-body-failed"]
    assert "CUDA_ERROR_ILLEGAL_ADDRESS" in done.case("test_fails")["reasons"][0]["sentence"]
    assert "needs torch" in done.text
    assert "not now" in done.text
    assert done.case("test_wrong_too")["verdict"] == "FAIL"
    assert sanitize(text, "--gpuperf-strict=unmeasured").outcomes == {"failed": 2, "skipped": 2}


def test_xfail_sees_a_finding(sanitize):
    done = sanitize(
        """
        @pytest.mark.xfail(raises=NotClean, strict=True)
        def test_known(gpuperf, wrong):
            gpuperf.measure(wrong(BLOCK))

        @pytest.mark.xfail(strict=True)
        def test_mended(gpuperf, wrong):
            gpuperf.measure(wrong())

        @pytest.mark.xfail(strict=True)
        def test_breaks(gpuperf, wrong):
            raise RuntimeError("it breaks")

        @pytest.mark.xfail(run=False)
        def test_never(gpuperf, wrong):
            open("told.txt", "w").close()
        """
    )
    assert done.outcomes == {"xfailed": 2, "failed": 1, "skipped": 1}, done.text
    assert done.codes["test_breaks"] == ["sanitizer-body-failed"]
    assert not (done.path / "told.txt").exists()
    assert "[XPASS(strict)]" in done.text


def test_a_race_has_both_of_its_places(sanitize):
    race = (
        "========= Error: Race reported between Write access at race(float*)+0x1d0 in parts.py:18\n"
        "=========     and Read access at race(float*)+0x1e0 in parts.py:19 [1024 hazards]\n"
    )
    done = sanitize(f"def test_one(gpuperf, wrong):\n    gpuperf.measure(wrong({race!r}))\n", tool="racecheck")
    assert "NotClean: racecheck: race reported between Write access in race at parts.py:18, and read access at parts.py:19, 1,024 times" in done.case("test_one")["error"]


def test_parameters_keep_their_own_verdicts(sanitize):
    done = sanitize(
        """
        @pytest.mark.parametrize("bad", [False, True, False])
        def test_wrong(gpuperf, wrong, bad):
            gpuperf.measure(wrong(*([BLOCK] if bad else [])))
        """
    )
    assert [case["verdict"] for case in done.run["cases"]] == ["PASS", "FAIL", "PASS"], done.text
