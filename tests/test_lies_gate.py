"""Attempts to get a regression past the gate, or a promise out of the file: each of these once passed without a word."""

from __future__ import annotations

import tomllib

import pytest
from compared_runs import measured, run_of
from plugin_runs import run_pytest

from pytest_gpuperf.cli import main
from pytest_gpuperf.records.merge import combine
from pytest_gpuperf.records.schema import validate
from pytest_gpuperf.reference.based import held_to_base
from pytest_gpuperf.reference.compared import compare
from pytest_gpuperf.reference.find import find
from pytest_gpuperf.reference.history import keep

GATE = ("--gpuperf-compare=last", "--gpuperf-fail-on=time:+5%")
A, B = "t.py::test_a", "t.py::test_b"


def test_a_second_try_is_not_held_against_the_regression(pytester):
    body = "def test_a(gpuperf, fake):\n    gpuperf.measure(fake.kernel({}e-6))\n"
    assert run_pytest(pytester, body.format(100)).status == 0
    for _ in range(2):
        done = run_pytest(pytester, body.format(120), *GATE, "--gpuperf-record")
        assert done.status == 1, done.text
        assert "gpuperf.toml: nothing recorded, as time:+5% failed the session" in done.text
        assert not (pytester.path / "gpuperf.toml").exists()
        assert done.run["run"]["exceeded"] == ["time:+5%"]
        assert validate(done.run) == []
    assert " failed time:+5% itself; passed over" in done.text


def test_the_journals_of_a_session_are_one_run_beside_whatever_else_lies_there(pytester):
    body = "def test_a(gpuperf, fake):\n    gpuperf.measure(fake.kernel({}e-6))\n"
    assert run_pytest(pytester, body.format(100)).status == 0
    (folder,) = (path for path in (pytester.path / "reports" / "runs").iterdir() if path.is_dir())
    assert list(folder.glob("*.json")), "what workers share of the device"
    done = run_pytest(pytester, body.format(120), f"--gpuperf-compare={folder}", GATE[1])
    assert done.status == 1, done.text
    assert main(["compare", str(folder), str(pytester.path / "reports" / "runs" / f"{done.run['run']['id']}.json"), "--fail-on=time:+5%"]) == 1


def _exceeded(number, time_us=60.0):
    run = run_of(measured(A, time_us), measured(B), number=number)
    run["run"]["exceeded"] = ["time:+5%"]
    return run


def test_a_run_that_exceeded_its_limits_is_the_last_resort(tmp_path):
    now = run_of(measured(A), measured(B), number=30)
    keep(_exceeded(5), tmp_path)
    found, said = find("last", tmp_path, now)
    assert (found["run"]["id"], said) == ("20261121T101505-1", "20261121T101505-1 failed time:+5% itself; there is no other")
    keep(run_of(measured(A), measured(B), number=4), tmp_path)
    found, said = find("last", tmp_path, now)
    assert (found["run"]["id"], said) == ("20261121T101504-1", "20261121T101505-1 failed time:+5% itself; passed over")
    assert combine([now, _exceeded(5)])["run"]["exceeded"] == ["time:+5%"]


def test_a_run_of_other_tests_hides_none(tmp_path):
    now = run_of(measured(A), measured(B), measured("t.py::test_new"), number=30)
    keep(run_of(measured(A), measured(B), number=3), tmp_path)
    keep(run_of(measured(A), measured(B), number=4), tmp_path)
    keep(run_of(measured(B), number=5), tmp_path)
    keep(run_of(number=6), tmp_path)
    found, said = find("last", tmp_path, now)
    assert found["run"]["id"] == "20261121T101504-1", "the newest of those that have most"
    assert said == "20261121T101505-1 has 1 of this run's 3 measurements; passed over"


@pytest.mark.parametrize("option", ["--gpuperf-fail-on=time:+5%", "--gpuperf-base=HEAD"])
def test_a_gate_that_measures_nothing_is_refused(pytester, option):
    done = run_pytest(pytester, "def test_a(gpuperf):\n    pass\n", "--gpuperf-off", "-q", "--gpuperf-compare=last", option)
    assert done.status == 4
    assert f"{option.partition('=')[0]}: nothing is measured without --gpuperf: add it" in done.text


def _fleet(*cases):
    run = run_of(*cases)
    run["devices"].append(run["devices"][0] | {"uuid": "GPU-2", "name": "NVIDIA A100"})
    return run


def test_a_measurement_that_one_machine_of_several_lost_is_missing():
    before = _fleet(measured(A), measured(A, device="GPU-2"), measured(B), measured(B, device="GPU-2"))
    now = _fleet(measured(A), measured(A, device="GPU-2"), measured(B))
    assert compare(now, before).missing == ((B, "main on NVIDIA A100"),)
    assert compare(run_of(measured(A), measured(B)), before).missing == (), "a run of one machine against a fleet's"


def test_a_new_wait_for_the_device_passes_no_limit_on_time_in_silence():
    turns = {"quantity": "wall_time", "old": 50e-6, "new_s": 90e-6, "ratio": 1.8, "low": 1.7, "high": 1.9, "reason": None, "new": False, "code": None}
    run = run_of(measured(A, None, base=turns | {"notes": ["t.py:3 waits"]}), measured(B, None, base=turns | {"notes": ["t.py:3 waits", "t.py:4 waits"]}))
    run["base"] = {"title": "main", "limits": "time:+5%", "reason": None, "missing": []}
    comparison = held_to_base(run)
    assert [(one.nodeid, judged.verdict, judged.change.reason.code) for one in comparison.held for judged in one.gates] == [(A, "UNMEASURED", "sync")]
    assert (comparison.failed(), comparison.failed("unmeasured")) == (False, True)


FILE = """\
[[budget]]
test = "*"
wall_time = "<= 1 us"
[[budget]]
test = "test_it.py::test_promised"
time = "<= 20 us"
reason = "the decode step waits for it"
"""


def test_neither_a_broken_case_nor_a_looser_limit_is_recorded(pytester):
    done = run_pytest(
        pytester,
        """
        @pytest.fixture
        def breaks():
            yield
            raise ValueError("left behind")

        def test_raises(gpuperf, fake):
            gpuperf.measure(fake.kernel(50e-6))
            raise ValueError("wrong result")

        def test_teardown(gpuperf, fake, breaks):
            gpuperf.measure(fake.kernel(50e-6))

        def test_promised(gpuperf, fake):
            gpuperf.measure(fake.kernel(50e-6))

        def test_slow(gpuperf, fake):
            gpuperf.measure(fake.kernel(50e-6))
        """,
        "--gpuperf-record",
        files={"gpuperf.toml": FILE},
    )
    assert done.status == 1
    budgets = tomllib.loads((done.path / "gpuperf.toml").read_text(encoding="utf-8"))["budget"]
    assert [one["test"] for one in budgets] == ["*", "test_it.py::test_promised", "test_it.py::test_slow"], "slow, and nothing else is wrong"
    told = [line.removeprefix("not recorded: ") for line in done.text.splitlines() if line.startswith("not recorded: ")]
    assert told == [
        "main of test_it.py::test_raises: the case failed: ValueError: wrong result",
        "main of test_it.py::test_teardown: the case failed: ValueError: left behind",
        "time of test_it.py::test_promised: gpuperf.toml:4 is stricter (<= 20 us), and a table of its own would stand before it: change it there",
    ]
