"""The results file: what one profiled run found, written by the process that ran it and read by every one that times."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
#: Reasons for a hardware counter that is not there.
COUNTER_HOLES = frozenset(
    {"ncu-off", "no-ncu", "ncu-permission", "ncu-busy", "ncu-failed", "ncu-died", "ncu-hang", "ncu-body-failed", "no-such-counter", "no-kernel", "mig"}
    | {"not-in-child", "not-collected", "other-inputs", "code-changed"}
)
#: What of the results the run file has too.
HEAD = ("ncu", "road", "replay", "starts", "wall_s", "reports", "hole")


@dataclasses.dataclass(frozen=True, slots=True)
class Profiled:
    """One measurement of the profiled run, as the results file has it."""

    record: Mapping[str, Any]
    replay: str
    metrics: frozenset[str]

    @property
    def stored(self) -> bool:
        """Whether it is of an earlier run."""
        return self.record.get("age_s") is not None

    @property
    def hole(self) -> Reason | None:
        """Why nothing is known of it; None where something is."""
        return reason_of(self.record.get("hole"))


class Results:
    """What a profiled run found, by case and measurement."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        """Take a results file's contents."""
        self.record = record
        self._metrics = frozenset(record["metrics"])
        self._by_node = {one["nodeid"]: one for one in record["cases"]}
        self._by_place = {_place(one): one for one in record["cases"]}

    @property
    def hole(self) -> Reason | None:
        """Why nothing at all was found; None where something was."""
        return reason_of(self.record["hole"])

    def of(self, key: Mapping[str, Any], name: str) -> Profiled | Reason:
        """Return a measurement of a case by the case's key (its node id, else its place), or why there is none."""
        if self.hole is not None:
            return self.hole
        # Tests that were not seen to be collected have no place, whatever their function.
        case = self._by_node.get(key["nodeid"]) or (None if key["index"] < 0 else self._by_place.get(_place(key)))
        if case is None:
            return Reason("not-collected", "this case was not in the profiled run")
        found = next((one for one in case["measurements"] if one["name"] == name), None)
        if found is not None:
            return Profiled(found, self.record["replay"], frozenset(found["metrics"]) if "metrics" in found else self._metrics)
        return reason_of(case["hole"]) or Reason("ncu-body-failed", f"the profiled process did not reach the measurement {name!r}")


def hole_of(reason: Reason | None) -> dict[str, str] | None:
    """Return a reason as the results file has it."""
    return None if reason is None else {"code": reason.code, "detail": reason.detail}


def reason_of(hole: Mapping[str, str] | None) -> Reason | None:
    """Return the reason that the results file has."""
    return None if hole is None else Reason(hole["code"], hole["detail"])


def nothing(reason: Reason, replay: str = "kernel", **known: Any) -> dict[str, Any]:
    """Return the results of a run that found nothing, for one reason."""
    return {
        "schema": SCHEMA, "ncu": None, "road": None, "device": None, "seed": None, "replay": replay, "reports": [], "metrics": [], "wall_s": 0.0, "starts": 0,
        "taken": None, "hole": hole_of(reason), "cases": [],
    } | known  # fmt: skip


def head_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run file has of the results: how they were taken, and of how many cases."""
    return {name: record[name] for name in HEAD} | {"cases": sum(bool(one["measurements"]) for one in record["cases"])}


def write(record: Mapping[str, Any], path: Path) -> None:
    """Write a results file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(record, file)
    Path(temporary).replace(path)


def load(path: Path) -> Results | None:
    """Return the results that a file holds; None where there is no such file, or another version's."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Results(record) if isinstance(record, dict) and record.get("schema") == SCHEMA else None


def _place(key: Mapping[str, Any]) -> tuple[Any, ...]:
    return key["file"], key["function"], key["index"]
