"""Two runs to hold against each other: cases with a time, counters and surroundings as a test wants them."""

from __future__ import annotations

import copy
import random

from run_files import assemble, case, value

US = 1e-6


def measured(nodeid, time_us=50.0, *, spread=0.002, name="main", device="GPU-1", **more):
    """Return a case of one measurement with this time; its own `values` are added, other keywords are of the measurement."""
    made = case(0, "PASS", random.Random(1), each=1)
    one = made["measurements"][0]
    values = {"time": value(None if time_us is None else time_us * US, "s", spread=spread, why="sync")} | more.pop("values", {})
    for timed in values.values():
        timed["systematic"] = 0.0 if timed["systematic"] is None else more.get("systematic", 0.05 * US if timed["unit"] == "s" else 0.0)
    more.pop("systematic", None)
    rows = [row | {"sm_clock": 1980} for row in one["evidence"]]
    one |= {"name": name, "cache": "cold", "values": values, "evidence": rows} | more
    return made | {"nodeid": nodeid, "device": device, "budgets": [], "measurements": [one]}


def count(number, unit="1", source="cupti"):
    """Return a count as a value."""
    return value(number, unit, source=source, spread=0.0) | {"low": number, "high": number, "systematic": 0.0}


def counter(number, unit="byte"):
    """Return a hardware counter."""
    return {"number": number, "unit": unit, "how": "single", "reason": None}


def compiled(registers=40, code="ab", kernel="decode", measurements=("main",), **toolchain):
    """Return a kernel that was compiled without being launched."""
    return {
        "kernel": kernel, "arch": "sm_90", "signature": "void()", "block": 128, "dynamic_shared": 0, "measurements": list(measurements),
        "quantities": {"registers": registers}, "holes": {}, "code_hash": code, "toolchain": {"nvvm": "13.0"} | toolchain, "mix": {}, "sass": None, "ptx": None, "error": None,
    }  # fmt: skip


def run_of(*cases, number=1, packages=None, **device):
    """Return a run of these cases; the number tells runs apart."""
    made = assemble(copy.deepcopy(list(cases)))
    made["run"] |= {"id": f"20261121T1015{number:02d}-1", "started": f"2026-11-21T10:15:{number:02d}Z", "complete": True}
    made["run"]["packages"] |= packages or {}
    made["devices"][0] |= device
    return made
