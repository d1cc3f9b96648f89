"""Synthetic counters for the tests of what reads them: cases of every kind that a profiled run leaves, and the same run a commit earlier."""

from __future__ import annotations

import random
from typing import Any

from run_files import assemble, case

from pytest_gpuperf.reasons import Reason, reason_record

WRITE, READ, BUSY, WARPS = "dram__bytes_write.sum", "dram__bytes_read.sum", "dram__throughput.avg.pct_of_peak_sustained_elapsed", "sm__warps_launched.sum"
UNITS = {WRITE: "byte", READ: "byte", BUSY: "%", WARPS: "warp"}
REPORT = "latest.ncu-rep"


def counter(name: str, number: float | None, *, how: str = "", why: Reason | None = None) -> dict[str, Any]:
    """Return one counter of a measurement as the run file holds it."""
    return {"number": number, "unit": UNITS[name], "how": how, "reason": None if why is None else reason_record(why, f"main {name}")}


def kernel(name: str, time_s: float, **values: float) -> dict[str, Any]:
    """Return one kernel of a profiled range."""
    return {"name": name, "time_s": time_s, "values": {WRITE: values["write"], READ: values["read"], BUSY: values["busy"], WARPS: values["warps"]}}


def profiled(slug: str, kernels: list[dict[str, Any]], *, age_s: float | None = None) -> dict[str, Any]:
    """Return where counters come from."""
    command = f"ncu --import {REPORT} --nvtx --nvtx-include 'gpuperf@{slug}' --page details"
    return {"slug": slug, "report": REPORT, "command": command, "kernels": kernels, "age_s": age_s}


def limit(name: str, text: str, verdict: str, margin: float | None = None, why: Reason | None = None) -> dict[str, Any]:
    """Return a judged budget on a counter."""
    return {
        "measurement": "main", "quantity": name, "statistic": "value", "text": text, "op": "<=", "limit": 0.0, "unit": UNITS[name], "glob": "*", "origin": "function marker",
        "verdict": verdict, "reason": None if why is None else reason_record(why, f"main {name}"), "value": None, "low": None, "high": None, "margin": margin, "message": "",
    }  # fmt: skip


def with_counters(row: dict[str, Any], counters: dict[str, Any], kernels: list[dict[str, Any]], *limits: dict[str, Any], age_s: float | None = None) -> dict[str, Any]:
    """Give the measurement of a case counters, and the case limits on them."""
    measurement = row["measurements"][0]
    measurement |= {"counters": counters, "profiled": profiled(measurement["slug"], kernels, age_s=age_s)}
    row["budgets"] += limits
    return row


def counted_run(*, factor: float = 1.0, seed: int = 5) -> dict[str, Any]:
    """Return a run with counters: a failed budget, several kernels, values that L2 absorbed, a case that died, one that was stored."""
    rng = random.Random(seed)
    write, read = 536_870_912 * factor, 537_001_984.0
    names = ("void commit_rows<float16, 8>(unsigned char const*, unsigned char*, long const*, bool const*)", "fill", "void at::native::vectorized_elementwise_kernel<4>(int)")
    kernels = [kernel(name, 1e-4, write=write / 3, read=read / 3, busy=80.0 + place, warps=4096) for place, name in enumerate(names)]
    summed, weighted = "sum of 3 kernels", "mean of 3 kernels, weighted by their times"
    whole = {WRITE: counter(WRITE, write, how=summed), READ: counter(READ, read, how=summed), BUSY: counter(BUSY, 81.02, how=weighted), WARPS: counter(WARPS, 12288, how=summed)}
    absorbed, died = Reason("absorbed-by-l2", "4.194 MB written, less than 4x the L2 of 62.91 MB"), Reason("ncu-died", "ended by signal 6 in its second body")
    one = [kernel("copy_kernel", 2e-6, write=0.0, read=4_194_304.0, busy=12.5, warps=1024)]
    rows = [
        with_counters(case(1, "FAIL", rng), whole, kernels, limit(WRITE, "<= 512 MB", "FAIL", -0.0486), limit(READ, "<= 540 MB", "PASS", 0.0055)),
        with_counters(case(2, "INCONCLUSIVE", rng, kind="straddles"), {WRITE: counter(WRITE, 0.0, why=absorbed), WARPS: counter(WARPS, 1024)}, one,
                      limit(WRITE, "<= 5 MB", "INCONCLUSIVE", why=absorbed)),
        with_counters(case(3, "UNMEASURED", rng, kind="sync"), {WRITE: counter(WRITE, None, why=died)}, []),
        with_counters(case(4, "PASS", rng), {WARPS: counter(WARPS, 32)}, one, limit(WARPS, "== 32", "PASS", 0.0), age_s=93_600.0),
        case(5, "PASS", rng),
    ]  # fmt: skip
    head = {"ncu": "2025.3.1.0", "road": "ncu-report", "replay": "kernel", "starts": 2, "wall_s": 17.3, "cases": 3, "reports": [REPORT], "hole": None}
    return assemble(rows, seed=seed) | {"counters": head}
