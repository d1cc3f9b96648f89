"""Two large runs read at once, by two processes: what a comparison needs of one of them is little, and quick to hand over."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.records.collection import without_collection
from pytest_gpuperf.records.runfile import load
from pytest_gpuperf.reference.pairs import clock

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

Record = dict[str, Any]

#: Below so many bytes together, another process costs more than it saves.
LARGE = 20_000_000
_KEPT = ("nodeid", "attempt", "device", "outcome")
_DROPPED = ("samples", "evidence", "profile", "notes", "selfcheck", "roofs", "profiled")


def load_both(reference: Path, run: Path, quantities: Collection[str], large: int = LARGE) -> tuple[Record, Record]:
    """Return (reference, run); of a large reference only what a comparison of these quantities needs. RunFileError where one cannot be read."""
    if _size(reference) + _size(run) < large or (os.cpu_count() or 1) == 1:
        with without_collection():
            return load(reference), load(run)
    with executor(1) as other:
        asked = other.submit(slim_of, reference, tuple(quantities))
        with without_collection():
            here = load(run)
        try:
            return asked.result(), here
        except (OSError, concurrent.futures.BrokenExecutor):
            return load(reference), here


def executor(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    """Return processes that read run files; a command is one thread, so on Linux they begin as copies of it."""
    return concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn"))


def slim_of(path: Path, quantities: Collection[str]) -> Record:
    """Load a run and return it without what no comparison looks at."""
    with without_collection():
        return slim(load(path), quantities)


def slim(run: Record, quantities: Collection[str]) -> Record:
    """Return a run with these quantities, counters and compiled code, and of the evidence the clock; no schema holds for it.

    >>> one = {"name": "main", "values": {"time": 1, "roof": 2}, "evidence": [{"sm_clock": 1980}], "notes": []}
    >>> made = slim({"cases": [{"nodeid": "t", "attempt": 1, "device": None, "outcome": None, "measurements": [one], "error": "x"}]}, ["time"])
    >>> made["cases"][0]["measurements"]
    [{'name': 'main', 'values': {'time': 1}, 'evidence': [{'sm_clock': 1980.0}]}]
    """
    return run | {"cases": [_case(case, quantities) for case in run["cases"]]}


def _case(case: Record, quantities: Collection[str]) -> Record:
    kept = {name: case[name] for name in _KEPT}
    if "compiled" in case:
        kept["compiled"] = case["compiled"]
    return kept | {"measurements": [_measurement(one, quantities) for one in case["measurements"]]}


def _measurement(one: Record, quantities: Collection[str]) -> Record:
    values = one["values"]
    rest = {name: value for name, value in one.items() if name not in _DROPPED}
    return rest | {"values": {name: values[name] for name in quantities if name in values}, "evidence": [{"sm_clock": clock(one)}]}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # Whoever reads it says so.
        return 0
