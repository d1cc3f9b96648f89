"""Journals for the tests of what reads them: one session of three cases, as its recorder would write it."""

from __future__ import annotations

from pytest_gpuperf.records.journal import Journal

RUN = {
    "id": "20261121T101500-1", "started": "2026-11-21T10:15:00Z", "argv": ["pytest", "--gpuperf"], "commit": "abc", "dirty": False, "python": "3.11.7",
    "platform": "Linux", "packages": {}, "seed": 1, "workers": ["main"], "simulator": False, "options": {},
}  # fmt: skip
FIRST, SECOND, THIRD = "t.py::test_a", "t.py::test_b[x@y]", "t.py::test_c"
GPU = "GPU-1"


def limit(quantity="time", text="<= 12 us", **more):
    return {"measurement": "main", "quantity": quantity, "statistic": "p50", "text": text, "origin": "function marker"} | more


def judged(verdict="PASS", **more):
    numbers = {"op": "<=", "limit": 12e-6, "unit": "s", "glob": "*", "value": 1e-5, "low": 0.9e-5, "high": 1.1e-5, "margin": 0.1}
    return limit() | numbers | {"verdict": verdict, "reason": None, "message": "time: 10 us"} | more


def case(nodeid, *budgets, outcome="passed", verdict="PASS", device=GPU, **more):
    return {
        "nodeid": nodeid, "attempt": 1, "device": device, "source": "device", "worker": "main", "file": "t.py", "line": 3, "function": "test", "parameters": {},
        "started": "2026-11-21T10:15:01Z", "duration_s": 0.1, "outcome": outcome, "verdict": verdict, "reasons": [], "error": None, "checks": [],
        "budgets": list(budgets), "measurements": [],
    } | more  # fmt: skip


def journal(path, *events, run=RUN, items=((FIRST, [limit()]), (SECOND, [limit()]), (THIRD, [limit(), limit("bandwidth", ">= 80 %")])), worker="main", end=True):
    lines = Journal(path)
    lines.append("session", run=run, worker=worker)
    lines.append("collected", items=[{"nodeid": nodeid, "budgets": budgets} for nodeid, budgets in items])
    for kind, payload in events:
        lines.append(kind, **{{"start": "case", "part": "case", "case": "case", "hang": "case", "device": "device", "deselected": "items"}[kind]: payload})
    if end:
        lines.append("end", ended="2026-11-21T10:16:00Z", exit_status=0)
    assert lines.close() == 0
    return path


def start(nodeid, **more):
    return ("start", {"nodeid": nodeid, "started": "2026-11-21T10:15:01Z"} | more)


def sums(run):
    account = run["account"]
    return account["collected"] == sum(number for name, number in account.items() if name != "collected") and not run["problems"]
