"""What compute-sanitizer wrote on an H200 about kernels that are wrong on purpose, and what is read from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fake_sanitizer import block

from pytest_gpuperf.counters.attribution import Left, Outcome, refused, settle
from pytest_gpuperf.counters.checker import command, find, version
from pytest_gpuperf.counters.sanitizer import Finding, parse, short_name
from pytest_gpuperf.options import SANITIZERS
from pytest_gpuperf.reasons import Reason

DATA = Path(__file__).parent / "data" / "sanitizer"


def read(name):
    return parse((DATA / f"{name}.log").read_text(encoding="utf-8"), name.partition("-")[0])


#: For every log: its stories.
STORIES = {
    "memcheck": [
        ("invalid __global__ write of size 4 bytes in oob at parts.py:56, 20 threads, first (0,0,0) of block (0,0,0) at 0x7fb392c00000, "
        "4,192,257 bytes after the nearest allocation at 0x7fb392800400 of size 1,024 bytes")
    ],
    "memcheck-without-lines": [
        ("invalid __global__ write of size 4 bytes in oob, 3 threads, first (0,0,0) of block (0,0,0) at 0x7f6480c00000, "
        "4,192,257 bytes after the nearest allocation at 0x7f6480800400 of size 1,024 bytes")
    ],
    "memcheck-shared": ["invalid __shared__ write of size 4 bytes in oob_shared at parts.py:65, 5 threads, first (0,0,0) of block (0,0,0) at 0x4400"],
    "memcheck-torch": [
        ("invalid __global__ write of size 4 bytes in oob at parts.py:56, 4 threads, first (32,0,0) of block (0,0,0) at 0x7fd270e00080, "
        "2,084,449 bytes after the nearest allocation at 0x7fd270c03200 of size 32 bytes")
    ],
    "memcheck-api": [
        'program hit CUDA_ERROR_OUT_OF_MEMORY (error 2) due to "out of memory" on CUDA API call to cuMemAlloc_v2, called by api in parts.py:89',
        'program hit CUDA_ERROR_INVALID_VALUE (error 1) due to "invalid argument" on CUDA API call to cuMemcpyDtoH_v2, called by api in parts.py:89',
    ],
    "memcheck-abort": [
        ("invalid __global__ write of size 4 bytes in oob at parts.py:56, 2 threads, first (0,0,0) of block (0,0,0) at 0x7f1034c00000, "
        "4,192,257 bytes after the nearest allocation at 0x7f1034800400 of size 1,024 bytes")
    ],
    "racecheck": [
        "race reported between Write access in race at parts.py:18, and read access at parts.py:19, 1,024 times",
        "race reported between Write access in race_same at parts.py:24, and write access at parts.py:24, 261 times",
    ],
    "racecheck-clean": [],
    "synccheck": ["barrier error detected: Divergent thread(s) in warp in diverge at parts.py:38, 16 threads, first (0,0,0) of block (0,0,0)"],
    "initcheck": [
        "uninitialized __global__ memory read of size 4 bytes in uninit at parts.py:71, 6 threads, first (0,0,0) of block (0,0,0) at 0x7f050e800400",
        ("host API memory access error at host access to 0x7f050e800400 of size 1,024 bytes, 4 times, "
        "uninitialized access to 0x7f050e800400 on access by cudaMemcpy source, called by safe_cuda_api_call in driver.py:324"),
    ],
    "no-cuda": ["target application terminated before first instrumented API call"],
}


def test_every_log_has_its_stories():
    assert {path.stem for path in DATA.glob("*.log")} == set(STORIES)


@pytest.mark.parametrize("name", STORIES)
def test_what_a_real_log_tells(name):
    reading = read(name)
    assert [one.story for one in reading.findings] == STORIES[name]
    assert reading.begun
    assert reading.unprinted == 0
    assert all(one.blames for one in reading.findings) == (name != "no-cuda")


def test_a_finding_has_its_parts():
    (one,) = read("memcheck").findings
    assert (one.tool, one.kernel, one.source, one.thread, one.block, one.address, one.size, one.count, one.threads) == (
        "memcheck", "oob", "parts.py:56", "(0,0,0)", "(0,0,0)", "0x7fb392c00000", 4, 20, 20,
    )  # fmt: skip
    assert one.frames == ("<lambda> in parts.py:96", "<module> in parts.py:102")
    assert one.record()["story"] == one.story
    assert one.record()["frames"] == ["<lambda> in parts.py:96", "<module> in parts.py:102"]


def test_the_calls_inside_the_interpreter_go_where_lines_are_known():
    assert read("memcheck-api").findings[0].frames == ("api in parts.py:89", "<module> in parts.py:102")
    (one,) = parse("========= Leaked 64 bytes at 0x7f00\n=========     Host Frame: main [0x1b] in app\n=========     Host Frame:  [0x1c]\n", "memcheck").findings
    assert one.frames == ("main in app",)
    calls = ("copy_to_host in devicearray.py:283", "test_x in test_y.py:41", "pytest_pyfunc_call in python.py:159", "<module> in __main__.py:9")
    (one,) = parse("========= Leaked 64 bytes at 0x7f00\n" + "".join(f"=========     Host Frame: {call}\n" for call in calls), "memcheck").findings
    assert one.frames == calls[:2]


@pytest.mark.parametrize(
    ("text", "story", "blames"),
    [
        ("Something that nobody has seen", "something that nobody has seen", True),
        ("Error: Something new.", "something new", True),
        ("Warning: Race reported between Read access at k(int)+0x10", "warning: Race reported between Read access in k", True),
        ("Internal Sanitizer Error: the tool has lost its way", "internal Sanitizer Error: the tool has lost its way", False),
        ("Error: Device not supported. Please refer to the manual", "device not supported: Please refer to the manual", False),
        ("Error: No attachable process found. compute-sanitizer timed-out.", "no attachable process found: compute-sanitizer timed-out", False),
    ],
)
def test_an_unknown_text_is_a_finding_and_the_tool_s_own_trouble_blames_nobody(text, story, blames):
    (one,) = parse(f"========= COMPUTE-SANITIZER\n========= {text}\n========= ERROR SUMMARY: 1 error\n", "memcheck").findings
    assert (one.story, one.blames) == (story, blames)


def test_what_was_not_printed_is_said():
    reading = parse("========= ERROR SUMMARY: 1,234 errors were not printed. Use --print-limit option to adjust the number of printed errors\n", "memcheck")
    assert (reading.unprinted, reading.findings) == (1234, ())


def test_a_log_that_begins_or_ends_in_the_middle_still_tells():
    lines = block().splitlines()
    assert parse("\n".join(lines[:3]), "memcheck").findings[0].kernel == "store"
    (one,) = parse("\n".join(lines[2:]), "memcheck").findings
    assert one.what == "by thread (0,0,0) in block (0,0,0)"


def test_other_lines_are_not_the_tool_s():
    assert parse("Invalid __global__ write of size 4 bytes\n== not this\n", "memcheck").findings == ()


def test_places_and_calls_keep_findings_apart_and_threads_do_not():
    same = [block(thread=thread) for thread in (0, 1, 1)]
    other = [block(line=12), block(kernel="load"), block(function="test_other"), block(what="Invalid __global__ read of size 4 bytes")]
    found = parse("\n".join([*same, *other]), "memcheck").findings
    assert [one.count for one in found] == [3, 1, 1, 1, 1]
    assert ", 3 times by 2 threads, first (0,0,0)" in found[0].story
    assert ", thread (0,0,0) of block (0,0,0) at 0x7fb584c00000, " in found[1].story


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        ("__main__::store[abi:v2,cw51cXTLSUw](Array<float, (int)1, C, mutable, aligned>, long long)", "store"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>, std::array<char*, 1ul> >(int, float)", "vectorized_elementwise_kernel"),
        ("(anonymous namespace)::k(float *)", "k"),
        ("test_it::test_x::<locals>::inner[abi:v1](int)", "inner"),
        ("test_it.test_x.<locals>.inner", "inner"),
        ("triton_add_0", "triton_add_0"),
        ("_Z5storePfi", "_Z5storePfi"),
        ("", ""),
    ],
)
def test_a_kernel_s_name_is_short(kernel, name):
    assert short_name(kernel) == name


# Attribution.


def keys(*names):
    return [{"nodeid": f"test_it.py::{name}", "file": "test_it.py", "function": name.partition("[")[0], "index": 0} for name in names]


def left(*parts, ended="it ended with status 0", hung=None, banner=True, outcomes=None, missing=()):
    """Return what a process left that ran cases one after another: (name, text) for each, None as text for a death, a name of "" for no case."""
    log, pieces, events = (b"========= COMPUTE-SANITIZER\n" if banner else b""), [], [{"event": "collected", "items": [], "missing": keys(*missing)}]
    for name, text in parts:
        if name:
            pieces.append({"event": "begin", "nodeid": f"test_it.py::{name}", "size": len(log)})
        log += (text or "").encode()
        if name and text is not None:
            pieces.append({"event": "end", "nodeid": f"test_it.py::{name}", "size": len(log), "dead": None})
            events.append({"event": "ended", "nodeid": f"test_it.py::{name}", "outcome": "passed", "error": None} | (outcomes or {}).get(name, {}))
    return Left(log, tuple(pieces), tuple(events), ended, hung)


def codes(settled):
    return {nodeid.removeprefix("test_it.py::"): one.hole.code if one.hole else "found" if one.findings else "skipped" if one.skipped else "clean" for nodeid, one in settled.outcomes.items()}


def rest(settled):
    return [key["nodeid"].removeprefix("test_it.py::") for key in settled.rest]


def test_text_between_begin_and_end_is_the_case_s():
    done = settle(keys("test_a", "test_b", "test_c"), left(("test_a", ""), ("test_b", block() + "\n"), ("test_c", "")), "memcheck")
    assert codes(done) == {"test_a": "clean", "test_b": "found", "test_c": "clean"}
    assert (done.rest, done.outside) == ((), ())
    assert done.outcomes["test_it.py::test_b"].findings[0].kernel == "store"


def test_a_death_costs_its_case_and_leaves_the_rest_for_another_process():
    done = settle(keys("test_a", "test_b", "test_c"), left(("test_a", ""), ("test_b", None), ended="it ended with status 134; Aborted"), "memcheck")
    assert codes(done) == {"test_a": "clean", "test_b": "sanitizer-died"}
    assert rest(done) == ["test_c"]
    assert "it ended with status 134; Aborted" in str(done.outcomes["test_it.py::test_b"].hole)


def test_what_was_found_before_a_death_is_a_finding():
    killed = left(("test_a", block() + "\n"), ("test_b", None))
    torn = Left(killed.log + block().encode(), (*killed.pieces,), killed.events, "it was ended by signal 9")
    assert codes(settle(keys("test_a", "test_b"), torn, "memcheck")) == {"test_a": "found", "test_b": "found"}


def test_a_case_that_hung_says_so():
    assert codes(settle(keys("test_a"), left(("test_a", None), hung=Reason("sanitizer-hang")), "memcheck")) == {"test_a": "sanitizer-hang"}


def test_a_test_that_failed_is_not_clean_and_one_that_was_skipped_is_skipped():
    outcomes = {"test_a": {"outcome": "failed", "error": "CudaAPIError: 700"}, "test_b": {"outcome": "skipped", "error": "no torch"}}
    done = settle(keys("test_a", "test_b"), left(("test_a", ""), ("test_b", ""), outcomes=outcomes), "racecheck")
    assert codes(done) == {"test_a": "sanitizer-body-failed", "test_b": "skipped"}
    assert "CudaAPIError: 700" in str(done.outcomes["test_it.py::test_a"].hole)
    assert done.outcomes["test_it.py::test_b"].skipped == "no torch"


def test_a_context_that_died_in_a_case_that_passed_is_not_clean():
    here = left(("test_a", ""))
    pieces = tuple(line | ({"dead": "the CUDA context is no longer usable"} if line["event"] == "end" else {}) for line in here.pieces)
    done = settle(keys("test_a"), Left(here.log, pieces, here.events, "it ended with status 0"), "synccheck")
    assert codes(done) == {"test_a": "sanitizer-body-failed"}


def test_a_case_without_an_outcome_is_not_clean():
    here = left(("test_a", ""))
    assert codes(settle(keys("test_a"), Left(here.log, here.pieces, (), "it ended with status 0"), "memcheck")) == {"test_a": "sanitizer-body-failed"}


def test_cases_after_the_print_limit_are_left_for_another_process():
    many = "".join(block(thread=thread) + "\n" for thread in range(5))
    done = settle(keys("test_a", "test_b", "test_c"), left(("test_a", ""), ("test_b", many), ("test_c", "")), "memcheck", limit=5)
    assert codes(done) == {"test_a": "clean", "test_b": "found"}
    assert rest(done) == ["test_c"]
    assert codes(settle(keys("test_b", "test_c"), left(("test_b", many), ("test_c", "")), "memcheck", limit=6)) == {"test_b": "found", "test_c": "clean"}


def test_text_between_cases_is_whose_function_made_the_call_or_nobody_s():
    late = left(("test_wrong", ""), ("test_b", ""), ("", block() + "\n"), ("", block(function="elsewhere") + "\n"))
    done = settle(keys("test_wrong", "test_b"), late, "memcheck")
    assert codes(done) == {"test_wrong": "found", "test_b": "clean"}
    assert [one.frames for one in done.outside] == [("elsewhere in test_it.py:9",)]
    both = settle(keys("test_wrong[1]", "test_wrong[2]"), left(("test_wrong[1]", ""), ("test_wrong[2]", ""), ("", block() + "\n")), "memcheck")
    assert codes(both) == {"test_wrong[1]": "clean", "test_wrong[2]": "clean"}
    assert len(both.outside) == 1


def test_a_case_that_the_process_did_not_find_says_so():
    done = settle(keys("test_a", "test_b"), left(("test_a", ""), missing=["test_b"]), "memcheck")
    assert codes(done) == {"test_a": "clean", "test_b": "not-in-child"}


def test_nothing_is_clean_where_the_tool_was_not_there_or_could_not_check():
    assert codes(settle(keys("test_a"), left(("test_a", ""), banner=False), "memcheck")) == {"test_a": "no-compute-sanitizer"}
    said = (DATA / "no-cuda.log").read_text(encoding="utf-8")
    done = settle(keys("test_a", "test_b"), left(("test_a", ""), ("test_b", block() + "\n"), ("", said)), "memcheck")
    assert codes(done) == {"test_a": "no-compute-sanitizer", "test_b": "found"}
    inside = left(("test_a", "========= Internal Sanitizer Error\n"), ("test_b", ""))
    assert codes(settle(keys("test_a", "test_b"), inside, "memcheck")) == {"test_a": "no-compute-sanitizer", "test_b": "clean"}


def test_a_process_that_reached_no_case_says_why():
    words = "========= COMPUTE-SANITIZER\n========= Error: Device not supported. See the manual\n"
    assert str(refused(Left(words.encode(), (), (), "it ended with status 1"), "memcheck")).startswith(
        "UNMEASURED no-compute-sanitizer: compute-sanitizer: Device not supported: See the manual"
    )
    assert "reached no case: it ended with status 4; ERROR: usage" in str(refused(Left(b"", (), (), "it ended with status 4; ERROR: usage"), "memcheck"))
    assert refused(Left(b"========= COMPUTE-SANITIZER\n", (), (), "it was ended by signal 9", Reason("sanitizer-hang")), "memcheck").code == "sanitizer-hang"
    reached = ({"event": "process", "nodeid": "", "pid": 1},)
    assert refused(Left(b"========= COMPUTE-SANITIZER\n", reached, (), "it ended with status 2"), "memcheck").code == "sanitizer-died"


def test_clean_is_the_outcome_with_nothing_in_it():
    assert Outcome() != Outcome((Finding("memcheck", "x"),))


# The program.


def test_the_program_is_found_on_path_then_at_home_then_where_toolkits_are(tmp_path):
    def made(folder):
        (tmp_path / folder).mkdir(parents=True)
        program = tmp_path / folder / "compute-sanitizer"
        program.write_text("#!/bin/sh\necho Version 1.2.3\n")
        program.chmod(0o755)
        return program

    nothing = tmp_path / "nothing"
    assert find({"PATH": str(nothing)}, nothing) is None
    usual = made("usual")
    assert find({"PATH": str(nothing)}, usual.parent) == usual
    home = made("toolkit/bin")
    assert find({"PATH": str(nothing), "CUDA_HOME": str(tmp_path / "toolkit")}, usual.parent) == home
    path = made("path")
    assert find({"PATH": str(path.parent), "CUDA_HOME": str(tmp_path / "toolkit")}, usual.parent) == path
    assert version(path) == "1.2.3"
    assert version(nothing) is None


@pytest.mark.parametrize("tool", SANITIZERS)
def test_the_command_line(tool, tmp_path):
    words = command("compute-sanitizer", tool, tmp_path / "50%.log", ["python", "-m", "pytest"])
    assert words[0] == "compute-sanitizer"
    assert words[-3:] == ["python", "-m", "pytest"]
    options = dict(zip(words[1:-3:2], words[2:-3:2], strict=True))
    assert options["--tool"] == tool
    assert options["--log-file"].endswith("50%%.log")
    assert options["--destroy-on-device-error"] == "kernel"
    assert options["--target-processes"] == "application-only"


@pytest.mark.parametrize("summary", ["ERROR SUMMARY: 3 errors", "RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)"])
def test_a_summary_of_errors_that_stand_nowhere_is_not_clean(summary):
    told = left(("test_a", ""), ("test_b", ""))
    said = dataclasses.replace(told, log=told.log + f"========= {summary}\n".encode())
    assert codes(settle(keys("test_a", "test_b"), said, "memcheck")) == {"test_a": "no-compute-sanitizer", "test_b": "no-compute-sanitizer"}
    none = dataclasses.replace(told, log=told.log + b"========= ERROR SUMMARY: 0 errors\n")
    assert codes(settle(keys("test_a", "test_b"), none, "memcheck")) == codes(settle(keys("test_a", "test_b"), told, "memcheck"))
