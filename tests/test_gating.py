"""Sessions that are held against a reference: by file, by directory, by `last`; what fails them, and what they say."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from plugin_runs import run_pytest

from pytest_gpuperf.cli import main
from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.faults import _commands
from pytest_gpuperf.neutral import NEUTRALISED
from pytest_gpuperf.options import Config
from pytest_gpuperf.recorder import new_run_id
from pytest_gpuperf.records.runfile import load, write
from pytest_gpuperf.testing import fake_conftest

BODY = """
    import os

    def test_kernel(gpuperf, fake):
        gpuperf.measure(fake.kernel({us}e-6))

    def test_other(gpuperf, fake):
        gpuperf.measure(fake.kernel(60e-6))
"""


def session(pytester, us, *args, **more):
    return run_pytest(pytester, BODY.format(us=us), *args, **more)


def test_last_is_the_run_before_and_a_limit_that_is_exceeded_fails_the_session(pytester):
    first = session(pytester, 100, "--gpuperf-compare=last", "--gpuperf-fail-on=time:+5%")
    assert first.status == 0
    assert "gpuperf: --gpuperf-compare: no earlier run lies in " in first.text
    same = session(pytester, 100, "--gpuperf-compare=last", "--gpuperf-fail-on=time:+5%")
    assert same.status == 0, same.text
    assert "2 measurements compared: 2 SAME" in same.text
    assert "limits on changes: 2 PASS" in same.text
    slow = session(pytester, 110, "--gpuperf-compare=last", "--gpuperf-fail-on=time:+5%")
    assert (slow.status, slow.outcomes) == (1, {"passed": 2})
    assert "FAIL         test_it.py::test_kernel  time 100" in slow.text
    assert slow.run["run"]["exit_status"] == 1
    page = (pytester.path / "reports" / "latest.html").read_text(encoding="utf-8")
    assert "1 measurement is worse than the reference by more than is allowed" in page
    # Without a limit it is told, and fails nothing.
    told = session(pytester, 130, "--gpuperf-compare=last")
    assert told.status == 0
    assert "SLOWER       test_it.py::test_kernel" in told.text


def test_a_file_another_driver_and_strict(pytester):
    first = session(pytester, 100, "--gpuperf-json=ref.json")
    assert first.status == 0
    reference = load(pytester.path / "ref.json")
    reference["devices"][0]["driver"] = "1.2.3"
    write(reference, pytester.path / "ref.json")
    moved = session(pytester, 120, "--gpuperf-compare=ref.json", "--gpuperf-fail-on=time:+5%")
    assert moved.status == 0
    assert "  environment: driver 1.2.3 -> " in moved.text
    assert "INCONCLUSIVE environment-differs (2): driver 1.2.3 -> " in moved.text
    assert session(pytester, 120, "--gpuperf-compare=ref.json", "--gpuperf-fail-on=time:+5%", "--gpuperf-strict").status == 1


def test_a_history_that_machines_share(pytester):
    for us in (100, 100):
        assert session(pytester, us, "--gpuperf-history=shared").status == 0
    other = session(pytester, 100, "--gpuperf-history=shared", "--gpuperf-compare=last", conftest=fake_conftest(uuid="GPU-9", l2=1 << 16, name="NVIDIA A100"))
    assert "environment: device NVIDIA FAKE -> NVIDIA A100" in other.text
    back = session(pytester, 130, "--gpuperf-history=shared", "--gpuperf-compare=last", "--gpuperf-fail-on=time:+5%")
    assert "FAIL         test_it.py::test_kernel" in back.text, "the newest run of the same model, not the newest"
    assert len(list((pytester.path / "shared").glob("*.json"))) == 4
    assert main(["show", "test_kernel", "--history", str(pytester.path / "shared")]) == 0


@pytest.mark.parametrize(
    ("args", "story"),
    [
        (["--gpuperf-compare=none.json"], "gpuperf: cannot read run file "),
        (["--gpuperf-history=file/x"], "gpuperf: cannot write "),
        (["--gpuperf-compare=last", "--gpuperf-fail-on=tiem:+5%"], "--gpuperf-fail-on: no quantity 'tiem'; nearest 'time'"),
        (["--gpuperf-fail-on=time:+5%"], "--gpuperf-fail-on: there is nothing to compare with"),
    ],
)
def test_what_cannot_be_is_known_before_any_test(pytester, args, story):
    (pytester.path / "file").write_text("")
    done = session(pytester, 100, *args)
    assert done.status in {4, 8}
    assert story in done.text
    assert done.run is None
    assert "passed" not in done.outcomes


def test_limits_of_the_ini_file_are_for_runs_that_compare(pytester):
    ini = {"pytest.ini": "[pytest]\ngpuperf_fail_on = time:+5%\n"}
    assert session(pytester, 100, files=ini).status == 0
    assert session(pytester, 120, "--gpuperf-compare=last", files=ini).status == 1
    done = session(pytester, 120, files={"pytest.ini": "[pytest]\ngpuperf_fail_on = time+5%\n"})
    assert (done.status, "ini gpuperf_fail_on: 'time+5%' is no limit" in done.text) == (4, True)


def test_a_reference_that_goes_away_meanwhile_is_trouble_and_no_pass(pytester):
    session(pytester, 100, "--gpuperf-json=ref.json")
    text = BODY.format(us=100) + "\n    def test_gone():\n        os.unlink('ref.json')\n"
    done = run_pytest(pytester, text, "--gpuperf-compare=ref.json", "--gpuperf-fail-on=time:+5%")
    assert done.status == 8
    assert "gpuperf: cannot read run file " in done.text
    assert done.run is not None


def test_a_failed_test_keeps_its_exit_status(pytester):
    session(pytester, 100)
    text = BODY.format(us=130) + "\n    def test_bad():\n        raise ValueError\n"
    done = run_pytest(pytester, text, "--gpuperf-compare=last", "--gpuperf-fail-on=time:+5%")
    assert (done.status, done.outcomes) == (1, {"passed": 2, "failed": 1})


def test_the_verb_says_the_same_and_has_its_own_statuses(pytester, capsys):
    session(pytester, 100, "--gpuperf-json=a.json")
    slow = session(pytester, 110, "--gpuperf-json=b.json", "--gpuperf-compare=a.json", "--gpuperf-fail-on=time:+5%")
    a, b = str(pytester.path / "a.json"), str(pytester.path / "b.json")
    capsys.readouterr()
    assert main(["compare", a, b, "--fail-on", "time:+5%", "--markdown", str(pytester.path / "out" / "m.md"), "--page", str(pytester.path / "p.html")]) == 1
    said = capsys.readouterr().out
    assert said in slow.text
    assert "**FAIL**" in (pytester.path / "out" / "m.md").read_text(encoding="utf-8")
    assert 'id="compared"' in (pytester.path / "p.html").read_text(encoding="utf-8")
    assert main(["compare", a, b]) == 0
    assert main(["compare", a, a, "--fail-on", "time:+5%,launches:+0"]) == 0
    capsys.readouterr()
    assert main(["compare", a, b, "--fail-on", "time:5%"]) == 2
    assert main(["compare", a, "none.json"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("gpuperf compare: --fail-on: 'time:5%' is no limit")
    assert errors[1].startswith("gpuperf compare: cannot read run file none.json")
    assert len(errors) == 2


def test_the_verb_takes_a_directory_of_runs(pytester, capsys):
    session(pytester, 100)
    session(pytester, 110, "--gpuperf-json=b.json")
    runs = str(pytester.path / "reports" / "runs")
    capsys.readouterr()
    assert main(["compare", runs, str(pytester.path / "b.json"), "--fail-on", "time:+5%"]) == 1
    assert "FAIL         test_it.py::test_kernel" in capsys.readouterr().out
    (pytester.path / "one").mkdir()
    (pytester.path / "one" / "b.json").write_bytes((pytester.path / "b.json").read_bytes())
    assert main(["compare", str(pytester.path / "one"), str(pytester.path / "b.json")]) == 2
    assert capsys.readouterr().err == f"gpuperf compare: no earlier run lies in {pytester.path / 'one'}: nothing to compare with\n"


def test_sessions_of_one_second_and_one_process_id_are_two_runs(tmp_path, monkeypatch):
    """As in containers that share a disk: each has a process 7."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    made = []
    threads = [threading.Thread(target=lambda: made.append(new_run_id(tmp_path / "runs"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16
    assert all((tmp_path / "runs" / name).is_dir() for name in made)


def test_a_folder_of_runs_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(RunFileError, match=r"^cannot write runs into [^\n]*$"):
            new_run_id(path)


def test_a_process_that_is_ended_from_outside_writes_into_the_history_too():
    config = Config(history=Path("shared"), json=Path("out.json"))
    commands = _commands(SimpleNamespace(worker="main", config=config, run_id="r", folder=Path("r")))
    outputs = [command[-1] for command in commands if "merge" in command]
    assert outputs[:2] == ["reports/runs/r.json", "out.json"]
    assert re.fullmatch(r"shared/r-[0-9a-f]{8}\.json", outputs[2])


def test_a_child_session_compares_nothing_and_keeps_nothing():
    """What the parent does with its run is not done again: no option of a comparison reaches a child."""
    (row,) = (row for row in NEUTRALISED if row.what == "gpuperf")
    assert {"gpuperf_compare", "gpuperf_fail_on", "gpuperf_history"} <= set(row.options) & set(row.inis)
