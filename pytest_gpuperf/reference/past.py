"""The times of earlier runs beside those of this one, for the page: from the index of a history, quickly or not at all."""

from __future__ import annotations

import collections
import sqlite3
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.reference.index import Index
from pytest_gpuperf.report.details import FULL_ROWS, SMALL
from pytest_gpuperf.report.history import Point
from pytest_gpuperf.report.views import worst_first

if TYPE_CHECKING:
    from pathlib import Path

Record = dict[str, Any]

#: Runs before this one that a drawing has room for.
MOST = 29
#: For so long, s, run files that the index does not know are read before a page is drawn; what is left waits for the next page, or for `gpuperf show`.
PATIENCE_S = 1.0


def past(run: Record, directory: Path | None, patience: float = PATIENCE_S) -> tuple[dict[tuple[str, str], tuple[Point, ...]], list[str]]:
    """Return the times of earlier runs by (node id, measurement), oldest first, at most MOST each; and a line for each thing that went wrong.

    Of the measurements that are drawn whole, and of runs that began before this one on the same model of device, in the same cache state, by the same
    source. Nothing where the directory has no other run; a history that cannot be read is a line, never an error.
    """
    wanted = _wanted(run)
    if directory is None or not wanted or not _others(directory, run["run"]["id"]):
        return {}, []
    try:
        with Index(directory, patience=patience) as index:
            rows = index.times(sorted({nodeid for nodeid, _ in wanted}), str(run["run"]["started"]))
            # A run file that cannot be read is told by `gpuperf show`; here it would be told again after every session.
            said = [line for line in index.said if line not in index.torn]
    except (RunFileError, OSError, sqlite3.Error, ValueError) as error:
        return {}, [f"no history on the page: {str(error).splitlines()[0] if str(error) else type(error).__name__}"]
    return _sorted_out(rows, wanted), [f"history: {line}" for line in said]


def _wanted(run: Record) -> dict[tuple[str, str], tuple[str, str, str]]:
    """Return the model, cache state and source of what may be drawn whole; nothing for what has several, as on two models: a history is of one."""
    models = {device["uuid"]: device["name"] for device in run["devices"]}
    pairs = [(case, one) for case in run["cases"] if case["device"] in models for one in case["measurements"] if one["values"].get("time", {}).get("number") is not None]
    if len(pairs) > SMALL:
        pairs = worst_first(pairs)[:FULL_ROWS]
    found: dict[tuple[str, str], set[tuple[str, str, str]]] = {}
    for case, one in pairs:
        found.setdefault((case["nodeid"], one["name"]), set()).add((models[case["device"]], one["cache"] or "", one["values"]["time"]["source"] or ""))
    return {key: next(iter(kinds)) for key, kinds in found.items() if len(kinds) == 1}


def _others(directory: Path, own: str) -> bool:
    """Say whether a directory has a run file that is not this run's own: most sessions of a test of this plugin have none, and make no index."""
    try:
        return any(path.suffix == ".json" and not path.name.startswith((".", own)) for path in directory.iterdir())
    except OSError:
        return False


def _sorted_out(rows: list[Record], wanted: dict[tuple[str, str], tuple[str, str, str]]) -> dict[tuple[str, str], tuple[Point, ...]]:
    found: dict[tuple[str, str], collections.deque[Point]] = {}
    for row in rows:
        key = (row["nodeid"], row["measurement"])
        if wanted.get(key) != (row["model"] or "", row["cache"] or "", row["source"] or ""):
            continue
        number = row["number"]
        low, high = (number if row[end] is None else row[end] for end in ("low", "high"))
        kept = found.setdefault(key, collections.deque(maxlen=MOST))
        kept.append(Point(str(row["started"]), row["commit"], bool(row["dirty"]), number, low, high))
    return {key: tuple(points) for key, points in found.items()}
