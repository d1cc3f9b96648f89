"""What the page shows of a comparison: a bar a version, how it was taken, the limits that were judged on it. Pure functions on records."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_gpuperf.format import visible
from pytest_gpuperf.reasons import VERDICTS
from pytest_gpuperf.report.svg_bars import Bar, bars

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """A comparison as a drawing with its caption, and what its budgets are filed under."""

    picture: str
    caption: str
    labels: tuple[str, ...]


def compared(case: Record, measurement: Record | None) -> list[Shown]:
    """Return the comparison whose first version a measurement is; none for any other measurement, so that it is shown once.

    >>> ratio = {"of": "b", "over": "a", "value": {"unit": "x", "number": 2.0, "low": 1.9, "high": 2.1, "systematic": 0.0}}
    >>> one = {"name": "compare", "versions": ["a", "b"], "ratios": [ratio], "quantity": "time", "blocks": 10, "seed": 7, "notes": []}
    >>> case = {"comparisons": [one], "budgets": []}
    >>> [shown.caption for shown in compared(case, {"name": "compare/a"})]
    ['compare: speedup of time over a, 95 % intervals over 10 random ABBA blocks (seed 7)']
    >>> compared(case, {"name": "compare/b"})
    []
    """
    name = None if measurement is None else measurement["name"]
    return [_shown(case, one) for one in case.get("comparisons") or () if one["versions"] and name == f"{one['name']}/{one['versions'][0]}"]


def _shown(case: Record, one: Record) -> Shown:
    first, *others = one["versions"]
    judged = [budget for budget in case["budgets"] if budget["quantity"] == "speedup" and str(budget["measurement"]).startswith(f"{one['name']}/")]
    ratios = {ratio["of"]: ratio["value"] for ratio in one["ratios"] if ratio["over"] == first}
    limits = {budget["measurement"]: budget["limit"] for budget in judged}
    rows = [Bar(visible(first), 1.0)]
    rows += [_bar(version, ratios.get(version, {}), limits.get(f"{one['name']}/{version} over {first}")) for version in others]
    verdict = next((verdict for verdict in VERDICTS if any(budget["verdict"] == verdict for budget in judged)), "REFERENCE")
    blocks = f", 95 % intervals over {one['blocks']} random ABBA blocks (seed {one['seed']})" if one["blocks"] else ""
    notes = "".join(f"; {note}" for note in one["notes"])
    caption = visible(f"{one['name']}: speedup of {one['quantity']} over {first}{blocks}{notes}")
    return Shown(bars(rows, verdict=verdict), caption, tuple(dict.fromkeys(budget["measurement"] for budget in judged)))


def _bar(version: str, value: Record, limit: float | None) -> Bar:
    number = value.get("number")
    if number is None:
        reason = value.get("reason") or {}
        return Bar(visible(version), None, why=f"{reason.get('verdict', 'UNMEASURED')} {reason.get('code', 'without a reason')}")
    shift = value.get("systematic") or 0.0
    low, high = (number if value.get(end) is None else value[end] for end in ("low", "high"))
    return Bar(visible(version), number, low - shift, high + shift, limit)
