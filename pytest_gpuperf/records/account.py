"""The account: what became of every collected budget."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import UNMEASURED, VERDICTS, Reason, worst

if TYPE_CHECKING:
    from pytest_gpuperf.reasons import Verdict

#: Why a collected budget is not in the record of its case, by the case's outcome.
_MISSING: dict[str | None, str] = {None: "interrupted", "skipped": "skipped", "failed": "body-failed"}

#: The origin of a limit of `budget=` whose measurement had begun when its case was ended from outside.
BEGUN = "budget=, of a case that was ended"
_ORDER: tuple[Verdict, ...] = ("PASS", "FAIL", "INCONCLUSIVE", "UNMEASURED", "NOT-APPLICABLE")


@dataclasses.dataclass(frozen=True, slots=True)
class _Group:
    """The collected limits of one measurement, quantity and statistic, by device glob: only one glob is ever judged."""

    by_glob: dict[str | None, list[dict[str, Any]]]
    judged: list[dict[str, Any]]
    #: Every measurement that it could have been for has a nearer limit, which was judged.
    elsewhere: bool = False

    @property
    def fewest(self) -> list[dict[str, Any]]:
        """The limits of the glob that has the fewest: what there is to account for on a device that nobody knows."""
        return min(self.by_glob.values(), key=len)

    @property
    def limits(self) -> list[dict[str, Any]]:
        """The limits of the glob that was judged."""
        return self.by_glob.get(self.judged[0].get("glob"), self.fewest) if self.judged else self.fewest

    @property
    def replaced(self) -> bool:
        """What the test itself says, in `budget=`, replaces what its marker says, whatever the number; so does what is nearer on every measurement."""
        return self.elsewhere or any(str(budget.get("origin")).startswith("budget=") for budget in self.judged)

    @property
    def missing(self) -> list[dict[str, Any]]:
        """The limits that were not judged."""
        if self.replaced:
            return []
        texts = [budget.get("text") for budget in self.judged]
        unjudged = [limit for limit in self.limits if limit.get("text") not in texts] or self.limits
        return unjudged[: max(0, len(self.limits) - len(self.judged))]


def _groups(collected: Any, case: dict[str, Any] | None = None) -> tuple[list[_Group], int]:
    """Return the groups of the collected limits, and how many of the limits that were judged in a case none of them asked for."""
    groups: dict[tuple[str, str, str], _Group] = {}
    for budget in collected if isinstance(collected, list) else ():
        groups.setdefault(_key(budget), _Group({}, [])).by_glob.setdefault(budget.get("glob"), []).append(budget)
    unasked = 0
    for budget in case["budgets"] if case is not None else ():
        key = _key(budget)
        # A marker's limit is for main where there is one, else for every measurement: collection cannot know which.
        group = groups.get(key) or groups.get(("main", *key[1:]))
        # What `m.require` judged on the spot stands beside the marker's limits, and never for one of them; so does what an ended case left unjudged.
        if budget.get("origin") in {"require", BEGUN}:
            group = None
        if group is None:
            unasked += 1
        else:
            group.judged.append(budget)
    if case is not None and all(one["name"] != "main" for one in case["measurements"]):
        # A limit that names no measurement is for each of them: one that was judged there was it, or nearer.
        found = {key[1:] for key, group in groups.items() if group.judged}
        found |= {_key(budget)[1:] for budget in case["budgets"] if budget.get("origin") == "budget="}
        for key, group in groups.items():
            if not group.judged and key[1:] in found:
                groups[key] = dataclasses.replace(group, elsewhere=True)
    return list(groups.values()), unasked


def _key(budget: dict[str, Any]) -> tuple[str, str, str]:
    measurement = budget.get("measurement")
    return "main" if measurement in {None, "", "*"} else str(measurement), str(budget.get("counter") or budget.get("quantity")), str(budget.get("statistic") or "p50")


def expected(collected: Any) -> int:
    """Return how many verdicts a list of collected budgets asks for; a bare number is the answer itself.

    >>> expected([{"quantity": "time", "glob": "H200"}, {"quantity": "time", "glob": "*"}, {"quantity": "bandwidth"}])
    2
    """
    return collected if isinstance(collected, int) else sum(len(group.fewest) for group in _groups(collected)[0])


def unforeseen(case: dict[str, Any], collected: Any) -> int:
    """Return how many budgets a case has beyond the `expected` ones: a `budget=`, or a marker's limit on several measurements.

    Negative where a `budget=` replaces several limits of a marker by fewer.
    """
    groups, unasked = _groups(collected, case)
    for group in groups:
        added = len(group.judged) - len(group.fewest)
        # Fewer than asked for is a hole in the account, not a surprise, unless the test said so itself.
        unasked += added if group.replaced or len(group.limits) != len(group.fewest) else max(0, added)
    return unasked


def complete_case(case: dict[str, Any], collected: Any) -> dict[str, Any]:
    """Return the record of a case with every collected budget in it; what was not judged is UNMEASURED with its reason.

    Where a case passed and a budget is missing all the same, the reason is `no-measurement`.
    """
    missing = [limit for group in _groups(collected, case)[0] for limit in group.missing]
    if not missing:
        return case
    reason = Reason(_MISSING.get(case["outcome"], "no-measurement"))
    added = [_unmeasured(limit, reason) for limit in missing]
    reasons = case["reasons"]
    if all(found.get("code") != reason.code for found in reasons):
        reasons = [*reasons, reason_record(reason, str(added[0]["measurement"] or ""))]
    return case | {"budgets": [*case["budgets"], *added], "reasons": reasons, "verdict": worst([case["verdict"], UNMEASURED])}


def _unmeasured(limit: dict[str, Any], reason: Reason) -> dict[str, Any]:
    blank = dict.fromkeys(("measurement", "statistic", "op", "limit", "unit", "glob", "origin"))
    nothing = dict.fromkeys(("value", "low", "high", "margin"))
    quantity = str(limit.get("quantity"))
    known = {key: limit[key] for key in blank if key in limit}
    told = {"verdict": UNMEASURED, "reason": reason_record(reason), "message": f"{quantity}: {reason}"}
    return blank | known | {"measurement": limit.get("measurement") or "main", "quantity": quantity, "text": str(limit.get("text", ""))} | nothing | told


def reason_record(reason: Reason, subject: str = "") -> dict[str, Any]:
    """Return a reason as the run file has it."""
    cause = reason.cause
    sentence = reason.detail or cause.sentence
    return {"code": reason.code, "verdict": cause.verdict, "sentence": sentence, "next_step": cause.next_step, "subject": subject}


def latest(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cases that count: of each, the last attempt on every device.

    An attempt that never reached a device, or was interrupted, is superseded by any later one.
    """
    kept = []
    later: dict[str, set[str | None]] = {}
    for case in reversed(cases):
        devices = later.setdefault(case["nodeid"], set())
        device = case["device"]
        superseded = bool(devices) and (device in devices or None in devices or device is None or case["outcome"] is None)
        devices.add(device)
        if not superseded:
            kept.append(case)
    return kept[::-1]


def take_account(cases: list[dict[str, Any]], not_run: list[dict[str, Any]], deselected: list[dict[str, Any]]) -> dict[str, int]:
    """Return the account without `collected`: how many budgets have each verdict, and how many were deselected."""
    verdicts = [budget["verdict"] for case in latest(cases) for budget in case["budgets"]]
    account = {verdict: verdicts.count(verdict) for verdict in _ORDER}
    account[UNMEASURED] += sum(item["budgets"] for item in not_run)
    return account | {"deselected": sum(item["budgets"] for item in deselected)}


def account_problems(run: dict[str, Any]) -> list[str]:
    """Return a line for each contradiction: an account that does not add up, or that its own records do not bear out."""
    account = run["account"]
    total = sum(account[name] for name in (*VERDICTS, "deselected"))
    found = []
    if account["collected"] != total:
        found.append(f"account: {account['collected']} budgets were collected, but {total} are accounted for")
    if run["collected"]["budgets"] != account["collected"]:
        found.append(f"account: collected is {account['collected']}, but the collection found {run['collected']['budgets']} budgets")
    counted = take_account(run["cases"], run.get("not_run", []), run["deselected"])
    for name, number in counted.items():
        if account[name] != number:
            found.append(f"account: {name} is {account[name]}, but the records hold {number}")
    return found
