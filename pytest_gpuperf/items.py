"""What a collected test says of itself: its markers by level, its limits, its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gpuperf.budgets.asked import asked_in
from pytest_gpuperf.budgets.collect import Marks
from pytest_gpuperf.records.keys import bare_nodeid

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKS = pytest.StashKey[Marks]()
#: A test that asked for the fixture while it ran, by request.getfixturevalue.
ASKED = pytest.StashKey[bool]()
#: The position of a test among those that its function was collected as.
INDEX = pytest.StashKey[int]()
#: The line of a test's file that raised.
FAILED_LINE = pytest.StashKey[int]()


def levels(item: pytest.Item) -> Iterator[tuple[str, Any]]:
    """Yield (level, marker) for every gpuperf marker of a test."""
    callspec = getattr(item, "callspec", None)
    of_parameters = getattr(callspec, "marks", ())
    for node, mark in item.iter_markers_with_node("gpuperf"):
        if node is item:
            level = "parameter marker" if any(mark is one for one in of_parameters) else "function marker"
        else:
            level = next((name for kind, name in _NODES if isinstance(node, kind)), "package marker")
            if level == "class marker" and node is not item.getparent(pytest.Class):
                level = "outer class marker"
        yield level, mark


_NODES: tuple[tuple[type, str], ...] = ((pytest.Class, "class marker"), (pytest.Module, "module marker"))


def is_case(item: pytest.Item) -> bool:
    """Say whether a test uses the fixture: then it is a case."""
    return "gpuperf" in getattr(item, "fixturenames", ()) or item.stash.get(ASKED, False)


def counters_of(item: pytest.Item) -> tuple[str, ...]:
    """Return the hardware counters that a test's code and its parameters name."""
    callspec = getattr(item, "callspec", None)
    return asked_in(getattr(item, "function", None), () if callspec is None else callspec.params.values())


def budgets_of(item: pytest.Item) -> dict[str, Any]:
    """Return what the journal holds of a collected case: its node id and the limits to account for."""
    marks = item.stash.get(MARKS, Marks())
    budgets = [
        {
            "measurement": one.of or "main",
            "quantity": one.limit.quantity,
            "statistic": one.limit.statistic,
            "text": one.limit.text,
            "op": one.limit.op,
            "limit": one.limit.number,
            "unit": one.limit.unit,
            "origin": one.origin,
            "glob": one.glob,
            **({"counter": one.key[1]} if one.key[1] != one.limit.quantity else {}),
        }
        for one in marks.budgets
    ]
    return {"nodeid": bare_nodeid(item.nodeid), "budgets": budgets}


def place_of(item: pytest.Item) -> dict[str, Any]:
    """Return where a test stands and its parameters, as the record of its case has them."""
    path, line, _ = item.location
    callspec = getattr(item, "callspec", None)
    return {
        "nodeid": bare_nodeid(item.nodeid),
        "file": path,
        "line": None if line is None else line + 1,
        **({"failed_line": item.stash[FAILED_LINE]} if FAILED_LINE in item.stash else {}),
        "function": getattr(item, "originalname", None) or item.name,
        "parameters": {} if callspec is None else {name: short(value) for name, value in callspec.params.items()},
        "numbers": {} if callspec is None else {name: value for name, value in callspec.params.items() if is_number(value)},
    }


def is_number(value: object) -> bool:
    """Say whether a parameter is a plain number, as a size: no flag, nothing infinite.

    >>> is_number(4096), is_number(0.5), is_number(True), is_number("4096"), is_number(float("inf"))
    (True, True, False, False, False)
    """
    return type(value) in {int, float} and math.isfinite(value)  # type: ignore[arg-type]


def skipped_at(report: pytest.TestReport, why: str) -> tuple[str, int, str]:
    """Say where a test was skipped and why: at the test, as the line of this plugin that ended it tells nobody anything."""
    path, line, _ = report.location
    return path, (line or 0) + 1, f"Skipped: {why}"


def short(value: object) -> str:
    """Return a parameter's value as text, cut where it is long."""
    try:
        text = repr(value) if not isinstance(value, str) else value
    except Exception as error:  # noqa: BLE001  (somebody else's __repr__ costs its text, not the session)
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."
