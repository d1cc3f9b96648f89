"""--gpuperf-sanitize, the session: what it starts and what not, what runs where, and what it leaves."""

from __future__ import annotations

import json
import sys
import types

import pytest
from plugin_runs import NO_GPU, run_pytest
from sanitize_runs import TWO, sanitizer, starts

from pytest_gpuperf.options import SANITIZERS
from pytest_gpuperf.records.merge import combine
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.sanitized import line_information


@pytest.fixture
def sanitize(pytester, monkeypatch):
    return sanitizer(pytester, monkeypatch)


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
    run = sanitize(TWO).run
    whole = combine([run, run])
    assert [one["clean"] for one in whole["sanitizer"]] == [2, 2]
    assert validate(whole) == []


def test_numba_compiles_with_lines_from_then_on(monkeypatch):
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
