"""--gpuperf-sanitize, with a compute-sanitizer that only runs its target: whose finding is whose, and what becomes of everything else."""

from __future__ import annotations

import json
import textwrap

import pytest
from fake_sanitizer import SAYS, block, install
from plugin_runs import FAKE, NO_GPU, run_pytest

from pytest_gpuperf.options import SANITIZERS
from pytest_gpuperf.records.schema import validate

CONFTEST = FAKE + SAYS
#: Read in the test file as BLOCK.
BLOCKS = f"BLOCK = {block()!r}\nBLOCKS = {[block(thread=thread) for thread in range(64)]!r}\n"


@pytest.fixture
def sanitize(pytester, monkeypatch):
    """Write a test file and check it; environment variables of the fake program by keyword."""

    def sanitize(text, *args, tool="memcheck", conftest=CONFTEST, **environment):
        install(pytester.path / "bin", monkeypatch, **environment)
        return run_pytest(pytester, BLOCKS + textwrap.dedent(text), *([f"--gpuperf-sanitize={tool}"] if tool else []), *args, conftest=conftest)

    return sanitize


def starts(done):
    path = done.path / "starts.txt"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


TWO = """
    def test_right(gpuperf, wrong):
        gpuperf.measure(wrong())

    def test_wrong(gpuperf, wrong):
        gpuperf.measure(wrong(*BLOCKS))

    def test_after(gpuperf, wrong):
        gpuperf.measure(wrong())
    """
STORY = (
    "memcheck: invalid __global__ write of size 4 bytes in store at kernels.py:11, 64 threads, first (0,0,0) of block (0,0,0) at 0x7fb584c00000, "
    "4,193,537 bytes after the nearest allocation at 0x7fb584800200 of size 256 bytes"
)


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


def test_bodies_and_fixtures_run_in_the_checked_process_only_and_each_body_once(sanitize):
    done = sanitize(
        """
        import os

        def tell(what):
            with open("told.txt", "a") as file:
                file.write(f"{what} {'parent' if 'FAKE_SANITIZER_LOG' not in os.environ else 'child'}\\n")

        @pytest.fixture
        def costly():
            tell("set-up")
            yield
            tell("tear-down")

        @pytest.fixture(autouse=True)
        def always():
            tell("autouse")

        def test_once(gpuperf, fake, costly):
            kernel = fake.kernel(5e-6)
            gpuperf.measure(kernel)
            tell("body")
        """
    )
    assert done.outcomes == {"passed": 1}, done.text
    assert sorted((done.path / "told.txt").read_text(encoding="utf-8").splitlines()) == ["autouse child", "body child", "set-up child", "tear-down child"]


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


def test_without_the_program_every_case_is_unmeasured_and_strict_fails(pytester, monkeypatch):
    monkeypatch.setattr("pytest_gpuperf.counters.checker.find", lambda: None)
    text = """
        @pytest.mark.gpuperf(time="<= 1 us")
        def test_one(gpuperf, fake):
            raise AssertionError("never called")
        """
    done = run_pytest(pytester, text, "--gpuperf-sanitize=initcheck")
    assert (done.status, done.outcomes) == (0, {"unmeasured": 1}), done.text
    assert done.codes["test_one"] == ["under-sanitizer", "no-compute-sanitizer"]
    assert done.account == {"collected": 1, "UNMEASURED": 1}
    assert "install the CUDA toolkit's compute-sanitizer" in done.text
    assert run_pytest(pytester, text, "--gpuperf-sanitize=initcheck", "--gpuperf-strict=unmeasured").status == 1


def test_a_program_that_cannot_check_this_device_is_told_in_its_own_words(sanitize):
    done = sanitize(TWO, FAKE_SANITIZER="refuses")
    assert (done.status, done.outcomes) == (0, {"unmeasured": 3}), done.text
    assert "UNMEASURED no-compute-sanitizer (3): compute-sanitizer: Device not supported: Please refer to the Supported Devices section" in done.text
    assert starts(done) == ["memcheck"], "it would refuse again"


def test_a_program_that_does_nothing_has_found_nothing_clean(sanitize):
    done = sanitize(TWO, FAKE_SANITIZER="silent")
    assert done.outcomes == {"unmeasured": 3}, done.text
    assert "the checked process reached no case" in done.text


def test_without_a_gpu_nothing_is_started(sanitize):
    done = sanitize("def test_one(gpuperf): pass\n", conftest=NO_GPU)
    assert done.outcomes == {"unmeasured": 1}, done.text
    assert done.codes["test_one"] == ["no-gpu"]
    assert starts(done) == []


@pytest.mark.parametrize("tool", SANITIZERS)
def test_every_tool_is_started_by_its_name(tool, sanitize):
    done = sanitize("def test_one(gpuperf, wrong):\n    gpuperf.measure(wrong())\n", tool=tool)
    assert done.outcomes == {"passed": 1}, done.text
    assert starts(done) == [tool]


def test_a_race_has_both_of_its_places(sanitize):
    race = (
        "========= Error: Race reported between Write access at race(float*)+0x1d0 in parts.py:18\n"
        "=========     and Read access at race(float*)+0x1e0 in parts.py:19 [1024 hazards]\n"
    )
    done = sanitize(f"def test_one(gpuperf, wrong):\n    gpuperf.measure(wrong({race!r}))\n", tool="racecheck")
    assert "NotClean: racecheck: race reported between Write access in race at parts.py:18, and read access at parts.py:19, 1,024 times" in done.case("test_one")["error"]


def test_what_is_found_after_the_last_case_fails_the_session(sanitize):
    done = sanitize("def test_one(gpuperf, wrong):\n    gpuperf.measure(wrong())\n", FAKE_SANITIZER_LAST="Leaked 64 bytes at 0x7f00")
    assert (done.status, done.outcomes) == (1, {"passed": 1}), done.text
    assert "FAIL memcheck, in none of the cases: leaked 64 bytes at 0x7f00" in done.text
    assert done.run["sanitizer"][0]["outside"][0]["what"] == "Leaked 64 bytes at 0x7f00"


def test_only_the_selected_cases_are_checked_and_plain_tests_run_as_ever(sanitize):
    done = sanitize(TWO + "\n    def test_plain():\n        with open('plain.txt', 'a') as file:\n            file.write('x')\n", "-k", "right or plain")
    assert done.outcomes == {"passed": 2, "deselected": 2}, done.text
    assert done.run["sanitizer"][0]["checked"] == 1
    assert (done.path / "plain.txt").read_text(encoding="utf-8") == "x"


def test_a_test_that_asks_for_the_fixture_while_it_runs_is_skipped(sanitize):
    done = sanitize("def test_late(request):\n    request.getfixturevalue('gpuperf')\n", "-rs")
    assert done.outcomes == {"skipped": 1}, done.text
    assert "under-sanitizer: the test asks for gpuperf while it runs" in done.text


def test_parameters_keep_their_own_verdicts(sanitize):
    done = sanitize(
        """
        @pytest.mark.parametrize("bad", [False, True, False])
        def test_wrong(gpuperf, wrong, bad):
            gpuperf.measure(wrong(*([BLOCK] if bad else [])))
        """
    )
    assert [case["verdict"] for case in done.run["cases"]] == ["PASS", "FAIL", "PASS"], done.text


@pytest.mark.parametrize(
    ("words", "story"),
    [
        (["-n2"], "--gpuperf-sanitize=memcheck checks all cases in one process of its own, so xdist has nothing to share out: run it with -n0"),
        (["--gpuperf-qualify"], "--gpuperf-sanitize=memcheck measures nothing, and --gpuperf-qualify measures: run one after the other"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(words, story, sanitize):
    done = sanitize(TWO, *words)
    assert done.status == 4
    assert f"ERROR: {story}" in done.text


def test_it_needs_no_other_option(sanitize):
    done = sanitize(TWO, "--gpuperf-off", "-n0")
    assert done.outcomes == {"passed": 2, "failed": 1}, done.text


def test_collect_only_starts_nothing(sanitize):
    done = sanitize(TWO, "--collect-only")
    assert starts(done) == []
    assert "test_right" in done.text


def test_the_logs_stay_beside_the_journals(sanitize):
    done = sanitize(TWO)
    (log,) = (done.path / "reports" / "runs").glob("*/sanitizer/1/sanitizer.log")
    assert log.read_text(encoding="utf-8").count("Invalid __global__ write") == 64
    pieces = [json.loads(line) for line in (log.parent / "pieces.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["event"] for one in pieces] == ["process", *["begin", "end"] * 3]


def test_each_argument_set_is_called_once_and_outputs_are_left_alone(sanitize):
    done = sanitize(
        """
        def test_sets(gpuperf, fake):
            output = fake.array(8)
            output.numpy()[:] = 7
            seen = []

            def body(number):
                seen.append((number, output.numpy().tolist()))

            gpuperf.measure(body, inputs=[(1,), (2,), (3,)], outputs=[output])
            assert seen == [(number, [7.0] * 8) for number in (1, 2, 3)], seen
        """
    )
    assert done.outcomes == {"passed": 1}, done.text


def test_versions_of_a_comparison_start_from_the_same_bits(sanitize):
    done = sanitize(
        """
        def test_versions(gpuperf, fake):
            array = fake.array(8)
            array.numpy()[:] = 0
            seen = []

            def version(name):
                def body():
                    seen.append((name, float(array.numpy()[0])))
                    array.numpy()[:] = 5
                return body

            gpuperf.compare({"a": version("a"), "b": version("b")}, inout=[array])
            assert seen == [("a", 0.0), ("b", 0.0)], seen
        """
    )
    assert done.outcomes == {"passed": 1}, done.text


def test_the_runs_of_shards_keep_what_each_of_them_found(sanitize):
    from pytest_gpuperf.records.merge import combine

    run = sanitize(TWO).run
    whole = combine([run, run])
    assert [one["clean"] for one in whole["sanitizer"]] == [2, 2]
    assert validate(whole) == []


def test_numba_compiles_with_lines_from_then_on(monkeypatch):
    import sys
    import types

    from pytest_gpuperf.sanitized import line_information

    class CUDADispatcher:
        def __init__(self, **options):
            self.targetoptions = options

        def compile(self, signature):
            return signature, dict(self.targetoptions)

        def compile_device(self, arguments, return_type=None):
            return arguments, return_type, dict(self.targetoptions)

    monkeypatch.delitem(sys.modules, "numba.cuda.dispatcher", raising=False)
    line_information()  # no numba, nothing to do
    module = types.ModuleType("numba.cuda.dispatcher")
    module.CUDADispatcher = CUDADispatcher
    monkeypatch.setitem(sys.modules, "numba.cuda.dispatcher", module)
    line_information()
    line_information()
    assert CUDADispatcher(opt=True).compile("f4") == ("f4", {"opt": True, "lineinfo": True})
    assert CUDADispatcher().compile_device("f4", return_type="i4") == ("f4", "i4", {"lineinfo": True})
    assert CUDADispatcher(debug=True).compile("f4") == ("f4", {"debug": True})
