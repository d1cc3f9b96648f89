"""Counters of earlier runs: kept beside the runs, used again where nothing that they depend on has changed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.counters.results import write
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_gpuperf.counters.results import Profiled

FILE = "counters.json"
SCHEMA = 1
#: Folders that hold no source of this project.
_FOREIGN = {"__pycache__", "site-packages", "node_modules", "build", "dist", "reports"}


def load(path: Path) -> dict[str, Any]:
    """Return what is stored, by node id; nothing where there is no such file, or none that can be read."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    right = isinstance(stored, dict) and stored.get("schema") == SCHEMA and isinstance(stored.get("cases"), dict)
    return dict(stored["cases"]) if right else {}


def save(path: Path, before: Mapping[str, Any], record: Mapping[str, Any], sources: Callable[[], str]) -> None:
    """Store the cases of a profiled run over those of earlier ones; only such as have the code of every measurement, which alone says later that it is the same."""
    whole = [case for case in record["cases"] if _whole(case)]
    if not whole and not before:
        return
    # The sources are read where there is something to store.
    conditions = conditions_of(record, sources()) if whole else {}
    fresh = {case["nodeid"]: {"case": case, "metrics": record["metrics"], "taken": record["taken"], **conditions} for case in whole}
    gone = {case["nodeid"] for case in record["cases"]} - set(fresh)
    write({"schema": SCHEMA, "cases": {name: entry for name, entry in before.items() if name not in gone} | fresh}, path)


def conditions_of(record: Mapping[str, Any], sources: str) -> dict[str, Any]:
    """Return what must be the same for counters to be the same: device, driver, ncu, replay, seed, and the sources of the project."""
    device = record["device"] or {}
    return {"device": device.get("name"), "driver": device.get("driver"), "ncu": record["ncu"], "replay": record["replay"], "seed": record["seed"], "sources": sources}


def reusable(entry: Mapping[str, Any] | None, wish: Mapping[str, Any], conditions: Mapping[str, Any], now: str) -> dict[str, Any] | None:
    """Return a stored case for one that wants counters, each measurement with its age; None where something has changed or is missing."""
    if entry is None or any(entry.get(name) != value for name, value in conditions.items()) or not set(wish["counters"]) <= set(entry["metrics"]):
        return None
    age = (dt.datetime.fromisoformat(now) - dt.datetime.fromisoformat(entry["taken"])).total_seconds()
    # The report beside the page is that of the last profiled run, which did not hold these.
    aged = [one | {"age_s": age, "report": None, "metrics": entry["metrics"]} for one in entry["case"]["measurements"]]
    return {**entry["case"], **{name: wish[name] for name in ("nodeid", "file", "function", "index")}, "measurements": aged}


def same_code(found: Profiled | Reason, code: str | None) -> Profiled | Reason:
    """Return stored counters where the code that was timed is the one that was profiled, and else that it is not."""
    if isinstance(found, Reason) or found.record.get("age_s") is None:
        return found
    if code is None:
        return Reason("code-changed", "nothing tells the code of this body's kernels, so it cannot be held against the stored one")
    return found if code == found.record["code"] else Reason("code-changed")


def sources_of(root: Path) -> str:
    """Return a digest of the Python sources of a project: what may change its kernels before any of them is compiled."""
    digest = hashlib.blake2s()
    for path in _sources(root):
        digest.update(str(path.relative_to(root)).encode("utf-8", "surrogateescape") + b"\0")
        try:
            digest.update(hashlib.blake2s(path.read_bytes()).digest())
        except OSError:
            digest.update(b"?")
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in _FOREIGN and not os.path.exists(os.path.join(folder, one, "pyvenv.cfg")))  # noqa: PTH110, PTH118
        yield from (root.__class__(folder) / one for one in sorted(files) if one.endswith(".py"))


def _whole(case: Mapping[str, Any]) -> bool:
    found: Sequence[Mapping[str, Any]] = case["measurements"]
    return case["hole"] is None and bool(found) and all(one["hole"] is None and one["code"] is not None for one in found)
