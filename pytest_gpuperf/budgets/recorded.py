"""Which limits a run would be given: for each measured value of it a limit with a margin, or why there is none. Pure functions on a run dict."""

from __future__ import annotations

import dataclasses
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.collect import device_matches, literal_characters
from pytest_gpuperf.budgets.file import BUDGET
from pytest_gpuperf.budgets.globs import is_wild, literal
from pytest_gpuperf.budgets.grammar import find_metric
from pytest_gpuperf.budgets.plans import Fresh, Refused
from pytest_gpuperf.budgets.promised import promised
from pytest_gpuperf.budgets.recorded_code import fresh_code, is_code
from pytest_gpuperf.counters.names import canonical, counter
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.format import form_of, format_interval, format_quantity
from pytest_gpuperf.metrics import UNITS, metric, metric_names, nearest
from pytest_gpuperf.reasons import FAIL
from pytest_gpuperf.records.account import latest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_gpuperf.budgets.collect import Budget
    from pytest_gpuperf.budgets.file import Row
    from pytest_gpuperf.metrics import Metric

_DIGITS = 4
Name = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a run would write: limits, refusals, and how many limits of the file stay as they are, as the new ones are so near."""

    fresh: tuple[Fresh, ...]
    refused: tuple[Refused, ...]
    kept: int


def read_names(names: Iterable[str], where: str) -> tuple[Name, ...]:
    """Return (quantity, statistic) of what is to be recorded, as time, time.p99 or dram_write; BadBudget with the nearest name for what is none.

    >>> read_names(["time", "time.p99", "dram__bytes_write.sum"], "--gpuperf-record")
    (('time', 'p50'), ('time', 'p99'), ('dram__bytes_write.sum', 'p50'))
    """
    found = []
    for name in names:
        quantity, _, statistic = (name, "", "") if counter(name) is not None else name.partition(".")
        row = metric(quantity) or find_metric(quantity, where) if "__" in quantity else metric(quantity)
        if row is None:
            message = f"{where}: unknown quantity {name!r}{nearest(quantity, metric_names())}"
            raise BadBudget(message)
        if statistic and statistic not in row.statistics:
            message = f"{where}: {quantity} has no statistic {statistic!r}{nearest(statistic, row.statistics)}"
            raise BadBudget(message)
        found.append((quantity, statistic or "p50"))
    return tuple(dict.fromkeys(found))


def plan(run: dict[str, Any], rows: Sequence[Row], wanted: Sequence[Name], margin: float) -> Plan:
    """Return what to write for a run: the wanted quantities of each measurement, and those that a table of exactly this case and device limits already.

    The limit is the end of the interval that a budget is judged by, with calibration, and `margin` (a fraction) beyond it; counts get none.
    """
    names = {device["uuid"]: device["name"] for device in run["devices"]}
    exact: dict[str, list[Row]] = {}
    for row in rows:
        if row.kind == BUDGET and not is_wild(row.test):
            exact.setdefault(literal(row.test), []).append(row)
    fresh: list[Fresh] = []
    refused: list[Refused] = []
    kept = 0
    for case in latest(run["cases"]):
        why, nodeid, device = _unfit(case), case["nodeid"], names.get(case["device"])
        if why is not None:
            refused += [Refused(f"{one['name']} of {nodeid}", why) for one in case["measurements"]]
            continue
        for measurement in case["measurements"]:
            of = None if measurement["name"] == "main" else measurement["name"]
            own = [row for row in exact.get(nodeid, []) if (row.of or "main") == measurement["name"]]
            for code in fresh_code(case, measurement["name"], own, wanted):
                kept += code is None
                refused += [code] if isinstance(code, Refused) else []
                fresh += [code] if isinstance(code, Fresh) else []
            for slot in _slots(own, device, [one for one in wanted if not is_code(one[0])]):
                made = _fresh(case, measurement, slot, margin)
                if isinstance(made, Refused):
                    refused.append(made)
                elif device is None:
                    refused.append(Refused(f"{measurement['name']} of {nodeid}", "no device was there, and a limit is one for a device"))
                elif made is None:
                    kept += 1
                else:
                    fresh.append(dataclasses.replace(made, device=device, of=of))
    return Plan(tuple(fresh), tuple(refused), kept)


@dataclasses.dataclass(frozen=True, slots=True)
class _Slot:
    """A place for a limit: its quantity and statistic, the table (None: a new one), and what stands there."""

    quantity: str
    statistic: str
    row: Row | None = None
    old: Budget | None = None


def _slots(own: Sequence[Row], device: str | None, wanted: Sequence[Name]) -> Iterator[_Slot]:
    """Yield the limits that tables of this very case have for this very device, then what is wanted besides."""
    name = (device or "").casefold().removeprefix("nvidia ")
    # What says as much of the device as its name does stands in the place of a new limit.
    here = [(row, one) for row in own for one in row.budgets if device is not None and device_matches(one.glob, device) and literal_characters(one.glob) >= len(name) and not is_code(one.limit.quantity)]
    for row, one in here:
        yield _Slot(one.limit.quantity, one.limit.statistic, row, one)
    there = {(canonical(one.limit.quantity), one.limit.statistic) for _, one in here}
    table = next((row for row, _ in here if row.device is not None), None)
    for quantity, statistic in wanted:
        if (canonical(quantity), statistic) not in there:
            yield _Slot(quantity, statistic, table)


def _fresh(case: dict[str, Any], measurement: dict[str, Any], slot: _Slot, margin: float) -> Fresh | Refused | None:
    nodeid, name = case["nodeid"], measurement["name"]
    statistic = "" if slot.statistic == "p50" else f" {slot.statistic}"
    subject = f"{'' if name == 'main' else name + ' '}{slot.quantity}{statistic} of {nodeid}"
    row = find_metric(slot.quantity, "--gpuperf-record")
    old = None if slot.old is None else slot.old.limit
    op = "<=" if row.better == "less" else ">="
    if old is not None and (old.relative or old.op not in {op, op[0], "=="}):
        return Refused(subject, f"{old.text!r} of {slot.old.origin if slot.old else ''} is no such limit, and stays as it is")
    nearer = next((one["origin"] for one in case["budgets"] if _nearer(one, name, slot)), None)
    if nearer is not None:
        return Refused(subject, f"its limit stands nearer ({nearer}): change it there")
    value = _value(measurement, slot.quantity, slot.statistic)
    if value is None:
        return Refused(subject, "UNMEASURED: nothing measured it in this session")
    if value["number"] is None or value.get("reason"):
        reason = value.get("reason") or {}
        return Refused(subject, f"{reason.get('verdict', 'UNMEASURED')} {reason.get('code', '')}: {reason.get('sentence', 'there is no number')}")
    low, high = _bounds(value)
    # Of counts there is no noise; those of ncu's caches and sectors differ a little from run to run.
    share = 0.0 if row.exact and row.source != "ncu" else margin
    kept = promised(case, name, slot.quantity, slot.statistic, share) if old is None else None
    if kept is not None:
        return Refused(subject, kept)
    number = high * (1 + share) if op == "<=" else low * (1 - share)
    text = f"{f'{slot.statistic} ' if statistic else ''}{old.op if old is not None else op} {shown(row, number, up=op == '<=')}"
    told = _measured(row, low, high) + _how(row, measurement, value) + (f", {'+' if op == '<=' else '-'} {100 * share:g} %" if share else "")
    if old is not None and abs(number - old.number) <= share / 2 * abs(number):
        return None
    return Fresh(nodeid, "", None, slot.quantity, slot.statistic, text, told, None, slot.row, slot.old)


def shown(row: Metric, number: float, *, up: bool) -> str:
    """Write a limit with four significant digits, rounded so that what was measured keeps it.

    >>> shown(metric("time"), 13.24511e-6, up=True), shown(metric("bandwidth"), 3.9127e12, up=False), shown(metric("launches"), 3.0, up=True)
    ('13.25 us', '3.912 TB/s', '3')
    """
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    if row.unit == "1" or (row.exact and row.unit not in UNITS):
        return str(int(Decimal(repr(number)).to_integral_value(rounding)))
    scale, unit = form_of(number, row.unit)
    if unit not in UNITS.get(row.unit, {unit: scale}):
        scale, unit = max((size, name) for name, size in UNITS[row.unit].items())
    scaled = Decimal(repr(number)) / Decimal(repr(scale))
    digits = scaled.quantize(Decimal(1).scaleb(scaled.adjusted() - _DIGITS + 1), rounding) if scaled else scaled
    return f"{digits.normalize():f} {unit}".rstrip()


def _measured(row: Metric, low: float, high: float) -> str:
    if low == high:
        return f"measured {format_quantity(high, row.unit)}"
    return f"measured {format_interval(low, high, row.unit)}"


def _how(row: Metric, measurement: dict[str, Any], value: dict[str, Any]) -> str:
    """Say how a time was taken where that is not the usual way, as by --gpuperf-cache for one session: the limit is judged by whatever the next one takes."""
    if row.source != "device":
        return ""
    words = [word for word, usual in ((measurement.get("cache"), "cold"), (value.get("source"), "device")) if word not in {None, usual}]
    return f" {' '.join(words)}" if words else ""


def _nearer(budget: dict[str, Any], name: str, slot: _Slot) -> bool:
    """Say whether a limit that was judged stands in the test itself: then one in the file would never be."""
    own = budget["measurement"] == name and canonical(budget["quantity"]) == canonical(slot.quantity) and (budget["statistic"] or "p50") == slot.statistic
    return own and "note" not in budget and budget["origin"] != "require"


def _unfit(case: dict[str, Any]) -> str | None:
    """Say why nothing that a case measured is to become a limit; None where it is fit for that."""
    if case["outcome"] is None:
        return "UNMEASURED interrupted: the case did not end"
    broken = next((one for one in case["checks"] if one["verdict"] == FAIL), None)
    if broken is not None:
        return f"the case failed: {(broken['detail'] or broken['kind']).splitlines()[0]}"
    exceeded = [one["message"] for one in case["budgets"] if one["verdict"] == FAIL]
    other = _beside(case["error"] or "", exceeded)
    if case["outcome"] == "failed" and (other or not exceeded):
        return f"the case failed: {other.partition(chr(10))[0]}"
    return "the case was skipped, or is expected to fail" if case["outcome"] == "skipped" else None


def _beside(error: str, exceeded: Iterable[str]) -> str:
    r"""Return what an error says beside its failed budgets: a body, or a fixture, that raised as well is no state to record.

    >>> _beside("BudgetExceeded: too slow", ["too slow"]), _beside("ValueError: wrong\nand its budgets: too slow", ["too slow"])
    ('', 'ValueError: wrong')
    """
    for message in sorted(exceeded, key=len, reverse=True):
        error = error.replace(message, "")
    return error.replace("BudgetExceeded:", "").replace("and its budgets:", "").strip()


def _value(measurement: dict[str, Any], quantity: str, statistic: str) -> dict[str, Any] | None:
    row = counter(quantity)
    if row is None:
        found: dict[str, Any] | None = measurement["values"].get(quantity if statistic == "p50" else f"{quantity}.{statistic}")
        return found
    counters: dict[str, Any] = measurement.get("counters", {})
    names = [row.name] if row.name in counters else list(row.full)
    if any(one not in counters for one in names):
        return None
    parts = [counters[one] for one in names]
    # A short name of several counters is their sum.
    hole = next((part for part in parts if part["number"] is None or part["reason"]), None)
    return hole or {**parts[0], "number": sum(part["number"] for part in parts)}


def _bounds(value: dict[str, Any]) -> tuple[float, float]:
    number = float(value["number"])
    low, high = (number if value.get(end) is None else float(value[end]) for end in ("low", "high"))
    shift = float(value.get("systematic") or 0.0)
    return low - shift, high + shift

