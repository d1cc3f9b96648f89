"""What a run amounts to: counts, failures in order, grouped reasons, budgets near their limits. Pure functions on a run dict."""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, PASS, UNMEASURED, VERDICTS
from pytest_gpuperf.report.budget_file import excused, of_verdict, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Run = dict[str, Any]
Case = dict[str, Any]

#: The order in which counts are written: what was decided first.
READING_ORDER = (PASS, FAIL, INCONCLUSIVE, UNMEASURED, NOT_APPLICABLE)


#: Messages of one failed case that a summary tells, where it has more than one beyond.
MESSAGES = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A failed case, its messages (each a whole story) and its worst margin (None where no budget was violated)."""

    case: Case
    messages: tuple[str, ...]
    margin: float | None

    @property
    def first(self) -> tuple[str, ...]:
        """The first of many messages, and a line that counts the others: one case may have hundreds of checks.

        >>> Failure({}, tuple("abc"), None).first, len(Failure({}, ("a",) * 99, None).first), Failure({}, ("a",) * 99, None).first[-1]
        (('a', 'b', 'c'), 9, 'and 91 more failed checks or limits of this case')
        """
        left = len(self.messages) - MESSAGES
        return self.messages if left <= 1 else (*self.messages[:MESSAGES], f"and {left:,} more failed checks or limits of this case")


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """What a reason is about: a case, what of it, and what happened there."""

    case: Case
    what: str
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """All subjects with one reason code; `sentence` is empty where their sentences differ."""

    verdict: str
    code: str
    sentence: str
    next_step: str
    subjects: tuple[Subject, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Near:
    """A budget that holds, and by how little."""

    case: Case
    budget: dict[str, Any]
    margin: float


def case_counts(run: Run) -> dict[str, int]:
    """Return the number of cases of each verdict, in reading order, zeros included."""
    counted = collections.Counter(case["verdict"] for case in run["cases"])
    return {verdict: counted[verdict] for verdict in READING_ORDER}


def simulated(case: Case) -> bool:
    """Tell whether a case ran in the simulator, whose PASS is never a bare one."""
    return case.get("source") == "simulator"


def expected(case: Case) -> bool:
    """Tell whether a failure is one that its test expects (xfail): it fails no session."""
    return bool(case["verdict"] == FAIL and case.get("outcome") == "skipped")


def taken_back(run: Run) -> list[Case]:
    """Return the failures that a later attempt of their case on the same device did not have: they fail no session."""
    later: dict[tuple[str, str | None], int] = {}
    for case in run["cases"]:
        if case["verdict"] != FAIL:
            key = case.get("nodeid", ""), case.get("device")
            later[key] = max(case.get("attempt", 1), later.get(key, 0))
    return [case for case in run["cases"] if case["verdict"] == FAIL and later.get((case.get("nodeid", ""), case.get("device")), 0) > case.get("attempt", 1)]


def failures(run: Run) -> list[Failure]:
    """Return the failed cases: wrong bits first, then violated budgets by worst margin, then errors without a budget."""
    found = [_failure(case) for case in run["cases"] if case["verdict"] == FAIL]
    return sorted(found, key=_severity)


def gathered(found: list[Failure]) -> list[tuple[Failure, tuple[Failure, ...]]]:
    """Return failures with those of the same test function that are told under them: cases that measured nothing, so that a message is all there is.

    >>> one, other, timed = (Failure({"nodeid": f"t.py::test_a[{name}]", "measurements": m}, (), None) for name, m in (("1", []), ("2", []), ("3", [{}])))
    >>> [(first is one or first is timed, len(more)) for first, more in gathered([one, timed, other])]
    [(True, 1), (True, 0)]
    """
    made: list[tuple[Failure, list[Failure]]] = []
    of_function: dict[str, list[Failure]] = {}
    for failure in found:
        function = failure.case["nodeid"].partition("[")[0]
        if failure.case["measurements"] or function not in of_function:
            made.append((failure, []))
            if not failure.case["measurements"]:
                of_function[function] = made[-1][1]
        else:
            of_function[function].append(failure)
    return [(first, tuple(more)) for first, more in made]


def groups(run: Run) -> list[Group]:
    """Return the reasons of all INCONCLUSIVE, UNMEASURED and NOT-APPLICABLE parts by code: worst verdict first, then the largest group."""
    sorted_in: dict[tuple[str, str], list[tuple[Subject, str]]] = {}
    for case in run["cases"]:
        for reason in _reasons(case):
            subject = Subject(case, reason.get("subject") or "", reason.get("sentence") or "")
            sorted_in.setdefault((reason["verdict"], reason["code"]), []).append((subject, reason.get("next_step") or ""))
    made = [_group(verdict, code, members) for (verdict, code), members in sorted_in.items()]
    return sorted(made, key=lambda group: (_rank(group.verdict), -len(group.subjects), group.code))


def nearest(run: Run, count: int) -> list[Near]:
    """Return the budgets that hold with the smallest margins, nearest to its limit first; what has no noise, as machine code, is near to nothing."""
    held = [
        Near(case, budget, budget["margin"])
        for case in run["cases"]
        for budget in case["budgets"]
        if budget["verdict"] == PASS and budget.get("margin") is not None and budget["margin"] >= 0 and not budget.get("subject")
    ]
    return sorted(held, key=lambda near: near.margin)[:count]


def account_line(run: Run) -> str:
    """Write where every collected budget went, as a sum; says so where the record does not add up.

    >>> print(account_line({"account": {"collected": 5, "PASS": 3, "FAIL": 1, "deselected": 1}}))
    account: collected 5 budgets = 3 PASS + 1 FAIL + 0 INCONCLUSIVE + 0 UNMEASURED + 0 NOT-APPLICABLE + 1 deselected
    """
    account = run["account"]
    known = sum(map(excused, (budget for case in run.get("cases", []) for budget in case["budgets"])))
    parts = [(account.get(name, 0), f"{name} ({known:,} known)" if name == FAIL and known else name) for name in (*READING_ORDER, "deselected")]
    total = sum(count for count, _ in parts)
    noun = "budget" if account["collected"] == 1 else "budgets"
    line = f"account: collected {account['collected']:,} {noun} = " + " + ".join(f"{count:,} {name}" for count, name in parts)
    return line if total == account["collected"] else f"{line}: the record does not add up, {account['collected'] - total:+,} unaccounted"


def violated(case: Case) -> list[dict[str, Any]]:
    """Return the budgets of a case that fail, worst margin first."""
    return sorted((b for b in case["budgets"] if of_verdict(b) == FAIL), key=lambda b: _margin_key(b.get("margin")))


def tightest(case: Case, measurement: str) -> dict[str, Any] | None:
    """Return the budget that says most about a measurement: the worst verdict, then the smallest margin."""
    own = [budget for budget in case["budgets"] if budget["measurement"] == measurement]
    return min(own, key=lambda b: (_rank(of_verdict(b)), _margin_key(b.get("margin"))), default=None)


def _failure(case: Case) -> Failure:
    checks = [f"{check['name']}: {_less_class(check['detail'])}" if check.get("name") else check["detail"] for check in case["checks"] if check["verdict"] == FAIL]
    budgets = violated(case)
    told = [budget.get("message") or f"{budget['measurement']} {budget['quantity']}: {budget['text']} is violated" for budget in budgets]
    own = [_qualified(budget, message) + ("" if str(budget.get("origin")) in message else origin_of(budget)) for budget, message in zip(budgets, told, strict=True)]
    messages = [*checks, *own] or [next(iter((case.get("error") or "").strip().splitlines()), "the test failed and left no text")]
    margins = [budget["margin"] for budget in budgets if budget.get("margin") is not None]
    return Failure(case, tuple(messages), min(margins, default=None))


def _less_class(detail: str | None) -> str:
    """Return what a check says without the class of its error, of which "bits differ" tells as much."""
    return (detail or "").removeprefix("NotIdentical: ")


def _qualified(budget: dict[str, Any], message: str) -> str:
    name = budget["measurement"]
    return message if name == "main" or message.startswith(name) else f"{name} {message}"


def _severity(failure: Failure) -> tuple[int, float]:
    if any(check["verdict"] == FAIL for check in failure.case["checks"]):
        return 0, _margin_key(failure.margin)
    return (1, failure.margin) if failure.margin is not None else (2, 0.0)


def _reasons(case: Case) -> Iterator[dict[str, Any]]:
    yield from case["reasons"]
    told = {reason["code"] for reason in case["reasons"]}
    for budget in case["budgets"]:
        reason = budget.get("reason")
        if reason and reason["code"] not in told:
            yield {"subject": f"{budget['measurement']} {budget['quantity']}", **reason}


def _group(verdict: str, code: str, members: list[tuple[Subject, str]]) -> Group:
    sentences = {subject.sentence for subject, _ in members}
    sentence = next(iter(sentences)) if len(sentences) == 1 else ""
    return Group(verdict, code, sentence, members[0][1], tuple(subject for subject, _ in members))


def _rank(verdict: str) -> int:
    return next((place for place, known in enumerate(VERDICTS) if known == verdict), len(VERDICTS))


def _margin_key(margin: float | None) -> float:
    return math.inf if margin is None else margin
