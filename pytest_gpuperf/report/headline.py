"""The first sentence of the page and what must be said beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import plural, visible
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, PASS, UNMEASURED
from pytest_gpuperf.report.account import case_counts, expected, simulated, taken_back
from pytest_gpuperf.report.budget_file import file_lines, knowing, known_line, known_misses

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How many known misses, and how many tables of the file that stand there in vain, are named at the top of the page.
_SHOWN = 20

#: What pytest's exit status tells beside the cases.
_ENDS = {
    2: "pytest was interrupted, or a file of tests could not be collected",
    3: "pytest had an internal error",
    4: "pytest was not used as it can be",
    5: "pytest found no test to run",
}

_SENTENCES = {
    FAIL: "{count:,} of {cases} {fail}",
    INCONCLUSIVE: "No case fails, but {count:,} of {cases} could not be decided",
    UNMEASURED: "No case fails, but {count:,} of {cases} could not be measured in full",
}


def headline(run: dict[str, Any]) -> tuple[str, str]:
    """Return the verdict of a whole run and its sentence; failures that fail no session, as expected ones, are told beside.

    >>> headline({"cases": [{"verdict": "PASS", "source": "device"}]})
    ('PASS', 'The only case passes')
    """
    back = {id(case) for case in taken_back(run)}
    counted = [case for case in run["cases"] if not expected(case) and id(case) not in back]
    wanted = len(run["cases"]) - len(counted) - len(back)
    verdict, sentence = _of(run | {"cases": counted})
    if not counted and wanted:
        verdict, sentence, wanted = PASS, f"{plural(wanted, 'case')} {'fails' if wanted == 1 else 'fail'}, as expected (xfail)", 0
    left = len(run.get("not_run") or [])
    ended = run.get("run", {}).get("complete", True)
    if verdict in {PASS, NOT_APPLICABLE} and run.get("qualification") is None and (left or not ended):
        verdict, sentence = UNMEASURED, f"No case fails, but {plural(left, 'collected case')} did not run" if left else "No case fails, but the session did not end"
    also = [f"{wanted:,} {'fails' if wanted == 1 else 'fail'} as expected (xfail)"] if wanted else []
    also += [f"{len(back):,} failed before {'a later attempt' if len(back) == 1 else 'later attempts'}"] if back else []
    return verdict, "; ".join([sentence, *also])


def _of(run: dict[str, Any]) -> tuple[str, str]:
    """Return verdict and sentence of the cases that count."""
    counts = case_counts(run)
    total = sum(counts.values())
    worst = next((verdict for verdict in _SENTENCES if counts[verdict]), None)
    qualified = _qualified(run.get("qualification"))
    if qualified is not None and (not total or (qualified[0] == FAIL and worst != FAIL)):
        return qualified
    if worst is not None:
        return worst, _SENTENCES[worst].format(count=counts[worst], cases=plural(total, "case"), fail="fails" if counts[worst] == 1 else "fail")
    if not counts[PASS]:
        return NOT_APPLICABLE, "No limit applies to this device" if total else "No case ran"
    if counts[NOT_APPLICABLE]:
        return PASS, f"All {counts[PASS]:,} cases that apply pass"
    if known := knowing(run):
        return PASS, f"All {total:,} cases pass, {known:,} of them with known misses" if total > 1 else "The only case passes, with known misses"
    where = " in the simulator" if all(simulated(case) for case in run["cases"]) else ""
    return PASS, (f"All {total:,} cases pass" if total > 1 else "The only case passes") + where


def _qualified(record: dict[str, Any] | None) -> tuple[str, str] | None:
    """Return what is to be said of a qualification where nothing else is to be said first; None where there is none."""
    if record is None:
        return None
    if record["reason"] is not None:
        return UNMEASURED, "This gate could not be qualified here"
    broken = [promise["name"] for promise in record["promises"] if promise["verdict"] == FAIL]
    if broken:
        return FAIL, f"This gate breaks what it promises: {', '.join(broken)}"
    kept = all(promise["verdict"] == PASS for promise in record["promises"])
    return (PASS, "This gate keeps what it promises") if kept else (INCONCLUSIVE, "This gate keeps what it promises, as far as so few pairs tell")


def without_gpu(run: dict[str, Any]) -> bool:
    """Tell whether a run says that no GPU was there: a run that measured nothing on one is not the same."""
    for case in run["cases"]:
        values = (value for one in case["measurements"] for value in one["values"].values())
        reasons = [*case["reasons"], *(told.get("reason") for told in (*case["budgets"], *values))]
        if any(reason and reason["code"] == "no-gpu" for reason in reasons):
            return True
    return False


def notices(run: dict[str, Any]) -> list[str]:
    """Return what a reader must know before reading any number: no GPU, the simulator, a session that did not end."""
    head, said = run["run"], []
    if not head.get("complete", True):
        said.append("The session did not end: it was killed or it crashed. This page shows what its journal holds; cases without an outcome are UNMEASURED.")
    # A case that was skipped, as one that asks for a GPU is, ran nothing.
    in_simulator = sum(simulated(case) and case.get("outcome") != "skipped" for case in run["cases"])
    bits = f" The kernels of {plural(in_simulator, 'case')} ran in the simulator: their bits were checked by identical and close, their times were not." if in_simulator else ""
    if not run["devices"]:
        none = "This run had no GPU" if without_gpu(run) else "Nothing was measured on a GPU in this run"
        said.append(f"{none}: limits on times and bandwidths are UNMEASURED, not passed, and outputs= were not checked: there were no timed calls." + bits)
    elif bits:
        said.append(bits.strip())
    left = len(run.get("not_run") or [])
    if left:
        said.append(f"{plural(left, 'collected case')} did not run before the session ended; their budgets are UNMEASURED not-run in the account.")
    said += _ended(run)
    said += [f"Known miss: {visible(known_line(case, budget))}" for case, budget in known_misses(run)[:_SHOWN]]
    said += [visible(line) for line, _ in file_lines(run)[:_SHOWN]]
    # What the merge of the journals found: lines that were lost, keys that occurred twice.
    return said + [visible(str(line)) for name in ("problems", "notes") for line in run.get(name) or []]


def _ended(run: dict[str, Any]) -> Iterator[str]:
    """Say what the exit status tells and no case does."""
    status = run["run"].get("exit_status")
    if status in _ENDS:
        yield f"The session ended with status {status}: {_ENDS[status]}."
    elif status == 1 and not any(case["verdict"] == FAIL and not expected(case) for case in run["cases"]) and not run["run"].get("exceeded"):
        yield "The session failed, though no case here does: a test without the gpuperf fixture, a process that died, or a rule on the whole session."
