"""Which measurement of a run answers to which of the reference, and whether they were measured alike. Pure functions on records."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.records.account import latest
from pytest_gpuperf.reference.surroundings import DEVICE

Record = dict[str, Any]

#: SM clocks of two measurements further apart than this share are two clocks.
_CLOCKS_APART = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """One measurement: its case, its record, the device that it was made on (empty where none was)."""

    case: Record
    measurement: Record
    device: Record

    @property
    def name(self) -> tuple[str, str]:
        """What it is found by: node id and name."""
        return self.case["nodeid"], self.measurement["name"]


@dataclasses.dataclass(frozen=True, slots=True)
class Matched:
    """The measurements of two runs: pairs (new, old), those that only the run has, and those that only the reference has: at all, or on a model that the run has too."""

    pairs: list[tuple[Side, Side]]
    new: list[Side]
    missing: list[Side]


def match(run: Record, reference: Record) -> Matched:
    """Pair the measurements of two runs by node id and name; of several devices the same card first, then the same model, then any other."""
    theirs: dict[tuple[str, str], list[Side]] = {}
    for side in sides(reference):
        theirs.setdefault(side.name, []).append(side)
    pairs, new, met = [], [], set()
    for side in sides(run):
        found = theirs.get(side.name)
        if not found:
            new.append(side)
            continue
        met.add(side.name)
        pairs.append((side, found[0] if len(found) == 1 else max(found, key=lambda one: _nearness(side, one))))
    missing = [side for name, found in theirs.items() if name not in met for side in found[:1]]
    return Matched(pairs, new, missing + (_elsewhere(run, theirs, met) if len(run["devices"]) > 1 else []))


def _elsewhere(run: Record, theirs: dict[tuple[str, str], list[Side]], met: set[tuple[str, str]]) -> list[Side]:
    """Return what the reference has on a model that this run has too, and this run on another one only, as where a shard was lost."""
    here = {(side.name, side.device.get("name")) for side in sides(run)}
    models = {device["name"] for device in run["devices"]}
    lost = {(name, side.device.get("name")): side for name in theirs if name in met for side in theirs[name] if side.device.get("name") in models}
    return [side for key, side in lost.items() if key not in here]


def sides(run: Record) -> list[Side]:
    """Return every measurement of the cases that count, with its device."""
    devices = {device["uuid"]: device for device in run["devices"]}
    return [Side(case, one, devices.get(case["device"], {})) for case in latest(run["cases"]) for one in case["measurements"]]


def _nearness(one: Side, other: Side) -> tuple[bool, bool]:
    return one.device.get("uuid") == other.device.get("uuid"), one.device.get("name") == other.device.get("name")


def otherwise(new: Side, old: Side) -> Reason | None:
    """Say in what two measurements were not made in the same way; None where they were."""
    one, other = new.measurement, old.measurement
    for name, what in (("cache", "cache state"), ("duty", "duty"), ("work", "Work")):
        here, there = one.get(name), other.get(name)
        if here != there and (name == "cache" or (here is not None and there is not None)):
            words = f"another {what}: {there or 'none'} -> {here or 'none'}" if name != "work" else "Work says other bytes or operations than the reference's"
            return Reason("measured-otherwise", words)
    return None


def clock(measurement: Record) -> float | None:
    """Return the median SM clock, MHz, of the rounds that count: by stamps, else by NVML; None where nobody read it.

    >>> clock({"evidence": [{"sm_clock": 1980, "discarded": None}, {"sm_clock": 1755}, {"sm_clock": 1500, "discarded": "throttled"}]})
    1867.5
    """
    kept = [row for row in measurement.get("evidence") or [] if not row.get("discarded")]
    read = sorted([value for row in kept if (value := row.get("effective_clock") or row.get("sm_clock")) is not None])
    return (read[(len(read) - 1) // 2] + read[len(read) // 2]) / 2 if read else None


def clocks_differ(new: Side, old: Side) -> str:
    """Say in what the clocks of two measurements differ; empty where they do not, or nobody knows."""
    state, before = new.measurement.get("state"), old.measurement.get("state")
    here, there = clock(new.measurement), clock(old.measurement)
    if here and there and abs(here / there - 1) > _CLOCKS_APART:
        return f"SM clock {there:.0f} -> {here:.0f} MHz" + (f" ({before or 'free'} -> {state or 'free'})" if state != before else "")
    return ""


def same_code(new: Side, old: Side) -> bool | None:
    """Say whether both ran the same machine code; None where that is not known of both.

    What ran is hashed where the process that measured could see it; else what the compiler made of the kernels that it launched.
    """
    here, there = new.measurement.get("code"), old.measurement.get("code")
    if here is None or there is None:
        here, there = compiled_code(new), compiled_code(old)
    return None if not here or not there else here == there


def compiled_code(side: Side) -> dict[str, str] | None:
    """Return the hashes of the kernels that were compiled for a measurement, by kernel, architecture and signature; None where any is not known."""
    records = [one for one in side.case.get("compiled") or [] if side.measurement["name"] in one["measurements"]]
    hashes: dict[str, set[str]] = {}
    for one in records:
        if not one["code_hash"]:
            return None
        # Kernels of several modules may have one name.
        hashes.setdefault(identity(one), set()).add(one["code_hash"])
    return {name: " ".join(sorted(found)) for name, found in hashes.items()} or None


def identity(compiled: Record) -> str:
    """Return what a compiled kernel is known by in two runs."""
    return " ".join(str(compiled[name]) for name in ("kernel", "arch", "signature"))


#: What the clocks of a measurement move.
CLOCKS_MOVE = (DEVICE,)
