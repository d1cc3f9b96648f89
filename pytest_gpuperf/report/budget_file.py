"""What a run says of its file of budgets: known misses, and tables that stand there in vain. Pure functions on a run dict."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import plural

if TYPE_CHECKING:
    from collections.abc import Iterator



def origin_of(budget: dict[str, Any]) -> str:
    """Return where a limit stands, in brackets.

    >>> origin_of({"origin": "gpuperf.toml:12"}), origin_of({"origin": None})
    (' [gpuperf.toml:12]', '')
    """
    return f" [{budget['origin']}]" if budget.get("origin") else ""


def known_misses(run: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the (case, budget) pairs of failures that the file of budgets knows of."""
    return [(case, budget) for case in run["cases"] for budget in case["budgets"] if excused(budget)]


def knowing(run: dict[str, Any]) -> int:
    """Return how many cases pass beside known misses."""
    return sum(case["verdict"] == "PASS" and any(map(excused, case.get("budgets", ()))) for case in run["cases"])


def excused(budget: dict[str, Any]) -> bool:
    """Say whether a budget is missed and known to be."""
    known: dict[str, Any] = budget.get("known") or {}
    return budget["verdict"] == "FAIL" and bool(known.get("excused"))


def of_verdict(budget: dict[str, Any]) -> str:
    """Return the verdict of a budget as it counts for its case: a known miss does not."""
    return "PASS" if excused(budget) else str(budget["verdict"])


def known_line(case: dict[str, Any], budget: dict[str, Any]) -> str:
    """Write one known miss, with why it is known and where that stands."""
    name = budget["measurement"]
    message = budget["message"] if name == "main" or budget["message"].startswith(name) else f"{name} {budget['message']}"
    return f"{case['nodeid']}  {message}; known: {budget['known']['text']} [{budget['known']['origin']}]"


def file_lines(run: dict[str, Any]) -> list[tuple[str, bool]]:
    """Return a line for each table of the file that stands there in vain, and whether it is wrong: then --gpuperf-strict fails the session.

    Wrong are a glob that matches no test and a known miss that is kept; a limit that a nearer one replaces everywhere is only said.
    """
    file = run.get("budget_file") or {}
    return [line for row in file.get("rows", []) for line in _lines(row, _day(run))]


def _day(run: dict[str, Any]) -> str:
    # Of the run, not of today: a page that is written again says the same.
    return str(run["run"].get("started") or dt.datetime.now(dt.UTC).isoformat())[:10]


def _lines(row: dict[str, Any], day: str) -> Iterator[tuple[str, bool]]:
    origin, words = row["origin"], f"; noted: {row['words']}" if row.get("words") else ""
    if not row["cases"]:
        if row.get("looked") and row.get("others"):
            yield f"{origin}: test = {row['test']!r} matches {plural(row['others'], 'test')}, none of which uses the gpuperf fixture{words}", True
        elif row.get("looked") and row.get("silent"):
            yield f"{origin}: test = {row['test']!r} matches no test, as its file gave none{words}", False
        elif row.get("looked"):
            near = f"; nearest {row['nearest']!r}" if row.get("nearest") else ""
            yield f"{origin}: test = {row['test']!r} matches no test{near}{words}", True
        return
    if row["kind"] == "known-miss":
        yield from _of_miss(row, day, words)
        return
    for limit in row["limits"]:
        what = f"{origin}: {limit['quantity']} {limit['text']} is judged nowhere"
        if limit["here"] and not limit["chosen"] and limit["instead"]:
            yield f"{what}: in {_all(row['cases'])} of {row['test']!r} a nearer limit stands before it ({', '.join(limit['instead'])})", False
        elif limit["chosen"] and limit.get("ran") and not limit.get("judged"):
            yield f"{what}: budget=, or a limit that names its measurement, stands before it in {_all(limit['ran'])} that ran", False


def _all(count: int) -> str:
    return "the one case" if count == 1 else f"all {plural(count, 'case')}"


def _of_miss(row: dict[str, Any], day: str, words: str) -> Iterator[tuple[str, bool]]:
    origin, met = row["origin"], row.get("met", {})
    if row["until"] is not None and day > row["until"]:
        yield f"{origin}: the known miss has ended on {row['until']} and excuses nothing{words}", False
    elif set(met) == {"kept"} and met["kept"] >= row["cases"] and row.get("looked"):
        yield f"{origin}: the known miss of {row['test']!r} is kept now, in {_all(met['kept'])}: take it out{words}", True
