"""Write the tables of docs/ that are made from lists of the code, between their marks; with --check only say which are stale."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pytest_gpuperf.counters.names import COUNTERS  # noqa: E402 - the checkout's own, whatever is installed
from pytest_gpuperf.metrics import METRICS, Metric  # noqa: E402
from pytest_gpuperf.options import OPTIONS, Option  # noqa: E402
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, REASONS, UNMEASURED, Verdict  # noqa: E402
from pytest_gpuperf.records.fields import RECORDS, Field  # noqa: E402

COMMAND = "python tools/docs_tables.py"


def cell(text: str) -> str:
    r"""Return a text as a cell of a table: on one line, its bars escaped.

    >>> cell("a|b")
    'a\\|b'
    """
    return " ".join(text.split()).replace("|", "\\|")


def table(head: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table; `head` names its columns, divided by bars.

    >>> table("a | b", [("1", "2")])
    ['| a | b |', '|---|---|', '| 1 | 2 |']
    """
    return [f"| {head} |", "|---" * (head.count("|") + 1) + "|", *(f"| {' | '.join(map(cell, row))} |" for row in rows)]


def reasons(verdict: Verdict) -> list[str]:
    """Return the reasons of one verdict, each with an anchor of its own: verdicts.md#straddles."""
    rows = [row for row in REASONS if row.verdict == verdict]
    return table("reason | what it says | what to do", ((f'<a id="{row.code}"></a>`{row.code}`', row.sentence, row.next_step) for row in rows))


def options() -> list[str]:
    """Return every option of `pytest` with its values and its default."""
    return table("option | what it does", ((f"`{_usage(row)}`", _told(row)) for row in OPTIONS))


def _usage(option: Option) -> str:
    values = "|".join(option.choices) or option.metavar or ""
    return f"{option.flag}[={values}]" if option.bare is not None else f"{option.flag} {values}".rstrip()


def _told(option: Option) -> str:
    default = f" Default: `{option.default}`." if option.default else ""
    return f"{option.help.replace('*', chr(92) + '*')}.{default}"


_UNITS = {"1": "count", "B": "bytes", "B/s": "bytes/s"}
_FULL = {row.name: " + ".join(row.full) for row in COUNTERS}


def quantities(*sources: str) -> list[str]:
    """Return the quantities of some sources, with what a limit may be written in."""
    rows = [row for row in METRICS if row.source in sources]
    return table("quantity | limit in | better | percentiles | what it is", ((f"`{row.name}`", _limits(row), row.better, _tails(row), _meaning(row)) for row in rows))


def _limits(metric: Metric) -> str:
    return ", ".join([_UNITS.get(metric.unit, metric.unit), *metric.relative])


def _tails(metric: Metric) -> str:
    return ", ".join(metric.statistics[1:])


def _meaning(metric: Metric) -> str:
    return f"{metric.meaning} (`{_FULL[metric.name]}`)" if metric.name in _FULL else metric.meaning


def fields(*records: str) -> list[str]:
    """Return the fields of records of a run file."""
    rows = [row for record in records for row in RECORDS[record]]
    return table("field | type | unit | what it is", ((f"`{row.name}`", f"`{row.type}`", row.unit, _present(row)) for row in rows))


def _present(field: Field) -> str:
    return field.meaning if field.required or "absent" in field.meaning else f"{field.meaning}; may be absent"


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One generated table: the page that has it, the name of its marks, and what makes its lines."""

    page: str
    name: str
    make: Callable[[], list[str]]


TABLES: tuple[Table, ...] = (
    Table("docs/verdicts.md", "inconclusive", lambda: reasons(INCONCLUSIVE)),
    Table("docs/verdicts.md", "unmeasured", lambda: reasons(UNMEASURED)),
    Table("docs/verdicts.md", "fail", lambda: reasons(FAIL)),
    Table("docs/verdicts.md", "not-applicable", lambda: reasons(NOT_APPLICABLE)),
    Table("docs/options.md", "options", options),
    Table("docs/quantities.md", "times", lambda: quantities("device", "host")),
    Table("docs/quantities.md", "calls", lambda: quantities("cupti")),
    Table("docs/quantities.md", "counters", lambda: quantities("ncu")),
    Table("docs/quantities.md", "code", lambda: quantities("compiler")),
    Table("docs/run-file.md", "file", lambda: fields("run file")),
    Table("docs/run-file.md", "case", lambda: fields("case")),
    Table("docs/run-file.md", "measurement", lambda: fields("measurement")),
    Table("docs/run-file.md", "budget", lambda: fields("budget")),
)


def filled(text: str, name: str, lines: list[str]) -> str:
    r"""Return a page with other lines between the marks of a table; ValueError where the page has no such marks.

    >>> filled("<!-- table: x -->\nold\n<!-- end of x -->\n", "x", ["new"])
    '<!-- table: x -->\nnew\n<!-- end of x -->\n'
    """
    pattern = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end of {re.escape(name)} -->\n)", re.DOTALL)
    found = pattern.search(text)
    if found is None:
        raise ValueError(f"no marks of a table {name!r}")
    return text[: found.start()] + found[1] + "".join(f"{line}\n" for line in lines) + found[2] + text[found.end() :]


def pages() -> dict[str, str]:
    """Return every page with generated tables as it should be, by its path."""
    made: dict[str, str] = {}
    for one in TABLES:
        text = made.get(one.page) or (ROOT / one.page).read_text(encoding="utf-8")
        made[one.page] = filled(text, one.name, one.make())
    return made


def stale() -> list[str]:
    """Return the pages whose tables are not what the lists say."""
    return [page for page, text in pages().items() if (ROOT / page).read_text(encoding="utf-8") != text]


def main() -> None:
    """Write the pages whose tables are stale and name them; with --check write nothing, exit status 1 where there is one."""
    found = stale()
    if "--check" not in sys.argv[1:]:
        for page, text in pages().items():
            (ROOT / page).write_text(text, encoding="utf-8")
    elif found:
        raise SystemExit(f"stale: {', '.join(found)}; run: {COMMAND}")
    print("\n".join(found) or "every table is what its list says")


if __name__ == "__main__":
    main()
