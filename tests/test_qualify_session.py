"""--gpuperf-qualify from the command line: on a fake device from end to end, without a device, beside tests."""

from __future__ import annotations

import json
import re
import textwrap

import pytest

from pytest_gpuperf.qualify.plan import LEVELS, turns
from pytest_gpuperf.qualify.processes import Processes, Task, answer
from pytest_gpuperf.qualify.subject import SUBJECTS
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.report.terminal import summary_lines
from pytest_gpuperf.testing import Example, FakeDevice, FakeSpec, fake_conftest

SMALL = ("--gpuperf-qualify", "--gpuperf-pairs=1", "--gpuperf-limit=0.01", "-p", "no:xdist")
FAKE = {"conftest.py": fake_conftest(l2=1 << 16, sm_count=4)}


@pytest.fixture(scope="module")
def done():
    example = Example(FAKE)
    return example, example.run_pytest(*SMALL, timeout=120)


def test_a_session_without_tests_qualifies_and_writes_a_sound_record(done):
    _, result = done
    assert result.run is not None, result.stdout + result.stderr
    assert validate(result.run) == []
    assert result.run["run"]["exit_status"] == result.returncode
    found = result.run["qualification"]
    assert found["reason"] is None
    assert [kernel["name"] for kernel in found["kernels"]] == [subject.name for subject in SUBJECTS]
    for kernel, subject in zip(found["kernels"], SUBJECTS, strict=True):
        assert kernel["time"]["number"] == pytest.approx(subject.seconds, rel=0.1)
        counts = [kernel["iterations"][f"{level.slowdown:g}"] for level in LEVELS]
        assert counts == sorted(set(counts))
    here = [pair for pair in found["pairs"] if pair["kind"] == "allocations"]
    assert len(here) == sum(len(turn.slowdowns) for turn in turns(1, 0))
    there = [(pair["kernel"], pair["slowdown"]) for pair in found["pairs"] if pair["kind"] == "processes"]
    assert sorted(there) == sorted((subject.name, slowdown) for subject in SUBJECTS for slowdown in (0.0, 0.05))
    assert not any(pair["reason"] for pair in found["pairs"])
    assert all(pair["low"] < pair["ratio"] < pair["high"] for pair in found["pairs"])
    for pair in found["pairs"]:
        assert pair["ratio"] == pytest.approx(1 + pair["slowdown"], abs=0.03)


def test_pairs_of_fresh_processes_are_wider_by_what_the_clock_wanders(done):
    _, result = done
    widths = {kind: [pair["high"] - pair["low"] for pair in result.run["qualification"]["pairs"] if pair["kernel"] == "short" and pair["kind"] == kind] for kind in ("allocations", "processes")}
    # Twice 0.1 us of 2 us to either side.
    assert min(widths["processes"]) > 0.18
    assert max(widths["allocations"]) < 0.15


def test_the_processes_took_the_calibration_that_the_run_shares(done):
    example, _ = done
    folder = next(path for path in (example.path / "reports" / "runs").iterdir() if path.is_dir())
    tasks = [json.loads(path.read_text()) for path in sorted(folder.glob("qualify-*.task.json"))]
    assert len(tasks) == 2
    assert all(task["calibration"].endswith(f"calibration-{task['uuid']}.json") for task in tasks)
    assert len(list(folder.glob("calibration-*.json"))) == 1


def test_the_terminal_and_the_page_show_it(done):
    _, result = done
    assert "qualification: 24 pairs of 3 kernels, cold" in result.stdout
    assert result.stdout.count("none (A/A)") == 6
    assert "pairs that fail (and INCONCLUSIVE) at" in result.stdout
    page = result.report.read_text(encoding="utf-8")
    assert 'id="qualification"' in page
    assert page.count('class="dist curves"') == 3


def test_open_pairs_without_a_change_are_told_with_kernel_threshold_and_ratio(done):
    _, result = done
    lines = [text for text, _ in summary_lines(result.run, 1)]
    for pair in result.run["qualification"]["pairs"]:
        undecided = [f"{float(threshold) * 100:g} %" for threshold, verdict in pair["verdicts"].items() if verdict == "INCONCLUSIVE"]
        if undecided and not pair["slowdown"]:
            assert f"  A/A {pair['kernel']}, fresh {pair['kind']}: INCONCLUSIVE at {', '.join(undecided)}: ratio {pair['ratio']:.4f} ({pair['low']:.4f} .. {pair['high']:.4f})" in lines


def test_a_machine_on_which_the_gate_cries_wolf_fails_the_session():
    # Every measurement finds this device slower than the one before.
    example = Example({"conftest.py": fake_conftest(l2=1 << 16, sm_count=4, drift=1.0)})
    result = example.run_pytest(*SMALL, timeout=120)
    assert result.returncode == result.run["run"]["exit_status"] == 1, result.stdout
    assert re.search(r"FAIL false alarms at 2 %: [1-6] of 6 pairs", result.stdout), result.stdout
    assert re.search(r"A/A \w+, fresh allocations: false alarm at .*2 %.*: ratio 1\.\d+", result.stdout), result.stdout


def test_a_qualification_that_breaks_keeps_the_records_of_the_tests_and_has_its_own_exit_status():
    test = "def test_it(gpuperf, fake):\n    assert gpuperf.measure(fake.kernel(5e-6)).time < 1\n"
    example = Example({"conftest.py": fake_conftest(l2=1 << 16, sm_count=4, fail_launch=2000), "test_it.py": test})
    result = example.run_pytest(*SMALL)
    assert result.returncode == 8, result.stdout
    assert "gpuperf: --gpuperf-qualify: FakeDeviceError: launch(" in result.stdout
    assert [one["verdict"] for one in result.run["cases"]] == ["PASS"]
    assert "qualification" not in result.run


def test_a_process_that_does_not_answer_leaves_its_pairs_unmeasured_with_what_it_said(tmp_path):
    there = Processes(["--no-such-option"], tmp_path, tmp_path / "calibration.json", tmp_path, "GPU-1", "cold", 0.01)
    found = there.measure([10, 20], 1)
    assert [one.number for one in found] == [None, None]
    assert found[0].reason.code == "no-answer"
    assert "exit status 4: " in found[0].reason.detail


def test_a_process_measures_nothing_on_another_device_and_calibrates_for_itself_where_nothing_is_shared(tmp_path):
    def task(uuid):
        return Task(uuid, [10, 2000], "cold", 0.01, 1, str(tmp_path / "none.json"), str(tmp_path / "answer.json"))

    fake = FakeDevice(FakeSpec(l2=1 << 16, sm_count=4))
    with pytest.raises(RuntimeError, match=r"found GPU-fa4e.*, not GPU-other"):
        answer(task("GPU-other"), fake)
    answer(task(fake.facts.uuid), fake)
    times = json.loads((tmp_path / "answer.json").read_text())["times"]
    assert [one["reason"] for one in times] == [None, None]
    assert times[1]["number"] > times[0]["number"]


def test_without_a_device_it_is_one_unmeasured_line():
    example = Example({"test_it.py": "def test_it():\n    pass\n"})
    line = "qualification: UNMEASURED no-gpu"
    empty = Example({})
    alone = empty.run_pytest("--gpuperf-qualify", env={"CUDA_VISIBLE_DEVICES": ""})
    assert (alone.returncode, alone.stdout.count(line)) == (0, 1), alone.stdout
    assert validate(alone.run) == []
    assert alone.run["qualification"]["pairs"] == []
    assert alone.run["qualification"]["reason"]["code"] == "no-gpu"
    assert 'id="qualification"' in alone.report.read_text(encoding="utf-8")
    beside = example.run_pytest("--gpuperf-qualify", env={"CUDA_VISIBLE_DEVICES": ""})
    assert (beside.returncode, beside.outcomes(), beside.stdout.count(line)) == (0, {"passed": 1}, 1)
    strict = example.run_pytest("--gpuperf-qualify", "--gpuperf-strict=unmeasured", env={"CUDA_VISIBLE_DEVICES": ""})
    assert strict.returncode == 1


def test_a_session_without_the_option_qualifies_nothing_and_its_record_has_no_word_of_it():
    result = Example(FAKE | {"test_it.py": "def test_it():\n    pass\n"}).run_pytest("--gpuperf", "--gpuperf-pairs=1")
    assert "qualification" not in result.run
    assert "qualification" not in result.stdout


def test_another_source_of_times_is_refused_and_not_left_out():
    result = Example(FAKE).run_pytest(*SMALL, "--gpuperf-clock=graph")
    assert result.returncode == 4
    assert "ERROR: --gpuperf-qualify measures with the device clock, which --gpuperf-clock=graph does not ask for" in result.stdout + result.stderr


def test_a_failed_collection_is_not_followed_by_a_qualification():
    result = Example(FAKE | {"test_it.py": "import nothing_of_this_name\n"}).run_pytest(*SMALL)
    assert result.returncode == 2
    assert "qualification" not in (result.run or {})


INTERRUPTED = """
    from pytest_gpuperf.qualify import subject

    def pytest_configure(config):
        before, calls = subject.Bench.time, []

        def time(self, iterations):
            calls.append(iterations)
            if len(calls) == 14 + {more}:
                raise KeyboardInterrupt
            return before(self, iterations)

        subject.Bench.time = time
    """


@pytest.mark.parametrize(("more", "pairs"), [(-13, 0), (3, 4)])
def test_an_interrupted_qualification_is_no_pass_and_keeps_its_pairs(more, pairs):
    example = Example({"conftest.py": FAKE["conftest.py"] + textwrap.dedent(INTERRUPTED.replace("{more}", str(more)))})
    result = example.run_pytest(*SMALL, timeout=60)
    assert result.returncode == pytest.ExitCode.INTERRUPTED, result.stdout + result.stderr
    assert result.run["run"]["exit_status"] == result.returncode
    assert validate(result.run) == []
    assert result.run["qualification"]["reason"]["code"] == "interrupted"
    assert len(result.run["qualification"]["pairs"]) == pairs
    assert "interrupted" in result.stdout
