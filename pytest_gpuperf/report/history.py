"""What the page shows of earlier runs: which measurements need it, and the points of one. Pure functions on records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_gpuperf.report.svg_history import Point

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["History", "Point", "with_this"]

Record = dict[str, Any]

#: The points of earlier runs, oldest first, by (node id, measurement): of the same model of device, cache state and source of the time.
History: TypeAlias = "Mapping[tuple[str, str], tuple[Point, ...]]"


def with_this(run: Record, case: Record, measurement: Record, past: History) -> tuple[Point, ...]:
    """Return the times of a measurement in earlier runs and in this one, the last; empty where there are none, or it has no time here.

    >>> point = Point("2026-11-20T10:00:00Z", "4f9d2c1", False, 1.1e-6, 1.0e-6, 1.2e-6)
    >>> run = {"run": {"started": "2026-11-21T10:00:00Z", "commit": None, "dirty": None}}
    >>> main = {"name": "main", "values": {"time": {"number": 1.2e-6, "low": None, "high": None}}}
    >>> [one.number for one in with_this(run, {"nodeid": "t.py::a"}, main, {("t.py::a", "main"): (point,)})]
    [1.1e-06, 1.2e-06]
    """
    earlier = past.get((case["nodeid"], measurement["name"]), ())
    time = measurement["values"].get("time", {})
    if not earlier or time.get("number") is None:
        return ()
    head, number = run["run"], time["number"]
    low, high = (number if time.get(end) is None else time[end] for end in ("low", "high"))
    return (*earlier, Point(str(head["started"]), head["commit"], bool(head["dirty"]), number, low, high))
