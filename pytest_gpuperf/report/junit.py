"""What JUnit files say of a case, as properties of its test: verdict, reasons, every number and every budget. Plain texts, so that they travel between processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_margin, shorten, visible
from pytest_gpuperf.report.budget_file import excused
from pytest_gpuperf.report.views import shown, word_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, Any]

#: What all names begin with.
PREFIX = "gpuperf"
VERDICT = "gpuperf_verdict"
_LONGEST = 500


def properties(case: Record) -> list[tuple[str, str]]:
    """Return the properties of a case's record, in reading order; of one name there may be several.

    >>> time = {"unit": "s", "source": "device", "number": 1.342e-05, "low": 1.34e-05, "high": 1.345e-05, "systematic": 0.0}
    >>> case = {"verdict": "PASS", "reasons": [], "budgets": [], "measurements": [{"name": "main", "values": {"time": time}}], "file": "t.py", "line": 3}
    >>> properties(case)
    [('gpuperf_verdict', 'PASS'), ('gpuperf_location', 't.py:3'), ('gpuperf.main.time', '13.42 us'), ('gpuperf.main.time.interval', '13.40..13.45 us')]
    """
    return [(visible(name), shorten(visible(text), _LONGEST)) for name, text in _found(case)]


def _found(case: Record) -> Iterator[tuple[str, str]]:
    yield VERDICT, word_of(case, case["verdict"])
    if case.get("file"):
        yield f"{PREFIX}_location", f"{case['file']}:{case.get('failed_line') or case['line'] or 1}"
    for text in dict.fromkeys(f"{reason['code']}: {reason['sentence']}; next: {reason['next_step']}" for reason in case["reasons"]):
        yield f"{PREFIX}_reason", text
    for measurement in case["measurements"]:
        for name, value in measurement["values"].items():
            told, at = shown(name, value), f"{PREFIX}.{measurement['name']}.{name}"
            # Of what has no number a limit says so, if anybody asked; a time is always asked for.
            if not told.known and name != "time":
                continue
            yield at, told.number or told.why
            if told.interval:
                yield f"{at}.interval", told.interval
    for budget in case["budgets"]:
        at = f"{PREFIX}.{budget['measurement']}.{budget['quantity']}" + (f".{budget['statistic']}" if budget.get("statistic") in {"p95", "p99"} else "")
        known = ", a known miss" if excused(budget) else ""
        yield f"{at}.budget", f"{budget['text']}: {budget['verdict']}{known}"
        if budget.get("margin") is not None:
            yield f"{at}.margin", format_margin(budget["margin"])
