"""The judge: one limit against one measured Value, by its whole interval."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import Inconclusive, Unmeasured
from pytest_gpuperf.format import format_quantity
from pytest_gpuperf.reasons import FAIL, INCONCLUSIVE, NOT_APPLICABLE, PASS, UNMEASURED, Reason, Verdict, reason_record
from pytest_gpuperf.values import Value, decide

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_gpuperf.budgets.collect import Budget
    from pytest_gpuperf.budgets.grammar import Limit
    from pytest_gpuperf.stats import Drift
    from pytest_gpuperf.values import Listener

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

_DRIFT_LIMIT = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """The known miss that is about a budget: where it stands, its words, and whether it excuses a failure (else there is none to excuse)."""

    origin: str
    text: str
    excused: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one budget on one measurement; `margin` is the distance to the limit over the limit, negative outside."""

    budget: Budget
    measurement: str
    verdict: Verdict
    message: str
    reason: Reason | None = None
    value: Value | None = None
    #: Kernel and architecture, of a limit on machine code.
    subject: str = ""
    known: Known | None = None

    @property
    def excused(self) -> bool:
        """Whether it is a failure that the file of budgets knows of."""
        return self.verdict == FAIL and self.known is not None and self.known.excused

    @property
    def margin(self) -> float | None:
        """Relative distance of the value to its limit; None where there is no value, and for an equality that holds."""
        limit = self.budget.limit
        if self.value is None or self.value.number is None or limit.number == 0:
            return None
        if limit.op == "==" and self.verdict == PASS:
            # What must be so and is so is near to nothing.
            return None
        distance = (limit.number - self.value.number) / abs(limit.number)
        return distance if limit.op in {"<=", "<"} else -distance if limit.op in {">=", ">"} else -abs(distance)

    def record(self) -> dict[str, Any]:
        """Return plain values for the run file."""
        limit, value = self.budget.limit, self.value
        known = value is not None and value.number is not None
        low, high = value.bounds if known and value is not None else (None, None)
        return ({"subject": self.subject} if self.subject else {}) | {
            "measurement": self.measurement,
            "quantity": limit.quantity,
            "statistic": limit.statistic,
            "text": limit.text,
            "op": limit.op,
            "limit": limit.number,
            "unit": limit.unit,
            "glob": self.budget.glob,
            "origin": self.budget.origin,
            "verdict": self.verdict,
            "reason": None if self.reason is None else reason_record(self.reason, f"{self.measurement} {limit.quantity}"),
            "value": value.number if value is not None else None,
            "low": low,
            "high": high,
            "margin": self.margin,
            "message": self.message,
            **({"counter": self.budget.key[1]} if self.budget.key[1] != limit.quantity else {}),
            **({"note": str(self.budget.note)} if self.budget.note is not None else {}),
            **({"known": dataclasses.asdict(self.known)} if self.known is not None else {}),
        }


def title(measurement: str, limit: Limit) -> str:
    """Name what is judged: quantity, with its measurement and statistic where they are not the usual ones."""
    parts = ["" if measurement == "main" else measurement, limit.quantity, "" if limit.statistic == "p50" else limit.statistic]
    return " ".join(part for part in parts if part)


def unjudged(budget: Budget, measurement: str, reason: Reason) -> Judgement:
    """Account for a budget that was not judged."""
    return Judgement(budget, measurement, reason.verdict, f"{title(measurement, budget.limit)} {budget.limit}: {reason}", reason)


def judge(budget: Budget, measurement: str, value: Value, context: str = "", drift: Drift | None = None) -> Judgement:
    """Judge one limit on a Value in the limit's own unit.

    `context` is what the failure line says of the measurement (samples, clock, cache state); `drift` the movement over the rounds, as
    multiples of the value's centre: a limit inside it cannot be decided.
    """
    limit = budget.limit
    if not budget.applies:
        return unjudged(budget, measurement, Reason("other-device", f"the limit is for {budget.glob}"))
    if value.reason is not None:
        return dataclasses.replace(unjudged(budget, measurement, value.reason), value=value)
    what = title(measurement, limit)
    target = Value(limit.number, value.unit, value.source, exact=True)
    low, high = value.bounds
    if drift is not None and abs(drift.change) > _DRIFT_LIMIT and min(low, drift.low) <= limit.number <= max(high, drift.high):
        shown = f"{100 * drift.change:+.1f} % over the rounds, {_span(drift.low, drift.high, value.unit)}, around the limit {_show(limit.number, value.unit)}"
        return _undecided(budget, measurement, Reason("drift", shown), value)
    decided = decide(value - target, limit.op)
    if decided is None:
        shown = f"{_span(low, high, value.unit)} straddles {_show(limit.number, value.unit)}"
        return _undecided(budget, measurement, Reason("straddles", shown), value)
    number = value.point
    words = _OUTSIDE[limit.op] if not decided else "is within"
    off = "" if decided or limit.number == 0 or value.exact else f" by {abs(number - limit.number) / abs(limit.number):.1%}".replace("%", " %")
    interval = "" if value.exact else f"{value.interval} {_bare(low, high, value.unit)}"
    details = ", ".join(part for part in (interval, context) if part)
    message = f"{what}: {_show(number, value.unit)} {words} {_show(limit.number, value.unit)}{off}" + (f" ({details})" if details else "")
    return Judgement(budget, measurement, PASS if decided else FAIL, message, None, value)


def _undecided(budget: Budget, measurement: str, reason: Reason, value: Value) -> Judgement:
    assert reason.verdict == INCONCLUSIVE
    return Judgement(budget, measurement, INCONCLUSIVE, f"{title(measurement, budget.limit)} {budget.limit}: {reason}", reason, value)


_OUTSIDE = {"<=": "exceeds", "<": "is not below", ">=": "is below", ">": "is not above", "==": "is not"}


def _show(number: float, unit: str) -> str:
    return format_quantity(number, unit)


def _span(low: float, high: float, unit: str) -> str:
    return f"{_show(low, unit)} .. {_show(high, unit)}"


def _bare(low: float, high: float, unit: str) -> str:
    """Show an interval without its unit where both ends read in the same one."""
    left, right = _show(low, unit), _show(high, unit)
    left_number, _, left_unit = left.partition(" ")
    right_number, _, right_unit = right.partition(" ")
    return f"{left_number}..{right_number}" if left_unit == right_unit else f"{left}..{right}"


def raise_undecided(judgements: Iterable[Judgement], name: str, listener: Listener | None) -> None:
    """Raise the first Inconclusive of some judgements, else the first Unmeasured, once the listener knows of it; nothing where all are decided."""
    ordered = list(judgements)
    for verdict, error in ((INCONCLUSIVE, Inconclusive), (UNMEASURED, Unmeasured)):
        for judgement in ordered:
            if judgement.verdict == verdict and judgement.reason is not None:
                raised = error(judgement.reason, f"{name} {judgement.budget.limit.quantity} {judgement.budget.limit}")
                if listener is not None:
                    listener.undecided(raised)
                raise raised


def applicable(judgement: Judgement) -> bool:
    """Say whether the limit was meant for this device."""
    return judgement.verdict != NOT_APPLICABLE
