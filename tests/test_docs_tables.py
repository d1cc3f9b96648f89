"""The tables of docs/ that are made from lists of the code are what these lists say; the pages of the site are all there."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import docs_tables

from pytest_gpuperf.metrics import METRICS
from pytest_gpuperf.options import OPTIONS

ROOT = docs_tables.ROOT
DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", sorted({one.page for one in docs_tables.TABLES}))
def test_no_table_is_stale(page):
    assert (ROOT / page).read_text(encoding="utf-8") == docs_tables.pages()[page], f"run: {docs_tables.COMMAND}"


def test_every_quantity_has_a_row():
    text = (DOCS / "quantities.md").read_text(encoding="utf-8")
    assert all(text.count(f"\n| `{row.name}` |") == 1 for row in METRICS)


def test_a_page_without_the_marks_is_an_error():
    with pytest.raises(ValueError, match="no marks of a table 'options'"):
        docs_tables.filled("# Options\n", "options", [])


def test_its_docstrings_are_right():
    assert doctest.testmod(docs_tables) == (0, 3)


def test_a_bar_does_not_end_a_cell():
    row = next(line for line in docs_tables.options() if "`--gpuperf-clock " in line)
    assert "device\\|cupti\\|graph" in row
    assert len(docs_tables.options()) == len(OPTIONS) + 2


def test_every_mark_has_its_table():
    marked = {(path.relative_to(ROOT).as_posix(), name) for path in DOCS.glob("*.md") for name in re.findall(r"^<!-- table: (\S+) -->$", path.read_text(encoding="utf-8"), re.MULTILINE)}
    assert marked == {(one.page, one.name) for one in docs_tables.TABLES}


def test_every_page_is_in_the_menu_once():
    menus = re.findall(r"^```\{toctree\}\n(.*?)^```$", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    listed = [line for menu in menus for line in menu.splitlines() if line and not line.startswith(":")]
    assert sorted(listed) == sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "index")


def test_every_section_of_the_report_is_told():
    told = (DOCS / "report.md").read_text(encoding="utf-8")
    templates = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pytest_gpuperf" / "report").glob("*.jinja"))
    titles = [title.strip() for title in re.findall(r"<h2>([A-Z][a-z ]+)", templates)]
    titles += [title for pair in re.findall(r'<h2>\{\{ "(.*?)" if .*? else "(.*?)" \}\}', templates) for title in pair]
    assert len(titles) >= 9
    assert not [title for title in titles if title not in told]
