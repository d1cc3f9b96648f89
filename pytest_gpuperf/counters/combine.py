"""What the kernels of one body come to, counter by counter: sums add up, ratios are weighted by time, and a hole stays one."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from pytest_gpuperf.counters.names import ADD, LEAST, MOST, SAME, TIME, WEIGH
from pytest_gpuperf.format import plural
from pytest_gpuperf.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_gpuperf.counters.names import Counter
    from pytest_gpuperf.counters.report import Action

#: How a number came about, as people read it.
SINGLE, SUMMED, WEIGHTED = "single", "sum", "weighted by time"


@dataclasses.dataclass(frozen=True, slots=True)
class Combined:
    """One counter of one body: its number in `unit`, how it came about, or the hole where it is not known.

    `low` and `high` are other than `number` where kernels differ in what has one value a launch: a limit is then for all of them. `word` is ncu's
    own unit; `kernels` holds (name, number) in the order of the launches, None for one without the counter.
    """

    number: float | None
    unit: str
    how: str
    word: str = ""
    low: float | None = None
    high: float | None = None
    hole: Reason | None = None
    kernels: tuple[tuple[str, float | None], ...] = ()


def combine(actions: Sequence[Action], rows: Iterable[Counter]) -> dict[str, Combined]:
    """Return each counter of one body by the name of its row; `actions` are those of its range.

    Sums add up over kernels; what is no sum (percentages, ratios, averages, rates) is weighted by the time of the kernels, a maximum is the largest
    and a minimum the smallest. A counter that one of several kernels lacks has no number: a part is never taken for the whole.
    """
    return {row.name: _combined(actions, row) for row in rows}


def _combined(actions: Sequence[Action], row: Counter) -> Combined:
    if not actions:
        return Combined(None, row.unit, "", hole=Reason("no-kernel"))
    each = [_number_of(action, row) for action in actions]
    word = next((action.values[full].word for action in actions for full in row.full if full in action.values), "")
    kernels = tuple((action.kernel, number) for action, number in zip(actions, each, strict=True))
    numbers = [number for number in each if number is not None]
    if len(numbers) < len(each):
        return Combined(None, row.unit, "", word, hole=_lacking(actions, row, each), kernels=kernels)
    if len(numbers) == 1:
        return Combined(numbers[0], row.unit, SINGLE, word, numbers[0], numbers[0], kernels=kernels)
    number, how = _HOW[row.how](numbers, actions)
    if number is None:
        lost = Reason("no-such-counter", f"{row.name} is weighted by {TIME}, which the report does not have of every kernel")
        return Combined(None, row.unit, "", word, hole=lost, kernels=kernels)
    low, high = (min(numbers), max(numbers)) if row.how == SAME else (number, number)
    return Combined(number, row.unit, how, word, low, high, kernels=kernels)


def _number_of(action: Action, row: Counter) -> float | None:
    """Return one kernel's number in the unit of the row: that of its counter, or the sum where the row stands for several."""
    found = [action.values.get(full) for full in row.full]
    parts = []
    for one in found:
        # What ncu counts in a unit of its own is the bare number; what it gives in another unit than the name told is not this counter.
        if one is None or row.unit not in {"1", one.unit}:
            return None
        parts.append(one.number if one.unit == row.unit else one.raw)
    return math.fsum(parts)


def _lacking(actions: Sequence[Action], row: Counter, each: Sequence[float | None]) -> Reason:
    """Say which kernels lack a counter, or have it in another unit."""
    without = [action for action, number in zip(actions, each, strict=True) if number is None]
    absent = [full for full in row.full if any(full not in action.values for action in without)]
    names = ", ".join(dict.fromkeys(action.kernel for action in without))
    if not absent:
        words = ", ".join(dict.fromkeys(action.values[full].word or "no unit" for action in without for full in row.full))
        return Reason("no-such-counter", f"ncu gives {row.name} of {names} in {words}, not in {row.unit}")
    where = f"{names}" if len(without) == len(actions) else f"{names}, {len(without)} of {plural(len(actions), 'kernel')} of the body"
    return Reason("no-such-counter", f"the report has no {' and no '.join(absent)} of {where}")


_Rule = tuple[float | None, str]


def _added(numbers: Sequence[float], _: Sequence[Action]) -> _Rule:
    return math.fsum(numbers), SUMMED


def _weighted(numbers: Sequence[float], actions: Sequence[Action]) -> _Rule:
    times = [action.values[TIME].number for action in actions if TIME in action.values]
    whole = math.fsum(times)
    if len(times) < len(actions) or not whole > 0:
        return None, ""
    return math.fsum(number * time for number, time in zip(numbers, times, strict=True)) / whole, WEIGHTED


def _most(numbers: Sequence[float], _: Sequence[Action]) -> _Rule:
    return max(numbers), f"max of {len(numbers)} kernels"


def _least(numbers: Sequence[float], _: Sequence[Action]) -> _Rule:
    return min(numbers), f"min of {len(numbers)} kernels"


def _same(numbers: Sequence[float], actions: Sequence[Action]) -> _Rule:
    if len(set(numbers)) == 1:
        return numbers[0], f"the same in {len(numbers)} kernels"
    number, _ = _weighted(numbers, actions)
    return number, f"of {len(numbers)} kernels that differ, {WEIGHTED}"


_HOW: Mapping[str, Callable[[Sequence[float], Sequence[Action]], _Rule]] = {ADD: _added, WEIGH: _weighted, MOST: _most, LEAST: _least, SAME: _same}


def joined(row: Counter, found: Mapping[str, Combined]) -> Combined:
    """Return a counter from what full names came to, as results hold them: the sum where the row stands for several; the first hole where one has no number."""
    parts = [found.get(full) or Combined(None, row.unit, "", hole=Reason("not-collected", f"{full} was not collected in the profiled run")) for full in row.full]
    hole = next((one for one in parts if one.number is None), None)
    if hole is not None:
        return dataclasses.replace(hole, unit=row.unit)
    if len(parts) == 1:
        return parts[0]
    number = math.fsum(one.number for one in parts if one.number is not None)
    each = [math.fsum(one or 0.0 for _, one in together) for together in zip(*(part.kernels for part in parts), strict=True)]
    kernels = tuple((name, one) for (name, _), one in zip(parts[0].kernels, each, strict=True))
    return dataclasses.replace(parts[0], number=number, low=number, high=number, unit=row.unit, kernels=kernels)
