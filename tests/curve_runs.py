"""Synthetic cases over a size, and a synthetic qualification, for the tests of what draws them."""

from __future__ import annotations

import random
from typing import Any

from run_files import case, reason, value

from pytest_gpuperf.qualify import trial
from pytest_gpuperf.qualify.plan import process_pairs, turns
from pytest_gpuperf.qualify.rule import pair
from pytest_gpuperf.qualify.subject import SUBJECTS
from pytest_gpuperf.values import Value

SIZES = [1 << power for power in (10, 14, 18, 22, 26)]


def sized(index: int, n: int, *, dtype: str = "float32", verdict: str = "PASS", code: str | None = None, function: str = "test_copy") -> dict[str, Any]:
    """Return a case of a size; without a time where it is UNMEASURED."""
    made = case(index, "PASS", random.Random(index))
    time = None if verdict == "UNMEASURED" else 1e-6 + n * 2e-12
    made |= {
        "file": "suites/test_copy.py", "function": function, "nodeid": f"suites/test_copy.py::{function}[{dtype}-{n}]", "verdict": verdict,
        "parameters": {"dtype": dtype, "n": str(n)}, "numbers": {"n": n}, "reasons": [reason(code)] if code else [], "budgets": [],
    }  # fmt: skip
    measured = made["measurements"][0]
    measured["values"] |= {
        "time": value(time, "s", why=code),
        "bandwidth": value(n * 8 / time if time else None, "B/s", why=code),
        "percent": value(80.0 if time else None, "%", why=code),
    }
    if time is None:
        measured["samples"] = None
    return made


def sizes_with_holes() -> list[dict[str, Any]]:
    """Return cases of five sizes, one of them INCONCLUSIVE and one UNMEASURED."""
    told = {2: ("INCONCLUSIVE", "drift"), 3: ("UNMEASURED", "sync")}
    return [sized(place, n, verdict=told.get(place, ("PASS", None))[0], code=told.get(place, ("", None))[1]) for place, n in enumerate(SIZES)]


def qualification(pairs: int = 24, seed: int = 1) -> dict[str, Any]:
    """Return the record of a qualification as a machine like an H200 would leave it."""
    draw = random.Random(seed)
    seconds = {subject.name: subject.seconds for subject in SUBJECTS}

    def time(name: str, slowdown: float, place: str) -> Value:
        centre = seconds[name] * (1 + slowdown) + draw.gauss(0, 1.6e-8)
        half = 2.8e-8 * draw.uniform(0.7, 1.4)
        return Value(centre, "s", "device", centre - half, centre + half, {f"device/kernel{place}": 1.16e-7}, name="time")

    found = []
    for turn in turns(pairs, seed):
        old = time(turn.kernel, 0.0, "")
        found += [pair(turn.kernel, "allocations", slowdown, old, time(turn.kernel, slowdown, "")) for slowdown in turn.slowdowns]
    for number in range(process_pairs(pairs)):
        for name in seconds:
            old = time(name, 0.0, f"/{2 * number}")
            found += [pair(name, "processes", slowdown, old, time(name, slowdown, f"/{2 * number + 1}")) for slowdown in (0.0, 0.05)]
    kernels = [trial.Kernel(name, {0.0: 50, 0.05: 60}, time(name, 0.0, "")) for name in seconds]
    return trial.record(found, kernels, trial.Setting("cold", 1.0, pairs), 97.4)
