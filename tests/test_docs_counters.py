"""docs/counters.md: its examples run, its tables are those of the lists, its lines are what the code writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_readme import CONFTEST

from pytest_gpuperf.reasons import REASONS
from pytest_gpuperf.report.counters import HEADING, counters_line
from pytest_gpuperf.testing import Example

ROOT = Path(__file__).parent.parent
DOCS = (ROOT / "docs" / "counters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)

names = pytest.importorskip("pytest_gpuperf.counters.names")

#: How several kernels become one number, in words.
HOW = {"add": "added", "weigh": "mean, weighted by time", "most": "largest", "least": "smallest", "same": "one value"}


def rows(head: str) -> list[str]:
    """The rows of the table with such a head."""
    found = re.search(rf"^\| {re.escape(head)}.*?\n\|[-|]+\n((?:\|.*\n)+)", DOCS, re.MULTILINE)
    assert found, head
    return found[1].splitlines()


def test_every_short_name_is_in_the_table():
    wanted = [
        f"| `{row.name}` | {' + '.join(f'`{full}`' for full in row.full)} | {'count' if row.unit == '1' else row.unit} | {HOW[row.how]} | {row.meaning} |"
        for row in names.COUNTERS
    ]
    assert rows("name | in ncu") == wanted


def test_every_reason_is_in_the_table():
    codes = [row.code for row in REASONS]
    of_counters = [*REASONS[codes.index("ncu-off") : codes.index("code-changed") + 1], *(row for row in REASONS if row.code in {"absorbed-by-l2", "zero-ratio"})]
    assert rows("reason | why") == [f"| `{row.code}` | {row.sentence} | {row.next_step} |" for row in of_counters]


def test_the_example_runs():
    text = next(text for language, text in BLOCKS if language == "python")
    result = Example({"conftest.py": CONFTEST, "test_example.py": "import pytest\n" + text}).run_pytest("-q", "--gpuperf", timeout=120)
    # A fake device has no counters: what needs one is told so, and nothing passes for want of a number.
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.run is not None
    assert {case["function"]: case["verdict"] for case in result.run["cases"]} == {
        "test_commit_writes_less": "UNMEASURED", "test_transpose": "UNMEASURED", "test_only_shown_on_the_page": "PASS",
    }  # fmt: skip
    account = result.run["account"]
    assert (account["collected"], account["PASS"], account["UNMEASURED"]) == (3, 0, 3)


def test_the_conftest_is_python():
    text = next(text for language, text in BLOCKS if language == "python" and "GPUPERF_CHILD" in text)
    compile(text, "conftest.py", "exec")


def test_the_fake_ncu_counts_as_it_says():
    text = next(text for language, text in BLOCKS if language == "python" and "FakeNcu" in text)
    test = "def test_writes(gpuperf, kernel):\n    assert gpuperf.measure(kernel).dram_write <= 3e9\n"
    result = Example({"conftest.py": text, "test_example.py": test}).run_pytest("-q", "--gpuperf", timeout=120)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Value(dram_write: 4.000 GB, ncu) <= 3000000000" in result.stdout, result.stdout


def test_the_line_is_what_a_run_prints():
    (line,) = (text for language, text in BLOCKS if language == "text")
    head = {"ncu": "2025.3.1.0", "road": "ncu-report", "replay": "kernel", "starts": 1, "wall_s": 14.2, "cases": 12, "reports": [], "hole": None}
    assert line == counters_line({"counters": head, "cases": []}) + "\n"


def test_the_tables_of_the_page_are_headed_as_it_says():
    assert "caches were flushed" in DOCS.lower()
    assert HEADING.startswith("profiled run: caches flushed")


def test_readme_points_here():
    assert "docs/counters.md" in (ROOT / "README.md").read_text(encoding="utf-8")
