"""The types that users see: mypy reads tests/typing, where each expected mistake is an ignore that must be needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLACES = sorted((ROOT / "tests" / "typing").glob("*.py"))


def check(*paths):
    # With the project's settings and its cache: a second reading takes a fraction of a second.
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: path.stem)
def test_what_users_write_has_the_types_that_it_should(path):
    done = check(path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_expectation_is_found(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text((ROOT / "tests" / "typing" / "values.py").read_text(encoding="utf-8").replace("assert_type(m.time < 15e-6, bool)", "assert_type(m.time < 15e-6, int)"), encoding="utf-8")
    done = check(wrong)
    assert done.returncode == 1
    assert 'Expression is of type "bool", not "int"' in done.stdout
