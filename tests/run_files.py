"""Synthetic run files for the tests of what reads them: realistic in shape and size, the same for the same seed."""

from __future__ import annotations

import random
from typing import Any

TICK_S = 3.2e-8
CONSTANT_S = 2.16e-6

_REASONS = {
    "no-gpu": ("UNMEASURED", "no NVIDIA GPU is visible to this process", "run on a machine with a GPU and its driver"),
    "straddles": ("INCONCLUSIVE", "the limit lies inside the interval of what was measured", "raise --gpuperf-limit, or leave a margin"),
    "drift": ("INCONCLUSIVE", "the measurement drifts by more than 2 % and the limit lies inside the drift", "measure on an idle machine"),
    "sync": ("UNMEASURED", "the body synchronises with the host", "move the synchronisation out of the body, or judge wall_time"),
    "too-few-samples": ("UNMEASURED", "too few samples for this percentile", "raise --gpuperf-limit, or ask for p50"),
    "other-device": ("NOT-APPLICABLE", "the limit is for another device", "add a glob for this device, or '*'"),
}
_FILES = ("suites/test_masks_speed.py", "suites/test_staging_speed.py", "suites/test_compression_speed.py", "suites/test_masks_bits.py")
_DTYPES = ("float16", "bfloat16", "float32")


def reason(code: str, subject: str = "main time") -> dict[str, Any]:
    """Return a reason as the run file holds it."""
    verdict, sentence, step = _REASONS[code]
    return {"code": code, "verdict": verdict, "sentence": sentence, "next_step": step, "subject": subject}


def value(number: float | None, unit: str, *, spread: float = 0.004, source: str = "device", why: str | None = None) -> dict[str, Any]:
    """Return a value of a measurement; without a number it carries a reason."""
    if number is None:
        return {"unit": unit, "source": None, "number": None, "low": None, "high": None, "systematic": None, "reason": reason(why or "no-gpu")}
    low, high = number * (1 - spread), number * (1 + spread)
    return {"unit": unit, "source": source, "number": number, "low": low, "high": high, "systematic": 1e-7, "reason": None}


def samples(rng: random.Random, time_s: float, *, rounds: int = 10, each: int = 20, drift: float = 0.0, batch: int = 1) -> dict[str, Any]:
    """Return raw samples (integers of 0.1 ns, constant not subtracted) on the clock's 32 ns grid."""
    drawn = []
    for number in range(rounds):
        centre = time_s * (1 + drift * number / rounds)
        raw = [centre * (1 + rng.gauss(0, 0.004) + (0.03 + 0.05 * rng.random() if rng.random() < 0.02 else 0)) * batch + CONSTANT_S for _ in range(each)]
        drawn.append([round(round(seconds / TICK_S) * TICK_S * 1e10) for seconds in raw])
    return {"unit_s": 1e-10, "constant": round(CONSTANT_S * 1e10), "batch": batch, "rounds": drawn, "discarded": 0}


def budget(text: str, verdict: str, **over: Any) -> dict[str, Any]:
    """Return a judged budget on the time of `main`."""
    row = {
        "measurement": "main", "quantity": "time", "statistic": "p50", "text": text, "op": "<=", "limit": 12e-6, "unit": "s", "glob": "H200",
        "origin": "function marker", "verdict": verdict, "reason": None, "value": None, "low": None, "high": None, "margin": None, "message": "",
    }  # fmt: skip
    return {**row, **over}


def measurement(rng: random.Random, index: int, time_s: float | None, *, drift: float = 0.0, source: str = "device", each: int = 20, why: str = "no-gpu") -> dict[str, Any]:
    """Return a measurement of `main`; without a time it is one of a machine with no GPU."""
    moved = 2 * 134_217_728
    cache = ("cold", "warm", "steady")[index % 3]
    timed = time_s is not None
    values = {
        "time": value(time_s, "s", why=why),
        "time.p95": value(time_s * 1.02 if timed else None, "s", spread=0.01, why=why),
        "time.p99": value(None, "s", why="too-few-samples" if timed else why),
        "host_time": value(2.05e-5 if timed or why != "no-gpu" else None, "s", spread=0.03, source="host"),
        "wall_time": value(time_s + 1.9e-5 if timed else None, "s", spread=0.05, source="host"),
        "bandwidth": value(moved / time_s if timed else None, "B/s", why=why),
        "percent": value(100 * 6.3e-5 / time_s if timed else None, "%", why=why),
        "x_roof": value(time_s / 6.3e-5 if timed else None, "x roof", why=why),
    }
    evidence = [
        {"sm_clock": 1980, "memory_clock": 3201, "temperature": 35 + n // 3, "power": 120.5 + n, "throttle": 4 if drift and n > 5 else 0,
         "utilization": 0, "processes": []} for n in range(10)
    ]  # fmt: skip
    return {
        "name": "main", "slug": f"g{index:04d}-main", "cache": cache, "body": "kernel", "stream": 0,
        "work": {"reads": moved // 2, "writes": moved // 2, "flops": 0, "kind": "fp32"}, "values": values,
        "samples": samples(rng, time_s, drift=drift, each=each) if time_s is not None else None,
        "evidence": evidence if timed else [], "digest": f"{rng.getrandbits(64):016x}", "checked": "every sample" if timed else "unchecked",
        "varies": False, "notes": [] if timed else [f"ran once in the {source}"], "nvtx": f"g{index:04d}-main", "waited": None, "inputs": 1,
        "wall_s": 0.31, "duty": "spaced", "state": None, "code": None,
    }  # fmt: skip


def case(index: int, verdict: str, rng: random.Random, *, kind: str | None = None, gpu: bool = True, each: int = 20) -> dict[str, Any]:
    """Return a case of one verdict with one measurement, one identity check and one budget."""
    limit = 6.0e-5 + 4e-6 * (index % 7)
    margin = {"PASS": 0.01 + 0.3 * rng.random(), "FAIL": -0.02 - 0.4 * rng.random()}.get(verdict, 0.0005)
    time_s = limit * (1 - margin) if gpu and kind != "sync" else None
    function = ("test_mask_speed", "test_write_all", "test_pack_rows", "test_mask_bits")[index % 4]
    parameters = {"rows": str(1 << (10 + index % 8)), "dtype": _DTYPES[index % 3], "case": str(index)}
    reasons = [reason(kind)] if kind else []
    text = f"<= {limit * 1e6:.0f} us"
    judged = budget(text, "PASS" if kind == "identity" else verdict, limit=limit, reason=reasons[0] if reasons else None)
    checks = [{"kind": "identical", "name": "cache == reference", "verdict": "PASS", "detail": "1,048,576 elements of float32, raw bits"}]
    if time_s is not None:
        judged |= {"value": time_s, "low": time_s * 0.996, "high": time_s * 1.004, "margin": margin}
    error = None
    if verdict == "FAIL":
        judged["message"] = (
            f"time: {time_s * 1e6:.2f} us exceeds {limit * 1e6:.2f} us by {-100 * margin:.1f} % "
            f"(95 % interval {time_s * 0.996e6:.2f}..{time_s * 1.004e6:.2f}, 200 samples in 10 rounds, device clock, cold, SM 1980 MHz)"
        ) if time_s is not None else ""
        error = "BudgetExceeded: " + judged["message"]
    file = _FILES[index % 4]
    return {
        "nodeid": f"{file}::{function}[{'-'.join(parameters.values())}]", "attempt": 1, "device": "GPU-1" if gpu else None,
        "source": "device" if gpu else "simulator", "worker": "main", "file": file, "line": 12 + index % 90, "function": function,
        "parameters": parameters, "started": "2026-11-21T10:15:00Z", "duration_s": 0.4, "outcome": "failed" if verdict == "FAIL" else "passed",
        "verdict": verdict, "reasons": reasons, "error": error, "checks": checks, "budgets": [judged],
        "measurements": [measurement(rng, index, time_s, drift=0.05 if kind == "drift" else 0.0, source="simulator", each=each, why=kind or "no-gpu")],
    }  # fmt: skip


def identity_failure(index: int, rng: random.Random) -> dict[str, Any]:
    """Return a case whose bits differ, though it is fast enough."""
    row = case(index, "PASS", rng)
    detail = "bits differ: 37 of 1,048,576 elements, first at [0, 4711]: 0x3f800001 != 0x3f800000 (1 ulp), largest 3 ulp"
    row["checks"][0] |= {"verdict": "FAIL", "detail": detail}
    return {**row, "verdict": "FAIL", "outcome": "failed", "error": "NotIdentical: " + detail}


def make_run(*, passed: int = 24, failed: int = 4, undecided: int = 3, gpu: bool = True, seed: int = 7, each: int = 20) -> dict[str, Any]:
    """Return a whole run: passes, failures (the first by identity), inconclusive ones, and a few unmeasured or for another device."""
    rng = random.Random(seed)
    cases = [identity_failure(0, rng)] if gpu and failed else []
    cases += [case(len(cases) + n, "FAIL", rng, each=each) for n in range(failed - len(cases) if gpu else 0)]
    cases += [case(100 + n, "INCONCLUSIVE", rng, kind=("straddles", "drift")[n % 2]) for n in range(undecided if gpu else 0)]
    cases += [case(200 + n, "UNMEASURED", rng, kind="sync" if gpu else "no-gpu", gpu=gpu) for n in range(2 if gpu else passed)]
    cases += [case(290, "NOT-APPLICABLE", rng, kind="other-device", gpu=gpu)]
    cases += [case(300 + n, "PASS", rng, gpu=gpu, each=each) for n in range(passed if gpu else 6)]
    rng.shuffle(cases)
    return assemble(cases, gpu=gpu, seed=seed)


def assemble(cases: list[dict[str, Any]], *, gpu: bool = True, seed: int = 7) -> dict[str, Any]:
    """Wrap cases into a run whose account sums."""
    budgets = [row for entry in cases for row in entry["budgets"]]
    verdicts = ("PASS", "FAIL", "INCONCLUSIVE", "UNMEASURED", "NOT-APPLICABLE")
    account = {verdict: sum(row["verdict"] == verdict for row in budgets) for verdict in verdicts}
    device = {
        "uuid": "GPU-1", "name": "NVIDIA H200", "driver": "580.159", "cuda": "13.0", "memory_bytes": 150_754_820_096, "compute_capability": "9.0",
        "sm_count": 132, "l2_bytes": 62_914_560, "tick_s": TICK_S, "sm_clock": None,
        "calibration": {"kernel_s": CONSTANT_S, "graph_s": 1.92e-6, "systematic_s": 1e-7, "detail": "12 spin kernels of 0.5 to 65 us"},
    }  # fmt: skip
    return {
        "schema": 2,
        "run": {
            "id": "20261121T101500-1234", "started": "2026-11-21T10:15:00Z", "ended": "2026-11-21T10:16:12Z", "complete": True,
            "argv": ["pytest", "--gpuperf", "suites"], "commit": "4f9d2c1ab83e77d2", "dirty": True, "python": "3.11.7",
            "platform": "Linux-6.1.0-x86_64", "packages": {"numba-cuda": "0.30.4", "torch": "2.13.0", "numpy": "2.4.6"}, "seed": seed,
            "exit_status": 1, "workers": ["main"], "simulator": not gpu, "options": {"limit": 1.0, "cache": "cold", "strict": None},
        },
        "devices": [device] if gpu else [],
        "cases": cases,
        "collected": {"cases": len(cases), "budgets": len(budgets) + 2},
        "deselected": [{"nodeid": "suites/test_masks_speed.py::test_slow", "budgets": 2}],
        "account": {"collected": len(budgets) + 2, **account, "deselected": 2},
        "not_run": [], "notes": [], "problems": [],
    }  # fmt: skip
