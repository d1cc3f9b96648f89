"""Examples of pages that have no file of tests of their own run, in one session."""

from __future__ import annotations

import re
from pathlib import Path

from test_readme import CONFTEST, README

from pytest_gpuperf.testing import Example

DOCS = Path(__file__).parent.parent / "docs"
SETTINGS = "import pytest\nfrom pytest_gpuperf import Work\n\n"


def blocks(page: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_examples_run_and_the_run_file_is_read_as_the_page_says(monkeypatch, capsys):
    tests = {"test_bodies.py": SETTINGS + "\n".join(blocks("bodies.md"))}
    (limits,) = blocks("quantities.md")
    # On a fake device no limit of this one is meant to hold: that each is understood and judged is what is looked at.
    tests["test_quantities.py"] = SETTINGS + limits
    example = Example({"conftest.py": CONFTEST.replace("1 << 18", "1 << 12")} | tests)
    done = example.run_pytest("--gpuperf", "--gpuperf-json=run.json", "--gpuperf-ncu=off", "--gpuperf-archs=sm_90")
    assert done.outcomes() == {"passed": 1, "failed": 1}, done.stdout
    assert done.run is not None
    judged = [budget for case in done.run["cases"] for budget in case["budgets"] if "quantities" in case["nodeid"]]
    assert len(judged) == 7
    (reader,) = blocks("run-file.md")
    monkeypatch.chdir(example.path)
    exec(compile(reader, "run-file.md", "exec"), {})
    assert "test_bodies.py::test_bodies all PASS " in capsys.readouterr().out


def test_the_example_without_pauses_runs():
    (example,) = blocks("machine.md")
    done = Example({"conftest.py": CONFTEST.replace("1 << 18", "1 << 12"), "test_machine.py": SETTINGS + example}).run_pytest("--gpuperf", timeout=120)
    assert done.outcomes() == {"passed": 1}, done.stdout


def test_the_front_page_shows_the_example_of_the_readme():
    (front,) = blocks("index.md")
    assert front in README
    (failed,) = blocks("index.md", "text")
    assert failed in README


def test_what_it_quotes_of_the_terminal_is_what_getting_started_compares():
    quoted = blocks("report.md", "text")
    assert quoted == [text for text in blocks("getting-started.md", "text") if text.startswith("nearest")]


def test_every_word_of_measure_is_told():
    from pytest_gpuperf.fixture import OPTIONS

    told = re.findall(r"`(\w+)=", "".join(line for line in (DOCS / "bodies.md").read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("| `")))
    assert set(OPTIONS) == set(told) & set(OPTIONS)
