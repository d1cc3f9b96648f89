"""One quantity of one measurement, before and now: faster, the same, slower, or not decided. Pure functions on records."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.counters.names import ADD, Counter, counter
from pytest_gpuperf.format import format_margin
from pytest_gpuperf.metrics import Metric, metric
from pytest_gpuperf.reasons import INCONCLUSIVE, UNMEASURED, Reason
from pytest_gpuperf.reference.surroundings import CODE, DEVICE, HOST

if TYPE_CHECKING:
    from pytest_gpuperf.reference.limits import Allowed

Record = dict[str, Any]

FASTER, SAME, SLOWER, LESS, MORE = "FASTER", "SAME", "SLOWER", "LESS", "MORE"
#: Worst first.
CHANGES = (SLOWER, MORE, INCONCLUSIVE, UNMEASURED, SAME, LESS, FASTER)
#: A change below this is none that matters: the least at which --gpuperf-qualify promises next to no false alarm.
NOTEWORTHY = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A quantity's two numbers, their ratio with its whole interval (of numbers without one, the ratio itself), and what is said of it.

    `reason` says why it is INCONCLUSIVE or UNMEASURED.
    """

    quantity: str
    unit: str
    old: float | None
    new: float | None
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    reason: Reason | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """A quantity as a record has it: value and interval, the shift that the clock may have, source, reason."""

    unit: str
    value: float | None
    low: float
    high: float
    shift: float
    source: str
    reason: Record | None


@functools.lru_cache(4096)
def row_of(quantity: str) -> Metric:
    """Return the row of a quantity by its name in a record, as time.p95 or dram__bytes_write.sum; one that this version does not know is a count.

    >>> row_of("time.p95").name, row_of("dram__bytes_write.sum").unit, row_of("spoons").better
    ('time', 'B', 'less')
    """
    found = metric(quantity) or metric(quantity.rpartition(".")[0])
    if found is not None:
        return found
    counted = counter(quantity)
    return counted.metric if counted is not None else Metric(quantity, "1", "less", ("p50",), (), "", "", exact=True)


@functools.lru_cache(4096)
def kind_of(row: Metric) -> str:
    """Say what a change of the surroundings must move to move a quantity: the device's times, the compiler's code, or the host's times."""
    if row.source == "host" or row.name in {"api_calls", "api_time", "synchronizations"}:
        return HOST
    return CODE if row.exact and row.source != "ncu" else DEVICE


def number_of(measurement: Record, quantity: str) -> Number | None:
    """Return a quantity of a measurement's record: a value, or a counter by its short or full name; None where nobody asked for it."""
    value = measurement["values"].get(quantity)
    if value is not None:
        number = value["number"]
        low, high = (number if value[end] is None else value[end] for end in ("low", "high"))
        return Number(value["unit"], number, low, high, value["systematic"] or 0.0, value["source"] or "", value["reason"])
    counters = measurement.get("counters")
    row = counter(quantity) if counters else None
    return _counted(counters or {}, row) if row is not None else None


def _counted(counters: Record, row: Counter) -> Number | None:
    found = [counters[name] for name in row.full if name in counters]
    if len(found) < len(row.full):
        return None
    hole = next((one["reason"] for one in found if one["reason"] is not None), None)
    numbers = [one["number"] for one in found]
    if None in numbers or (len(numbers) > 1 and row.how != ADD):
        return Number(row.unit, None, 0.0, 0.0, 0.0, "ncu", hole)
    total = sum(numbers)
    return Number(row.unit, total, total, total, 0.0, "ncu", hole)


def compiled_number(compiled: Record, quantity: str) -> Number | None:
    """Return a quantity of a kernel that was compiled without being launched; None where nobody asked for it."""
    number, hole = compiled["quantities"].get(quantity), compiled["holes"].get(quantity)
    if number is None and hole is None:
        return None
    return Number(row_of(quantity).unit, number, number or 0.0, number or 0.0, 0.0, "compiler", hole)


def change(quantity: str, old: Number | None, new: Number | None, blocked: Reason | None = None) -> Change:
    """Hold a quantity against its reference.

    Slower is where the whole interval of new / old lies above 1 and the ratio above 1 + NOTEWORTHY, the same where the whole interval lies within it, faster
    as slower; anything else is INCONCLUSIVE. Counts have no interval: any difference is one, of hardware counters one above NOTEWORTHY.
    `blocked` is why the two cannot be compared.

    >>> before, same, slower = (Number("s", x, x - 1e-7, x + 1e-7, 0.0, "device", None) for x in (2e-5, 2.01e-5, 2.1e-5))
    >>> change("time", before, same).verdict, change("time", before, slower).verdict, change("time", slower, before).verdict
    ('SAME', 'SLOWER', 'FASTER')
    >>> change("time", before, slower, Reason("environment-differs")).verdict
    'INCONCLUSIVE'
    """
    row = row_of(quantity)
    unit = (new or old).unit if new is not None or old is not None else row.unit  # type: ignore[union-attr]
    hole = _hole(old, new)
    if hole is not None or old is None or new is None or old.value is None or new.value is None:
        numbers = (old.value if old is not None else None, new.value if new is not None else None)
        return Change(quantity, unit, *numbers, None, None, None, UNMEASURED, hole or Reason("no-measurement"))
    ratio = _ratio(old, new)
    ends: tuple[float | None, float | None, float | None] = ratio if ratio is not None else (None, None, None)
    undecided = blocked or _doubt(old, new)
    if undecided is not None:
        return Change(quantity, unit, old.value, new.value, *ends, undecided.verdict, undecided)
    if ratio is None:
        verdict = SAME if old.value == new.value else None
        reason = None if verdict else Reason("zero-ratio", "it was 0, so there is no ratio") if not row.exact else None
        return Change(quantity, unit, old.value, new.value, *ends, verdict or (INCONCLUSIVE if reason else MORE), reason)
    verdict, reason = _said(row, *ratio)
    return Change(quantity, unit, old.value, new.value, *ends, verdict, reason)


def _hole(old: Number | None, new: Number | None) -> Reason | None:
    """Say why there is nothing to compare: the reason of the side that has no number, this run's first."""
    for one, side in ((new, ""), (old, "the reference's: ")):
        if one is not None and one.value is None:
            told = one.reason or {}
            return _known(str(told.get("code")), f"{side}{told.get('sentence') or 'no number'}")
        if one is None:
            return Reason("no-measurement", f"{side}{'it' if side else 'this run'} was not asked for")
    return None


def _known(code: str, sentence: str) -> Reason:
    """Return a recorded reason; a code of a later version is told in its words."""
    try:
        return Reason(code, sentence)
    except ValueError:
        return Reason("no-measurement", sentence)


def _doubt(old: Number, new: Number) -> Reason | None:
    """Say why two numbers decide nothing: their sources differ, or one of them was INCONCLUSIVE itself."""
    if old.source != new.source:
        return Reason("measured-otherwise", f"the reference's is of the source {old.source or 'unknown'}, this one of {new.source or 'unknown'}")
    for one, side in ((new, ""), (old, "the reference's: ")):
        if one.reason is not None:
            return _known(str(one.reason.get("code")), f"{side}{one.reason.get('sentence')}")
    return None


def _ratio(old: Number, new: Number) -> tuple[float, float, float] | None:
    """Return new / old with the least and the most that it can be for numbers inside both intervals; None where the old one cannot be told from 0.

    The clock's shift counts on both sides: kernels were seen to differ by it from one process to another.
    """
    assert old.value is not None
    assert new.value is not None
    least, most = old.low - old.shift, old.high + old.shift
    if least <= 0:
        return None
    return new.value / old.value, max(0.0, new.low - new.shift) / most, (new.high + new.shift) / least


def _said(row: Metric, number: float, low: float, high: float) -> tuple[str, Reason | None]:
    bar = 1 + NOTEWORTHY
    counts = row.exact and low == high
    more, less = (MORE, LESS) if row.source not in {"device", "host", "cupti"} or row.exact else (SLOWER, FASTER) if row.better == "less" else (FASTER, SLOWER)
    if counts and row.source != "ncu":
        return (SAME if number == 1 else more if number > 1 else less), None
    if low > 1 and number > bar:
        return more, None
    if high < 1 and number < 1 / bar:
        return less, None
    if 1 / bar <= low and high <= bar:
        return SAME, None
    return INCONCLUSIVE, Reason("straddles", f"between {_percent(low)} and {_percent(high)} of the reference")


def _why(reason: Reason | None) -> str:
    return "" if reason is None else f"{reason.code}: {reason.detail or reason.cause.sentence}"


def _percent(ratio: float) -> str:
    return format_margin(round(ratio - 1, 6)) if math.isfinite(ratio) else "anything"


def gate(allowed: Allowed, one: Change) -> tuple[str, str]:
    """Judge a change by a limit of --gpuperf-fail-on: (FAIL, PASS, INCONCLUSIVE or UNMEASURED, in words).

    A dual gate. It fails where both hold: statistically, the whole interval is worse than the reference's number; practically, the number is
    worse by more than is allowed. It passes where the whole interval keeps the limit. What is neither is INCONCLUSIVE.
    """
    if one.old is None or one.new is None:
        return UNMEASURED, _why(one.reason)
    if one.reason is not None and one.reason.code != "straddles":
        return one.reason.verdict, _why(one.reason)
    bar = allowed.of(one.old)
    worse = allowed.worse * (one.new - one.old)
    ends = [allowed.worse * one.old * (end - 1) for end in (one.low, one.high) if end is not None] or [worse]
    least, most = min(ends), max(ends)
    if least > 0 and worse > bar:
        return "FAIL", ""
    if most <= bar:
        return "PASS", ""
    return INCONCLUSIVE, "the interval holds what is allowed" if least <= bar <= most else "the interval holds no change at all"
