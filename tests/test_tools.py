"""The scripts behind `make test`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import chromium
import parts
import pick_constraints
import regressions


@pytest.mark.parametrize("version", [None, (13, 0), (13, 4), (14, 0)])
def test_a_set_of_pins_for_a_new_driver_or_none(version):
    assert pick_constraints.pick(version) == "constraints/cuda13.txt"


def test_an_old_driver_gets_one_clear_line():
    with pytest.raises(SystemExit) as refused:
        pick_constraints.pick((12, 4))
    assert str(refused.value) == "this machine's NVIDIA driver supports CUDA 12.4, the pinned packages need 13.0: install driver 580 or newer"


def test_the_newest_set_that_the_driver_accepts():
    rows = (pick_constraints.ConstraintSet((13, 0), "old", "580"), pick_constraints.ConstraintSet((13, 4), "new", "600"))
    assert [pick_constraints.pick(version, rows) for version in ((13, 1), (13, 4), None)] == ["old", "new", "new"]


def test_each_set_is_a_file():
    assert all((parts.ROOT / row.file).is_file() for row in pick_constraints.SETS)


def test_a_failing_part_does_not_stop_the_others(monkeypatch, capfd):
    rows = (
        parts.Part("first", ("-c", "raise SystemExit(3)")),
        parts.Part("second", ("-c", "print('second ran')")),
        parts.Part("third", ("-c", ""), missing=lambda: "no third thing"),
        parts.Part("fourth", ("-c", "raise SystemExit(5)"), empty="nothing is marked"),
        parts.Part("later", ("-c", ""), every_run=False),
    )
    monkeypatch.setattr(parts, "PARTS", rows)
    monkeypatch.setattr(sys, "argv", ["parts.py"])
    with pytest.raises(SystemExit) as ended:
        parts.main()
    printed = capfd.readouterr().out
    assert ended.value.code == 1
    assert "second ran" in printed
    assert "exit status 3" in printed
    assert "no third thing" in printed
    assert "later" not in printed
    assert printed.splitlines()[-2:] == ["failed: first", "parts: 1 passed, 1 failed, 2 skipped"]


def test_a_part_that_collects_nothing_fails_unless_it_may():
    assert parts.run_part(parts.Part("tests", ("-c", "raise SystemExit(5)"))).verdict == "failed"


def test_a_part_that_hangs_is_ended():
    outcome = parts.run_part(parts.Part("slow", ("-c", "import time; time.sleep(60)"), limit_s=0.2))
    assert (outcome.verdict, outcome.why) == ("failed", "still running after its limit of 0.2 s")


def test_parts_do_not_inherit_settings(monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "--exitfirst")
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    monkeypatch.setenv("GPUPERF_COMMIT", "abc")
    assert not {"PYTEST_ADDOPTS", "NUMBA_ENABLE_CUDASIM", "GPUPERF_COMMIT"} & parts.environment().keys()


def test_an_unknown_part_is_named():
    with pytest.raises(SystemExit, match="no part 'typos'; there are: lint, types"):
        parts.select(["typos"], everything=False)


def test_parts_are_named_once():
    names = [part.name for part in parts.PARTS]
    assert len(names) == len(set(names))


def test_chromium_is_not_installed_on_somebodys_machine(monkeypatch):
    monkeypatch.setattr(chromium, "find", lambda: None)
    monkeypatch.setattr(chromium.shutil, "which", lambda name: f"bin/{name}")
    monkeypatch.setenv("CI", "")
    monkeypatch.setattr(chromium.subprocess, "run", lambda *a, **k: pytest.fail("installed something"))
    assert "apt-get install chromium" in chromium.missing()


def test_every_deliberate_regression_still_has_its_place(tmp_path):
    for one in regressions.REGRESSIONS:
        target = tmp_path / one.file
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            target.write_text((parts.ROOT / one.file).read_text(encoding="utf-8"), encoding="utf-8")
    told = regressions.apply(tmp_path)
    assert len(told) == len(regressions.REGRESSIONS)
    assert all((tmp_path / one.file).read_text(encoding="utf-8") != (parts.ROOT / one.file).read_text(encoding="utf-8") for one in regressions.REGRESSIONS)
    with pytest.raises(SystemExit, match="0 times, not once"):
        regressions.apply(tmp_path)


def test_the_repository_itself_is_not_regressed():
    with pytest.raises(SystemExit, match="name a copy"):
        regressions.apply(parts.ROOT)


def test_every_file_with_tests_in_a_browser_is_run_in_that_part():
    marked = {f"tests/{path.name}" for path in (parts.ROOT / "tests").glob("test_*.py") if "pytest.mark.browser" in path.read_text(encoding="utf-8")} - {"tests/test_tools.py"}
    assert marked == set(parts.BROWSER)
    for name in marked:
        assert "pytestmark = [pytest.mark.browser" in (parts.ROOT / name).read_text(encoding="utf-8"), "all of its tests need one"
