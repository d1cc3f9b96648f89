"""docs/budgets.md: its example runs and says what the page quotes, and its keys are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from test_readme import CONFTEST

from pytest_gpuperf.budgets.file import KEYS, KINDS, MISS
from pytest_gpuperf.options import OPTIONS
from pytest_gpuperf.report.budget_file import file_lines
from pytest_gpuperf.testing import Example

ROOT = Path(__file__).parent.parent
DOCS = (ROOT / "docs" / "budgets.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE))


def test_the_example_says_what_the_page_quotes():
    files = {"pytest.ini": "[pytest]\n", "conftest.py": CONFTEST, "gpuperf.toml": BLOCKS["toml"], "test_example.py": "from pytest_gpuperf import Work\n\n" + BLOCKS["python"]}
    done = Example(files).run_pytest("--gpuperf", "--gpuperf-strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert BLOCKS["text"].strip() in done.stdout, done.stdout
    assert "1 known in" in done.stdout
    assert done.run is not None
    assert file_lines(done.run) == []
    assert {name: number for name, number in done.run["account"].items() if number} == {"collected": 7, "PASS": 6, "FAIL": 1}


def test_every_key_is_in_the_table():
    rows = re.findall(r"^\| `(\w+)` \| (?:both|`\[\[budget\]\]`) \|", DOCS, re.MULTILINE)
    assert set(rows) == set(KEYS)
    assert all(f"[[{kind}]]" in DOCS for kind in KINDS)
    assert MISS in BLOCKS["toml"]


def test_the_page_names_its_options_and_is_named():
    flags = {option.flag for option in OPTIONS if option.field in {"budgets", "record", "record_margin"}}
    assert all(flag in DOCS for flag in flags)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "docs/budgets.md" in readme
    assert "docs/exit-codes.md" in readme
