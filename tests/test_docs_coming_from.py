"""docs/coming-from.md: what it says to write here runs, and its times are those of docs/clock-table.md."""

from __future__ import annotations

import re
from pathlib import Path

from test_readme import CONFTEST

from pytest_gpuperf.testing import Example

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "coming-from.md").read_text(encoding="utf-8")
HERE = [text for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if "gpuperf" in text]
#: By the beginning of a row of the page: the column of docs/clock-table.md that it quotes.
COLUMNS = {
    "CUPTI, the oracle": "CUPTI cold",
    "`gpuperf.measure` ": "ours cold",
    '`gpuperf.measure(cache="cold-dirty")`': "ours dirty",
    "an event pair": "events",
    "`triton.testing.do_bench`": "do_bench",
    "`do_bench_cudagraph`": "do_bench_cudagraph",
    "`torch.utils.benchmark`": "torch.benchmark",
    "`cupyx.profiler.benchmark`": "cupyx",
    "nvbench": "cuda-bench",
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_what_stands_for_each_tool_is_python():
    assert len(HERE) == 6
    for text in HERE:
        compile(text, "coming-from.md", "exec")


def test_what_stands_for_each_tool_runs():
    tests = "import pytest\nfrom pytest_gpuperf import Work\n\n" + "\n".join(HERE)
    done = Example({"conftest.py": CONFTEST.replace("1 << 18", "1 << 12"), "test_new.py": tests}).run_pytest("--gpuperf", "--gpuperf-ncu=off", timeout=120)
    assert done.outcomes() == {"passed": 7, "unmeasured": 1}, done.stdout


def test_the_times_are_those_of_the_table():
    table = (DOCS / "clock-table.md").read_text(encoding="utf-8").splitlines()
    head = next(cells(line) for line in table if line.startswith("| floats |"))
    measured = {row[0]: dict(zip(head, row, strict=True)) for row in map(cells, table) if row[0].startswith("2^") and len(row) == len(head)}
    for begin, column in COLUMNS.items():
        row = next(cells(line) for line in PAGE.splitlines() if line.startswith(f"| {begin}"))
        assert row[2:4] == [measured["2^10"][column], measured["2^22"][column]], begin
