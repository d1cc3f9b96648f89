"""The profiled run, end to end with a fake device and a fake ncu: what it finds reaches the tests, and what it cannot find has its own reason."""

from __future__ import annotations

import itertools
import re

import pytest
from counting_runs import THREE, counters, reasons, session, verdicts

from pytest_gpuperf.counters.names import COUNTERS
from pytest_gpuperf.testing import FAKE_CONFTEST, Example, FakeNcu
from pytest_gpuperf.testing.ncu import LISTING

GOOD = THREE.format(second="")


def test_counters_of_three_cases_take_one_start():
    result, fake = session(GOOD)
    assert verdicts(result) == {"test_first": "PASS", "test_second": "PASS", "test_third": "PASS"}, result.stdout
    assert len(fake.starts) == 1
    assert result.run["counters"]["starts"] == 1
    assert result.run["counters"]["cases"] == 3
    assert re.search(r"counters: 3 cases profiled by ncu 2025\.3\.1\.0 in 1 start", result.stdout)


def test_the_command_line_locks_no_clock_and_flushes_caches():
    _, fake = session(GOOD)
    line = fake.starts[0]
    options = dict(itertools.pairwise(line))
    assert (options["--clock-control"], options["--cache-control"], options["--replay-mode"]) == ("none", "all", "kernel")
    assert options["--nvtx-include"] == "regex:gpuperf@g.+"
    assert options["--metrics"] == "dram__bytes_read.sum,dram__bytes_write.sum,gpu__time_duration.sum,sm__warps_launched.sum"


def test_a_plain_assertion_on_two_measurements_is_judged():
    text = """
def test_less(gpuperf, fake):
    base = gpuperf.measure(fake.kernel(20e-6), name="baseline", work=Work(writes=500_000_000))
    nwor = gpuperf.measure(fake.kernel(10e-6), name="nwor", work=Work(writes=400_000_000))
    assert nwor["dram__bytes_write.sum"] <= 0.9 * base["dram__bytes_write.sum"]
"""
    bodies = {"test_less/baseline": [{"dram__bytes_write.sum": 5e8}], "test_less/nwor": [{"dram__bytes_write.sum": 2e8}, {"dram__bytes_write.sum": 2e8}]}
    good, _ = session(text, ncu={"bodies": bodies})
    assert verdicts(good) == {"test_less": "PASS"}, good.stdout
    assert counters(good, "test_less", "nwor")["dram__bytes_write.sum"]["number"] == 4e8
    bad, _ = session(text, ncu={"bodies": {**bodies, "test_less/nwor": [{"dram__bytes_write.sum": 4.9e8}]}})
    assert verdicts(bad) == {"test_less": "FAIL"}
    assert 'assert nwor["dram__bytes_write.sum"] <= 0.9 * base["dram__bytes_write.sum"]' in bad.stdout


def test_a_limit_on_a_counter_fails_in_one_line():
    result, _ = session(GOOD, ncu={"counters": {"sm__warps_launched.sum": 1001}})
    assert verdicts(result) == dict.fromkeys(("test_first", "test_second", "test_third"), "FAIL")
    assert "warps: 1,001 exceeds 1,000 (profiled run)" in result.stdout


def test_nothing_is_started_where_nobody_wants_counters():
    result, fake = session("def test_plain(gpuperf, fake):\n    gpuperf.measure(fake.kernel(20e-6))\n")
    assert fake.starts == []
    assert "counters" not in result.run


def test_nothing_is_started_where_they_are_off():
    result, fake = session(GOOD, "--gpuperf-ncu=off")
    assert fake.starts == []
    assert {code for codes in reasons(result).values() for code in codes} == {"ncu-off"}


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance Counters on the target device 0.", "ncu-permission"),
        ("Something that nobody has seen before", "ncu-failed"),
    ],
)
def test_what_ncu_says_is_the_reason_of_every_case(says, code):
    result, fake = session(GOOD, ncu={"says": says})
    assert {one for codes in reasons(result).values() for one in codes} == {code}, result.stdout
    assert says.split(" - ")[0].split(".")[0] in result.stdout
    assert len(fake.starts) == 1
    assert result.returncode == 0


def test_without_ncu_counters_are_unmeasured_and_times_are_not(tmp_path):
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": "def test_it(gpuperf, fake):\n    m = gpuperf.measure(fake.kernel(20e-6))\n    assert m.time < 1\n    assert m.dram_read < 1e9\n"})
    result = example.run_pytest("--gpuperf", env={"PATH": str(tmp_path), "CUDA_HOME": "", "CUDA_PATH": ""})
    assert reasons(result) == {"test_it": ["no-ncu"]}
    assert result.run["cases"][0]["measurements"][0]["values"]["time"]["number"] > 0
    required = example.run_pytest("--gpuperf", "--gpuperf-ncu=require", env={"PATH": str(tmp_path), "CUDA_HOME": "", "CUDA_PATH": ""})
    assert required.returncode == 8
    assert verdicts(required) == {"test_it": "FAIL"}
    assert "--gpuperf-ncu=require: UNMEASURED no-ncu" in required.stdout


@pytest.mark.parametrize("option", ["--gpuperf-ncu=require", "--gpuperf-strict=unmeasured"])
def test_a_counter_that_the_chip_lacks_is_its_own_hole_and_fails_where_that_is_asked_for(option):
    lacking = {"lacks": ["lts__t_sectors_op_write.sum"]}
    text = GOOD + """
def test_lacking(gpuperf, fake):
    m = gpuperf.measure(fake.kernel(20e-6))
    assert m["lts__t_sectors_op_write.sum"] <= 7
"""
    result, _ = session(text, ncu=lacking)
    assert verdicts(result) == {"test_first": "PASS", "test_second": "PASS", "test_third": "PASS", "test_lacking": "UNMEASURED"}
    assert reasons(result)["test_lacking"] == ["no-such-counter"]
    strict, _ = session(text, option, ncu=lacking)
    assert verdicts(strict) == {"test_first": "PASS", "test_second": "PASS", "test_third": "PASS", "test_lacking": "FAIL"}


def test_a_counter_that_is_only_collected_fails_where_it_is_required():
    text = """
@pytest.mark.gpuperf(counters=["lts__t_sectors_op_write.sum"])
def test_it(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6))
"""
    lacking = {"lacks": ["lts__t_sectors_op_write.sum"]}
    plain, _ = session(text, ncu=lacking)
    assert counters(plain, "test_it")["lts__t_sectors_op_write.sum"]["reason"]["code"] == "no-such-counter"
    required, _ = session(text, "--gpuperf-ncu=require", ncu=lacking)
    assert verdicts(required) == {"test_it": "FAIL"}


@pytest.mark.parametrize(
    ("second", "code", "starts"),
    [
        ("assert not CHILD, 'only in the child'", "ncu-body-failed", 1),
        ("CHILD and pytest.skip('only in the child')", "ncu-body-failed", 1),
        ("CHILD and os.abort()", "ncu-died", 2),
        ("CHILD and os._exit(3)", "ncu-died", 2),
        ("CHILD and os.kill(os.getpid(), 9)", "ncu-died", 2),
    ],
)
def test_a_case_that_breaks_in_the_child_costs_only_its_own_counters(second, code, starts):
    result, fake = session(THREE.format(second=second))
    assert verdicts(result) == {"test_first": "PASS", "test_second": "UNMEASURED", "test_third": "PASS"}, result.stdout
    assert reasons(result)["test_second"] == [code]
    assert len(fake.starts) == starts


def test_a_body_that_launches_nothing_has_no_counters():
    result, _ = session(GOOD, ncu={"bodies": {"test_second/main": []}})
    assert reasons(result) == {"test_first": [], "test_second": ["no-kernel"], "test_third": []}


def test_a_case_that_hangs_in_the_child_is_ended_and_costs_only_its_own_counters(monkeypatch):
    # A minute is the least that a case is given: the watch itself is tested in test_passes.
    from pytest_gpuperf.counters import passes

    watch = passes.Watch(0, 3, 5.0)
    story = passes.Story(pid=1, running="a")
    assert not watch.late(story, 100.0)
    assert not watch.late(story, 104.9)
    assert watch.late(story, 105.1)
    story.ended["a"], story.running = ("passed", ""), "b"
    assert not watch.late(story, 105.2)


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_counter_that_does_not_exist_is_refused_before_anything_runs(workers):
    text = GOOD + """
@pytest.mark.gpuperf(counters=["lts__t_sectors_op_writ.sum"])
def test_wrong(gpuperf, fake):
    open("ran", "w")
"""
    result, fake = session(text, *workers)
    assert result.returncode == 4
    assert "BadBudget: test_it.py::test_wrong: this chip has no counter 'lts__t_sectors_op_writ.sum'; nearest 'lts__t_sectors_op_write.sum'" in result.stderr + result.stdout
    assert fake.starts == []


def test_with_xdist_there_is_one_start_and_every_worker_reads_it():
    result, fake = session(GOOD, "-n", "2")
    assert verdicts(result) == {"test_first": "PASS", "test_second": "PASS", "test_third": "PASS"}, result.stdout
    assert len(fake.starts) == 1


def test_two_counters_of_zero_are_never_a_pass():
    text = """
def test_zero(gpuperf, fake):
    base, nwor = gpuperf.measure(fake.kernel(20e-6), name="a"), gpuperf.measure(fake.kernel(20e-6), name="b")
    assert nwor["lts__t_sectors_op_write.sum"] <= {share} * base["lts__t_sectors_op_write.sum"]
"""
    zero = {"counters": {"lts__t_sectors_op_write.sum": 0}}
    for share in ("1", "0.9"):
        result, _ = session(text.format(share=share), ncu=zero)
        assert reasons(result) == {"test_zero": ["zero-ratio"]}
    ratio, _ = session(text.replace("<= {share} *", "/").rstrip() + " <= 0.9\n", ncu=zero)
    assert reasons(ratio) == {"test_zero": ["zero-ratio"]}


def test_writes_that_l2_can_absorb_are_inconclusive():
    text = """
@pytest.mark.gpuperf(dram_write="<= 1 GB")
def test_small(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6), work=Work(writes=4_000_000))
"""
    result, _ = session(text, ncu={"counters": {"dram__bytes_write.sum": 0}})
    assert reasons(result) == {"test_small": ["absorbed-by-l2"]}
    assert verdicts(result) == {"test_small": "INCONCLUSIVE"}


def test_work_that_the_chip_did_not_move_is_noted_and_fails_where_it_is_strict():
    text = """
@pytest.mark.gpuperf(counters=["dram_read"])
def test_inflated(gpuperf, fake):
    gpuperf.measure(fake.kernel(1e-3), work=Work(reads=2_000_000_000), cache="warm")
"""
    half = {"counters": {"dram__bytes_read.sum": 1e9, "dram__bytes_write.sum": 0}}
    said = "Work says reads=2.000 GB, but DRAM moved 1.000 GB: 100 % more than that"
    plain, _ = session(text, ncu=half)
    assert verdicts(plain) == {"test_inflated": "PASS"}, plain.stdout
    assert f"main: {said}; next: let Work say what a call moves" in plain.stdout
    strict, _ = session(text, "--gpuperf-strict", ncu=half)
    assert verdicts(strict) == {"test_inflated": "FAIL"}
    assert said in strict.stdout
    honest, _ = session(text.replace("2_000", "1_000"), "--gpuperf-strict", ncu=half)
    assert verdicts(honest) == {"test_inflated": "PASS"}


def test_counters_of_other_inputs_are_not_taken():
    text = """
import time

def test_it(gpuperf, fake):
    array = fake.array(1024, contents=time.time_ns())
    m = gpuperf.measure(fake.kernel(20e-6, writes=[]), array)
    assert m["sm__warps_launched.sum"] == 1000
"""
    del text


def test_a_report_that_cannot_be_read_is_no_success(tmp_path):
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": "def test_it(gpuperf, fake):\n    m = gpuperf.measure(fake.kernel(20e-6))\n    assert m.dram_read < 1e9\n"})
    fake = FakeNcu(example.path / "bin")
    program = fake.folder / "ncu"
    program.write_text(program.read_text().replace('lines.append(f"==PROF== Report: ', 'pathlib.Path(options["--export"]).write_bytes(b"NVR" + bytes(64)); lines.append(f"==PROF== Report: '))
    result = example.run_pytest("--gpuperf", env=fake.environment())
    assert reasons(result) == {"test_it": ["ncu-failed"]}


def test_the_report_lies_beside_the_page_and_old_ones_go():
    example = Example({"conftest.py": FAKE_CONFTEST, "test_it.py": "import os, pytest\nCHILD = os.environ.get('GPUPERF_CHILD') == '1'\n" + GOOD})
    folder = example.path / "reports"
    folder.mkdir()
    for name in ("latest-2.ncu-rep", "latest-old.ncu-rep", "other.ncu-rep"):
        (folder / name).write_text("old")
    result, _ = session("", example=example)
    assert result.run is not None
    assert sorted(path.name for path in folder.glob("*.ncu-rep")) == ["latest-old.ncu-rep", "latest.ncu-rep", "other.ncu-rep"]
    profiled = result.run["cases"][1]["measurements"][0]["profiled"]
    assert profiled["command"] == "ncu --import latest.ncu-rep --launch-skip 1 --launch-count 1 --page details"


@pytest.mark.parametrize("mark", ["", "@pytest.mark.gpuperf(gpu=True)\n"])
def test_without_a_gpu_no_counter_is_there_either_which_fails_where_they_are_required(mark):
    text = f"""
import pytest

{mark}@pytest.mark.gpuperf(counters=["warps"])
def test_counted(gpuperf):
    gpuperf.measure(lambda: None)

def test_plain(gpuperf):
    gpuperf.measure(lambda: None)
"""
    example = Example({"test_it.py": text})
    simulator = {"NUMBA_ENABLE_CUDASIM": "1"}
    plain = example.run_pytest("--gpuperf", env=simulator)
    assert plain.returncode == 0, plain.stdout
    required = example.run_pytest("--gpuperf", "--gpuperf-ncu=require", env=simulator)
    assert verdicts(required) == {"test_counted": "FAIL", "test_plain": verdicts(plain)["test_plain"]}, required.stdout
    assert "UNMEASURED no-gpu" in required.stdout


def test_a_session_in_which_nothing_is_counted_says_so_at_once():
    result, _ = session(GOOD, ncu={"says": "ERR_NVGPUCTRPERM - The user does not have permission"})
    assert re.search(r"gpuperf: ncu: 0 of 3 profiled in [\d.]+ s, 1 start: ncu-permission\n", result.stdout), result.stdout
    assert "counters: none, though ncu 2025.3.1.0 was started once" in result.stdout


def test_a_limit_on_the_spot_takes_metrics_as_the_marker_does():
    result, _ = session("""
def test_kept(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6)).require(metrics={"sm__warps_launched.sum": "<= 1000"})

def test_broken(gpuperf, fake):
    gpuperf.measure(fake.kernel(20e-6), budget={"metrics": {"sm__warps_launched.sum": "<= 999"}})
""")
    assert verdicts(result) == {"test_kept": "PASS", "test_broken": "FAIL"}, result.stdout
    assert "sm__warps_launched.sum: 1,000 exceeds 999 (profiled run)" in result.stdout


def test_the_fake_ncu_lists_what_is_behind_every_short_name():
    assert set(LISTING) == {full.partition(".")[0] for row in COUNTERS for full in row.full} | {"gpu__time_duration"}
