"""Merge: one run out of the journals of a session's processes, or out of the runs of shards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import UNMEASURED, Reason, worst
from pytest_gpuperf.records.account import account_problems, complete_case, expected, latest, reason_record, take_account, unforeseen
from pytest_gpuperf.records.budget_file import joined, used
from pytest_gpuperf.records.collection import without_collection
from pytest_gpuperf.records.filling import filled, profiled_runs
from pytest_gpuperf.records.journal import Reading, read_journal
from pytest_gpuperf.records.keys import bare_nodeid
from pytest_gpuperf.records.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_INTERRUPTED = Reason("interrupted")


@without_collection()
def merge(journals: list[Path]) -> dict[str, Any]:
    """Return the run, as the schema has it, that the journals of one session's processes tell of.

    A case that was started and did not end is UNMEASURED `interrupted`; one that was collected and never started is only
    counted, in `not_run`. The cases stand in the order of collection. RunFileError where a journal cannot be read.
    """
    readings = [read_journal(path) for path in journals]
    collected = _collected(readings)
    cases = [complete_case(case, collected.get(case["nodeid"])) for case in _numbered(_cases(readings))]
    deselected = _deselected(readings)
    ran = {case["nodeid"] for case in cases}
    return _assembled(
        run=_run(readings),
        devices=_devices(event["device"] for event in _all(readings, "device")),
        cases=_in_order(cases, list(collected)),
        not_run=[counted(nodeid, budgets) for nodeid, budgets in collected.items() if nodeid not in ran and nodeid not in deselected],
        deselected=[counted(nodeid, budgets) for nodeid, budgets in deselected.items() if nodeid not in ran],
        found=(len({*collected, *deselected, *ran}), _found(collected, deselected, ran) + _extra(cases, collected)),
        notes=[note for reading in readings for note in reading.notes],
        qualifications=[event["qualification"] for event in _all(readings, "qualification")],
        bases=[event["base"] for event in _all(readings, "base")],
        counters=[event["counters"] for event in _all(readings, "counters")],
        sanitizers=[event["sanitizer"] for event in _all(readings, "sanitizer")],
        # Every worker counts the same tests.
        files=[used(event["file"], collected, cases) for event in _all(readings, "budgets")[:1]],
    )


def combine(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one run out of the runs of shards; a case that two of them have is kept, as attempts, with a line in the notes."""
    cases = _stacked(runs)
    ran = {case["nodeid"] for case in cases}
    keys = [{(case["nodeid"], case["device"]) for case in run["cases"]} for run in runs]
    twice = sum(map(len, keys)) - len(set().union(*keys))
    not_run = {item["nodeid"]: item for run in runs for item in run.get("not_run", []) if item["nodeid"] not in ran}
    # A shard deselects what the others run: deselected is only what none of them ran.
    deselected = {item["nodeid"]: item for run in runs for item in run["deselected"] if item["nodeid"] not in ran and item["nodeid"] not in not_run}
    notes = [note for run in runs for note in run.get("notes", [])]
    if twice:
        notes.append(f"{twice} cases are in more than one of the merged runs; they are kept as attempts, and the last one counts")
    account = take_account(cases, list(not_run.values()), list(deselected.values()))
    return _assembled(
        run=_joined([run["run"] for run in runs]),
        devices=_devices(device for run in runs for device in run["devices"]),
        cases=cases,
        not_run=list(not_run.values()),
        deselected=list(deselected.values()),
        found=(len({*ran, *not_run, *deselected}), sum(account.values())),
        notes=notes,
        qualifications=[run["qualification"] for run in runs if "qualification" in run],
        bases=[run["base"] for run in runs if "base" in run],
        counters=[run["counters"] for run in runs if "counters" in run],
        sanitizers=[one for run in runs for one in run.get("sanitizer", [])],
        files=[run["budget_file"] for run in runs if "budget_file" in run],
        problems=[problem for run in runs for problem in run.get("problems", [])],
    )


def counted(nodeid: str, budgets: Any) -> dict[str, Any]:
    """Return the record of a case of which only the budgets are counted."""
    return {"nodeid": nodeid, "budgets": expected(budgets)}


def _assembled(
    *,
    run: dict[str, Any],
    found: tuple[int, int],
    qualifications: list[dict[str, Any]],
    bases: list[dict[str, Any]],
    counters: list[dict[str, Any]],
    sanitizers: list[Any],
    files: list[dict[str, Any]],
    problems: Iterable[str] = (),
    **parts: Any,
) -> dict[str, Any]:
    account = {"collected": found[1]} | take_account(parts["cases"], parts["not_run"], parts["deselected"])
    counts = {"cases": found[0], "budgets": found[1]}
    whole = {"schema": SCHEMA, "run": run, "devices": parts["devices"], "cases": parts["cases"], "collected": counts}
    whole |= {"deselected": parts["deselected"], "account": account, "not_run": parts["not_run"], "notes": parts["notes"]}
    if qualifications:
        # Of shards that each qualified their machine, the last one's is kept: their pairs are not of one device.
        whole["qualification"] = filled(qualifications[-1], "qualification")
    if bases:
        # Shards are of one base: what only it has, each of them names for its own files.
        missing = list(dict.fromkeys(nodeid for base in bases for nodeid in base["missing"]))
        whole["base"] = filled(bases[-1] | {"missing": missing, "cases": sum(base["cases"] for base in bases)}, "base")
    if counters:
        whole["counters"] = profiled_runs(counters)
    if sanitizers:
        whole["sanitizer"] = sanitizers
    if files:
        whole["budget_file"] = joined(files)
    return whole | {"problems": [*problems, *account_problems(whole)]}


def _all(readings: list[Reading], event: str) -> list[dict[str, Any]]:
    return [line for reading in readings for line in reading.events if line["event"] == event]


def _items(readings: list[Reading], event: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in _all(readings, event):
        for item in line["items"]:
            # Every xdist worker collects, and deselects, the same: the first to say so counts.
            found.setdefault(bare_nodeid(item["nodeid"]), item.get("budgets", []))
    return found


def _collected(readings: list[Reading]) -> dict[str, Any]:
    return _items(readings, "collected")


def _deselected(readings: list[Reading]) -> dict[str, Any]:
    return _items(readings, "deselected")


def _cases(readings: list[Reading]) -> list[dict[str, Any]]:
    found = [case for reading in readings for case in _cases_of(reading)]
    # Stable: within one journal the order of events stands, and cases without a time keep theirs.
    return sorted(found, key=lambda case: case["started"] or "")


def _cases_of(reading: Reading) -> list[dict[str, Any]]:
    worker = next((event.get("worker") for event in reading.events if event["event"] == "session"), None)
    slots: list[dict[str, Any]] = []
    running: dict[str, int] = {}
    hung: set[str] = set()
    for event in reading.events:
        kind = event["event"]
        if kind not in {"start", "part", "case", "hang"}:
            continue
        case = event["case"] | {"nodeid": bare_nodeid(event["case"]["nodeid"])}
        if kind == "part":
            place = running.get(case["nodeid"])
            if place is not None:
                slots[place] = _interrupted(with_parts(slots[place], case))
            continue
        # A case that comes to its end while the process is being ended has hung all the same.
        if kind == "case" and case["nodeid"] in hung:
            continue
        hung = hung | {case["nodeid"]} if kind == "hang" else hung - {case["nodeid"]}
        case.setdefault("worker", worker or "main")
        place = running.pop(case["nodeid"], None) if kind != "start" else None
        if kind == "start":
            running[case["nodeid"]] = len(slots)
            case = _interrupted(case)
        if place is None:
            slots.append(filled(case, "case"))
        else:
            before = slots[place]
            case = {"started": before["started"]} | case
            slots[place] = filled(with_parts(case, before) if kind == "hang" else case, "case")
    return slots


def with_parts(case: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a case with what a part of it has: one measurement or comparison a name, and every check and judged limit."""
    whole = dict(case)
    for name in _PARTS:
        if not part.get(name):
            continue
        added = [filled(one, _RECORD_OF[name]) for one in part[name] if isinstance(one, dict)]
        names = {one["name"] for one in added} if name in _NAMED else set()
        whole[name] = [one for one in whole.get(name, []) if one.get("name") not in names] + added if names else [*whole.get(name, []), *added]
    return whole


#: Lists of a case's record that grow while it runs, and those whose entries have a name of their own.
_PARTS = ("measurements", "comparisons", "checks", "budgets")
_NAMED = ("measurements", "comparisons")
_RECORD_OF = {"measurements": "measurement", "comparisons": "comparison", "checks": "check", "budgets": "budget"}


def _interrupted(case: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a case that did not end: UNMEASURED, or FAIL where a part of it had failed by then."""
    parts = [one["verdict"] for name in ("checks", "budgets") for one in case.get(name, [])]
    told = {"outcome": None, "verdict": worst([UNMEASURED, *parts]), "duration_s": None, "reasons": [reason_record(_INTERRUPTED)]}
    return case | told


def _numbered(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    numbers: dict[str, int] = {}
    numbered = []
    for case in cases:
        numbers[case["nodeid"]] = numbers.get(case["nodeid"], 0) + 1
        numbered.append(case | {"attempt": numbers[case["nodeid"]]})
    return numbered


def _stacked(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cases of several runs; attempts of one case on one device count on from run to run."""
    highest: dict[tuple[str, str | None], int] = {}
    stacked = []
    for run in runs:
        before = dict(highest)
        for case in run["cases"]:
            key = (case["nodeid"], case["device"])
            attempt = case["attempt"] + before.get(key, 0)
            highest[key] = max(highest.get(key, 0), attempt)
            stacked.append(case | {"attempt": attempt})
    return stacked


def _in_order(cases: list[dict[str, Any]], collected: list[str]) -> list[dict[str, Any]]:
    places = {nodeid: place for place, nodeid in enumerate(collected)}
    return sorted(cases, key=lambda case: (places.get(case["nodeid"], len(places)), case["nodeid"] if case["nodeid"] not in places else ""))


def _found(collected: dict[str, Any], deselected: dict[str, Any], ran: set[str]) -> int:
    """Return how many budgets collection found, counted from what it said and not from what became of them."""
    said = sum(expected(budgets) for nodeid, budgets in collected.items() if nodeid in ran or nodeid not in deselected)
    return said + sum(expected(budgets) for nodeid, budgets in deselected.items() if nodeid not in ran)


def _extra(cases: list[dict[str, Any]], collected: dict[str, Any]) -> int:
    """Return how many budgets the cases have that collection could not know; on a second device, all of a case."""
    seen: set[str] = set()
    extra = 0
    for case in latest(cases):
        again = case["nodeid"] in seen
        seen.add(case["nodeid"])
        extra += len(case["budgets"]) if again else unforeseen(case, collected.get(case["nodeid"]))
    return extra


def _devices(devices: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for device in devices:
        known = found.setdefault(str(device.get("uuid")), {})
        known |= {key: value for key, value in device.items() if value is not None}
    return [filled({"uuid": uuid} | device, "device") for uuid, device in found.items()]


def _run(readings: list[Reading]) -> dict[str, Any]:
    sessions = []
    for reading in readings:
        session = next((event for event in reading.events if event["event"] == "session"), None)
        if session is None:
            continue
        end = next((event for event in reversed(reading.events) if event["event"] == "end"), None)
        said = {"ended": end["ended"], "exit_status": end["exit_status"], "complete": True} if end else {"ended": None, "exit_status": None, "complete": False}
        workers = [session["worker"]] if "worker" in session else session["run"].get("workers", [])
        sessions.append(session["run"] | said | {"workers": workers})
    # The controller's word on the end counts: a worker that crashed and was replaced never writes one.
    mains = [run for run in sessions if run["workers"] == ["main"]]
    joined = _joined(sessions)
    if mains and len(sessions) > 1:
        joined |= {key: _joined(mains)[key] for key in ("id", "argv", "ended", "exit_status", "complete")}
        ran = {case.get("worker") for reading in readings for case in _cases_of(reading)}
        joined["workers"] = [worker for worker in joined["workers"] if worker != "main" or "main" in ran]
    return joined


def _joined(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one record of the run: the first's, with the outer times and the worst exit status of all."""
    runs = sorted(runs, key=lambda run: str(run.get("started") or "~"))
    if not runs:
        return filled({"complete": False}, "run")
    ends = [run.get("ended") for run in runs]
    statuses = [run.get("exit_status") for run in runs]
    workers = {str(worker) for run in runs for worker in run.get("workers", [])}
    said = {
        "ended": None if None in ends else max(str(end) for end in ends),
        "exit_status": None if None in statuses else max(int(str(status)) for status in statuses),
        "complete": all(run.get("complete", False) for run in runs),
        "workers": sorted(workers, key=_natural),
        "simulator": any(run.get("simulator", False) for run in runs),
    }
    exceeded = list(dict.fromkeys(text for run in runs for text in run.get("exceeded", [])))
    return filled(runs[0] | said | ({"exceeded": exceeded} if exceeded else {}), "run")


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", text) if part]
