"""The hardware counters of one measurement: found in the profiled run, held against what was timed, and against its Work."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.case import Check, Undecided
from pytest_gpuperf.counters.lookup import Lookup
from pytest_gpuperf.counters.names import counter
from pytest_gpuperf.counters.results import COUNTER_HOLES, Profiled
from pytest_gpuperf.errors import Unmeasured
from pytest_gpuperf.reasons import FAIL, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_gpuperf.case import Case
    from pytest_gpuperf.counters.names import Counter
    from pytest_gpuperf.measurement import Measurement
    from pytest_gpuperf.runtime import Runtime

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True


def profiled(runtime: Runtime, case: Case, name: str) -> Profiled | Reason:
    """Return what the profiled run has of a measurement, or why it has nothing."""
    results = runtime.profiled()
    if results is None:
        return Reason("ncu-off" if runtime.config.ncu == "off" else "not-collected")
    found = results.of(case.key, name)
    device = results.record["device"]
    if isinstance(found, Profiled) and device is not None and device["name"] != runtime.device:
        return Reason("not-collected", f"the profiled run was on {device['name']}, this one is on {runtime.device}")
    return found


def same_inputs(found: Profiled | Reason, inputs: Mapping[str, Any] | None) -> Profiled | Reason:
    """Return what was found where the profiled call had the inputs of the timed one, and else that it had others; None says that nobody looked."""
    if isinstance(found, Reason) or inputs is None:
        return found
    theirs = found.record.get("inputs")
    if theirs is None or theirs == inputs:
        return found
    for what in ("shapes", "digests"):
        if theirs.get(what) != inputs.get(what):
            places = [str(place) for place, (one, other) in enumerate(zip(theirs.get(what) or [], inputs.get(what) or [], strict=False)) if one != other]
            where = f" of input {', '.join(places[:3])}" if places else ""
            return Reason("other-inputs", f"the profiled call had other {'shapes' if what == 'shapes' else 'contents'}{where} than the timed one")
    return Reason("other-inputs")


def lacks_required(runtime: Runtime, case: Case) -> bool:
    """Say whether a case lacks a hardware counter in a session that requires them; without a device it lacks all, and is told so."""
    if runtime.config.ncu != "require" or runtime.config.sanitize:
        return False
    hole = runtime.hole
    if hole is None or not case.marks.counters:
        return any(one["code"] in COUNTER_HOLES for one in case.reasons())
    if not any(one.reason == hole for one in case.undecideds):
        case.undecideds.append(Undecided(hole, f"{case.marks.counters[0]}: {hole}", "--gpuperf-ncu=require"))
    return True


def attach(made: Measurement, runtime: Runtime, case: Case, found: Profiled | Reason, l2_bytes: int | None, asked: Iterable[str]) -> None:
    """Give a measurement its counters; `asked` are those that somebody wants of it by name, whether or not they are judged.

    Where --gpuperf-ncu=require and one of them is not there, the case is UNMEASURED, which then fails. Work that is more than 10 % from the bytes
    that DRAM moved is noted, and under --gpuperf-strict it is a failed check.
    """
    results = runtime.profiled()
    mig = results is not None and bool((results.record["device"] or {}).get("mig"))
    lookup = Lookup(found, made.work, l2_bytes, case, mig)
    wanted = [row for row in map(counter, dict.fromkeys([*asked, *case.marks.counters])) if row is not None]

    def record(more: Iterable[Counter]) -> dict[str, Any]:
        return lookup.record([*wanted, *more])

    made.count, made.count_record = lookup.value, record
    if runtime.config.ncu == "require":
        quiet = dataclasses.replace(lookup, listener=None)
        holes = [value.reason for value in map(quiet.value, wanted) if value.number is None and value.reason is not None]
        if holes:
            case.undecided(Unmeasured(holes[0], f"{made.name} {wanted[0].name}"))
    for side in lookup.distrusted():
        made.details.setdefault("notes", []).append(str(side))
        if runtime.config.strict:
            case.distrust(Check("work", made.name, FAIL, str(side)))
