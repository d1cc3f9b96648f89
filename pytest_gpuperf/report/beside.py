"""A recorded reference run beside this one: its values, its samples, and how the two environments differ."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_gpuperf.format import format_margin, format_quantity, visible
from pytest_gpuperf.report.samples import rounds_of

Record = dict[str, Any]

_COMMIT_DIGITS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two environments differ."""

    what: str
    here: str
    there: str


@dataclasses.dataclass(frozen=True, slots=True)
class Beside:
    """A run, its reference, and the reference's records by (node id, measurement); without a reference every answer is empty."""

    run: Record
    reference: Record | None
    index: dict[tuple[str, str], tuple[Record, Record]]

    @property
    def label(self) -> str:
        """Device, date and commit of the reference."""
        return origin(self.reference) if self.reference else ""

    @property
    def short(self) -> str:
        """Date and commit of the reference, for the head of a narrow column."""
        head = self.reference["run"] if self.reference else {}
        return visible(f"{str(head.get('started', ''))[:10]}\n{str(head.get('commit') or 'commit unknown')[:_COMMIT_DIGITS]}")

    def find(self, case: Record, measurement: Record) -> tuple[Record, Record] | None:
        """Return the reference's case and measurement of the same name."""
        return self.index.get((case["nodeid"], measurement["name"]))

    def comparable(self, case: Record, measurement: Record) -> bool:
        """Tell whether both were measured on one model of device, in one cache state."""
        found = self.find(case, measurement)
        return found is not None and measurement["cache"] == found[1]["cache"] and self.one_model(case, measurement)

    def one_model(self, case: Record, measurement: Record) -> bool:
        """Tell whether both were measured on one model of device: enough for counters, which a profiled run takes in a cache state of its own."""
        found = self.find(case, measurement)
        if found is None or self.reference is None:
            return False
        here, there = _model(self.run, case), _model(self.reference, found[0])
        return here is not None and here == there

    def cell(self, case: Record, measurement: Record) -> tuple[str, str]:
        """Return the reference's time as text, and this run's difference to it where both are comparable."""
        found = self.find(case, measurement)
        there = found[1]["values"].get("time", {}).get("number") if found else None
        if there is None or found is None:
            return "", ""
        here = measurement["values"].get("time", {}).get("number")
        cache = "" if measurement["cache"] == found[1]["cache"] else f" {found[1]['cache']}"
        delta = format_margin(here / there - 1) if here is not None and self.comparable(case, measurement) else ""
        return visible(f"{format_quantity(there, 's')}{cache}"), delta

    def ghost(self, case: Record, measurement: Record) -> list[float]:
        """Return the reference's samples in seconds where they may be drawn over this run's."""
        found = self.find(case, measurement)
        if found is None or not found[1].get("samples") or not self.comparable(case, measurement):
            return []
        return [value for row in rounds_of(found[1]["samples"]) for value in row]

    def differences(self) -> list[Difference]:
        """Return in what the two environments differ: device, driver, CUDA, Python, platform, packages, options."""
        if self.reference is None:
            return []
        here, there = surroundings(self.run), surroundings(self.reference)
        names = list(dict.fromkeys([*here, *there]))
        return [Difference(name, here.get(name, "none"), there.get(name, "none")) for name in names if here.get(name) != there.get(name)]

    def told(self) -> list[tuple[str, str, str]]:
        """Return the differences as rows: what, there, here."""
        return [(one.what, one.there, one.here) for one in self.differences()]


def beside(run: Record, reference: Record | None) -> Beside:
    """Index a reference run once; a later attempt of a case replaces an earlier one."""
    cases = reference["cases"] if reference else []
    return Beside(run, reference, {(case["nodeid"], m["name"]): (case, m) for case in cases for m in case["measurements"]})


def origin(run: Record) -> str:
    """Write where a run comes from: device, date, commit."""
    names = ", ".join(dict.fromkeys(device["name"] for device in run["devices"])) or "no GPU"
    return visible(f"{names}, {str(run['run']['started'])[:10]}, commit {commit_of(run)}")


def commit_of(run: Record) -> str:
    """Write a run's commit, short, and whether the tree had changes."""
    commit = run["run"].get("commit")
    if not commit:
        return "unknown"
    state = {True: " with uncommitted changes", False: "", None: " (changes unknown)"}[run["run"].get("dirty")]
    return f"{str(commit)[:_COMMIT_DIGITS]}{state}"


def surroundings(run: Record) -> dict[str, str]:
    """Return a run's environment as text by name, in reading order."""
    head = run["run"]
    found: dict[str, str] = {}
    for place, device in enumerate(run["devices"]):
        mark = f" {place}" if len(run["devices"]) > 1 else ""
        found |= {f"device{mark}": device["name"], f"driver{mark}": device["driver"], f"CUDA{mark}": device["cuda"]}
    found |= {"python": head["python"], "platform": head["platform"], "workers": ", ".join(head["workers"])}
    found |= {str(name): str(version) for name, version in sorted((head.get("packages") or {}).items())}
    found |= {f"option {name}": str(value) for name, value in (head.get("options") or {}).items() if value is not None}
    return {visible(name): visible(str(text)) for name, text in found.items()}


def _model(run: Record, case: Record) -> str | None:
    found = (device["name"] for device in run["devices"] if device["uuid"] == case.get("device"))
    return next(found, None)
