"""Sections of the Markdown summary: failures, what is not decided, budgets near their limits, every measurement."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_margin, format_quantity, plural, visible
from pytest_gpuperf.reasons import INCONCLUSIVE, PASS
from pytest_gpuperf.report.account import failures, groups, nearest
from pytest_gpuperf.report.budget_file import origin_of
from pytest_gpuperf.report.cut import Section
from pytest_gpuperf.report.gfm import cell, code, folded, prose, table
from pytest_gpuperf.report.html import GLYPHS
from pytest_gpuperf.report.qualified import promise_text, qualification_lines
from pytest_gpuperf.report.views import reproduce, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.report.account import Failure, Group, Near
    from pytest_gpuperf.report.beside import Beside
    from pytest_gpuperf.report.views import Row

#: Failures that are shown whole; the rest are lines in a folded part.
_WHOLE = 50
#: Subjects of a reason that stand open, and that are listed at all.
_OPEN, _SUBJECTS = 5, 100
_NEAREST = 10


def failing(run: dict[str, Any]) -> Iterator[Section]:
    """Yield the failures, wrong bits first, then the worst margin: each with every message and the line that reproduces it."""
    found = failures(run)
    if not found:
        return
    yield Section(2, "### Failures\n\nWrong bits first, then the worst margin.\n", tuple(map(_failure, found[:_WHOLE])), noun="failure")
    if len(found) > _WHOLE:
        head, tail = folded(plural(len(found) - _WHOLE, "more failure"))
        yield Section(5, head, tuple(f"- {code(one.case['nodeid'])}{_beside(one)} {code(one.messages[0], 200)}" for one in found[_WHOLE:]), tail, "failure")


def undecided(run: dict[str, Any]) -> Iterator[Section]:
    """Yield the reasons of what was not decided, each with its next step, and what they are about."""
    for place, group in enumerate(groups(run)):
        head = ["### Not decided\n"] if place == 0 else []
        head += [f"{GLYPHS[group.verdict]} **{group.verdict}** {code(group.code)}, {plural(len(group.subjects), 'time')}" + _why(group)]
        lines = [_subject(group, place) for place in range(min(len(group.subjects), _SUBJECTS))]
        if len(group.subjects) > _SUBJECTS:
            lines.append(f"- and {len(group.subjects) - _SUBJECTS:,} more, in the table")
        if len(lines) == 1 or (group.verdict == INCONCLUSIVE and len(lines) <= _OPEN):
            yield Section(4, "\n".join([*head, ""]), tuple(lines), noun="reason")
            continue
        opened, tail = folded(f"which {len(group.subjects):,}")
        yield Section(4, "\n".join([*head, "", opened]), tuple(lines), tail, "reason")


def near(run: dict[str, Any]) -> Iterator[Section]:
    """Yield the budgets that hold with the least margin."""
    found = nearest(run, _NEAREST)
    if found:
        yield Section(4, "### Nearest to their limits\n\n" + table((":margin", "measured", "limit", "test")), tuple(map(_near, found)), noun="budget")


def measured(run: dict[str, Any], joined: Beside) -> Iterator[Section]:
    """Yield the table of all measurements, worst first."""
    found = rows(run, joined)
    if not found:
        return
    heads = ("", "test", ":time p50", "interval", "limit", ":margin", ":% of roof") + ((":reference", ":change") if joined.reference else ())
    head, tail = folded(f"All {plural(len(found), 'measurement')}, worst first" if len(found) > 1 else "The measurement")
    legend = f"The reference: {prose(joined.label)}.\n\n" if joined.reference else ""
    yield Section(6, f"{head}\n{legend}{table(heads)}", tuple(_row(row, len(heads)) for row in found), tail, "row")


def qualified(run: dict[str, Any]) -> Iterator[Section]:
    """Yield what a qualification of the gate came to: promises that are not kept, and its table, folded."""
    record, lines = run.get("qualification"), list(qualification_lines(run))
    if record is None:
        return
    title, *rest = lines
    broken = [promise for promise in record["promises"] if promise["verdict"] != PASS and promise["share"]["of"]]
    yield Section(4, f"### The gate itself\n\n{prose(title)}.\n", tuple(f"- {GLYPHS[one['verdict']]} {one['verdict']} {cell(promise_text(one))}" for one in broken), noun="promise")
    if rest:
        head, tail = folded("pairs that fail by kernel and slowdown")
        yield Section(6, f"{head}\n<pre>", tuple(html.escape(visible(line)) for line in rest), f"</pre>\n{tail}")


def _failure(failure: Failure) -> str:
    said = [f"- {GLYPHS['FAIL']} **{code(failure.case['nodeid'])}**{_beside(failure)}", *(f"  - {code(message)}" for message in failure.first)]
    return "\n".join([*said, f"  - again: {code(reproduce(failure.case['nodeid']))}"])


def _beside(failure: Failure) -> str:
    case = failure.case
    told = [format_margin(failure.margin)] if failure.margin is not None else []
    told += ["expected to fail (xfail)"] if case.get("outcome") == "skipped" else []
    told += [f"attempt {case['attempt']}"] if case["attempt"] > 1 else []
    return f" ({', '.join(told)})" if told else ""


def _why(group: Group) -> str:
    said = f": {prose(group.sentence)}." if group.sentence else "."
    return said + (f"\\\n**Next:** {prose(group.next_step)}." if group.next_step else "")


def _subject(group: Group, place: int) -> str:
    subject = group.subjects[place]
    own = "" if group.sentence or not subject.sentence else f": {prose(subject.sentence, 300)}"
    return f"- {code(subject.case['nodeid'])} {prose(subject.what, 300) if subject.what else ''}".rstrip() + own


def _near(near: Near) -> str:
    budget = near.budget
    what = budget["quantity"] if budget["measurement"] == "main" else f"{budget['measurement']} {budget['quantity']}"
    value = format_quantity(budget["value"], budget["unit"]) if budget.get("value") is not None else "no value recorded"
    return f"| {_kept(format_margin(near.margin))} | {prose(what)} {_kept(prose(value))} | {cell(budget['text'])}{prose(origin_of(budget)) if budget.get('origin') else ''} | {cell(near.case['nodeid'])} |"


def _row(row: Row, columns: int) -> str:
    time, roof = row.cells.get("time"), row.cells.get("percent")
    told = [
        f"{GLYPHS.get(row.verdict, '')} {prose(row.word)}",
        f"{cell(row.case['nodeid'])} {prose(row.label)}",
        (_kept(time.number) or prose(time.why)) if time else "",
        _kept(time.interval) if time else "",
        cell(row.budget) if row.budget else "",
        _kept(row.margin_text),
        roof.number.removesuffix(" %") if roof else "",
        prose(row.reference) if row.reference else "",
        _kept(row.delta),
    ]
    return f"| {' | '.join(told[:columns])} |"


def _kept(number: str) -> str:
    """Keep a number and its unit on one line."""
    return number.replace(" ", "\u00a0")
