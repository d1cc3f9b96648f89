"""The terminal's summary of a run: failures, the budgets nearest to their limits, reasons, the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_margin, format_quantity, plural, visible
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, PASS, UNMEASURED
from pytest_gpuperf.report.account import Group, account_line, case_counts, failures, groups, nearest, simulated
from pytest_gpuperf.report.budget_file import file_lines, knowing, known_line, known_misses, origin_of
from pytest_gpuperf.report.counters import counters_line
from pytest_gpuperf.report.qualified import qualification_lines
from pytest_gpuperf.report.sanitized import sanitizer_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

Line = tuple[str, dict[str, Any]]

#: How the note begins that counters make of a Work which they do not confirm.
DISTRUSTED = "Work says "
_CORRECT = "next: let Work say what a call moves, as bandwidth and roof are made of it"
_NEAREST = 5
_SUBJECTS = 3
_FAILURES = 50
_MARKUP: dict[str, dict[str, Any]] = {
    PASS: {"green": True},
    FAIL: {"red": True},
    INCONCLUSIVE: {"yellow": True},
    UNMEASURED: {"cyan": True},
    NOT_APPLICABLE: {"light": True},
}


def summary_lines(run: dict[str, Any], verbosity: int = 0) -> list[Line]:
    """Return the summary as (text, keywords for `terminalreporter.write_line`).

    Failures stand first, a line a message, worst margin first; then what the file of budgets says, the five budgets nearest to their limits, the reasons of
    what was not decided with their next steps, the run under ncu, and the account. With verbosity above 0 no list is cut.
    """
    qualified: list[Line] = [(_one_line(line), {}) for line in qualification_lines(run, verbosity)]
    counters: list[Line] = [(line, {}) for line in [_one_line(counters_line(run))] if line]
    checked: list[Line] = [(_one_line(line), {"red": True} if wrong else {}) for line, wrong in sanitizer_lines(run)]
    return [*_failures(run, verbosity), *_filed(run, verbosity), *_nearest(run), *_reasons(run, verbosity), *_distrusted(run), *qualified, *checked, *counters, *_counts(run)]


def _distrusted(run: dict[str, Any]) -> Iterator[Line]:
    """Say where what a test states of its Work is not what was measured: its bandwidth is then worth as little."""
    for case in run["cases"]:
        for one in case["measurements"]:
            for note in one.get("notes") or []:
                if note.startswith(DISTRUSTED):
                    yield f"WARNING {_one_line(case['nodeid'])} {_one_line(one['name'])}: {_one_line(note)}; {_CORRECT}", {"yellow": True}


def _failures(run: dict[str, Any], verbosity: int) -> Iterator[Line]:
    found = failures(run)
    shown = found if verbosity > 0 else found[:_FAILURES]
    for failure in shown:
        for message in failure.messages if verbosity > 0 else failure.first:
            expected = " (xfail)" if failure.case.get("outcome") == "skipped" else ""
            yield f"FAIL{expected} {_one_line(failure.case['nodeid'])}  {_one_line(message)}", {"red": True}
    if len(found) > len(shown):
        yield f"and {plural(len(found) - len(shown), 'more failure')} (all of them with -v, and on the page)", {"red": True}


def _filed(run: dict[str, Any], verbosity: int) -> Iterator[Line]:
    """Say what the file of budgets knows to be missed, and what stands there in vain."""
    said = [(f"KNOWN MISS {known_line(case, budget)}", {"yellow": True}) for case, budget in known_misses(run)]
    said += [(f"{'WARNING ' if wrong else ''}{line}", {"yellow": True} if wrong else {}) for line, wrong in file_lines(run)]
    shown = said if verbosity > 0 else said[:_FAILURES]
    yield from ((_one_line(line), markup) for line, markup in shown)
    if len(said) > len(shown):
        yield f"and {len(said) - len(shown):,} more of the file of budgets (all of them with -v)", {}


def _nearest(run: dict[str, Any]) -> Iterator[Line]:
    found = nearest(run, _NEAREST)
    if found:
        yield "nearest to their limits:", {"bold": True}
    for near in found:
        budget = near.budget
        measured = format_quantity(budget["value"], budget["unit"]) if budget.get("value") is not None else "no value recorded"
        what = budget["quantity"] if budget["measurement"] == "main" else f"{budget['measurement']} {budget['quantity']}"
        yield f"  {format_margin(near.margin):>9}  {what} {measured}, limit {_one_line(budget['text'])}{_one_line(origin_of(budget))}  {_one_line(near.case['nodeid'])}", {}


def _reasons(run: dict[str, Any], verbosity: int) -> Iterator[Line]:
    for group in groups(run):
        if group.verdict == NOT_APPLICABLE and verbosity < 1:
            continue
        yield f"{group.verdict} {group.code} ({len(group.subjects):,}): {_said(group)}", _MARKUP.get(group.verdict, {})
        shown = group.subjects if verbosity > 0 else group.subjects[:_SUBJECTS]
        for subject in shown:
            own = "" if group.sentence else f": {_one_line(subject.sentence)}"
            yield f"    {_one_line(subject.case['nodeid'])}  {_one_line(subject.what)}".rstrip() + own, {}
        if len(group.subjects) > len(shown):
            yield f"    and {len(group.subjects) - len(shown):,} more", {}


def _said(group: Group) -> str:
    sentence = group.sentence or "see each"
    return _one_line(f"{sentence}; next: {group.next_step}" if group.next_step else sentence)


def _counts(run: dict[str, Any]) -> Iterator[Line]:
    counts = case_counts(run)
    in_simulator = sum(case["verdict"] == PASS and simulated(case) for case in run["cases"])
    words = [f"{count:,} {verdict}" for verdict, count in counts.items() if count]
    if in_simulator:
        words[0] += f" ({in_simulator:,} in the simulator)"
    if known := knowing(run):
        words[0] += f" ({known:,} with known misses)"
    worst = next((verdict for verdict in (FAIL, INCONCLUSIVE, UNMEASURED) if counts[verdict]), PASS)
    yield f"{plural(sum(counts.values()), 'case')}: " + (", ".join(words) or "none"), {"bold": True, **_MARKUP[worst]}
    if not run["run"].get("complete", True):
        yield "the session did not end: this is what its journal holds", {"yellow": True}
    left = len(run.get("not_run") or [])
    if left:
        yield f"{plural(left, 'collected case')} did not run before the session ended (UNMEASURED not-run in the account)", {"yellow": True}
    yield account_line(run), {}


def _one_line(text: str) -> str:
    """Keep a foreign text on its line: line ends become spaces, control characters escapes."""
    return visible(" ".join(text.split("\n"))).replace("\t", " ")
