"""What the page and the terminal show of hardware counters: apart from timed values, since a profiled run is not a timed one. Pure functions on records."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.counters.names import canonical
from pytest_gpuperf.format import format_margin, format_quantity, plural, shorten, visible
from pytest_gpuperf.metrics import SPEEDUP, metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_gpuperf.report.beside import Beside

Record = dict[str, Any]

#: What every table of counters is headed with, and what stands before those of which none was counted.
HEADING, NOTHING = "profiled run: caches flushed, clocks as found", "hardware counters"
#: Kernels of one body whose own numbers are listed; characters of a name.
_KERNELS = 40
_NAME = 80
#: ncu's units that have prefixes here, as the unit of the run file and what one of them is in it.
_UNITS = {"byte": ("B", 1.0), "byte/s": ("B/s", 1.0), "byte/second": ("B/s", 1.0), "ns": ("s", 1e-9), "nsecond": ("s", 1e-9)}
#: What the run file says of how the kernels' numbers came to one, where that is too short for a reader.
_HOW = {"single": "of one kernel", "sum": "sum of the kernels", "weighted by time": "mean of the kernels, weighted by time"}
_AGES = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"))


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One counter: its value or why there is none, the reference's, the change against it, and its limits as (verdict, text)."""

    name: str
    number: str
    why: str
    how: str
    reference: str
    change: str
    limits: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """The counters of one measurement, where they come from, and its kernels one by one: their numbers in the order of `heads`."""

    lines: tuple[Line, ...]
    age: str
    report: str
    command: str
    heads: tuple[str, ...]
    kernels: tuple[tuple[str, tuple[str, ...]], ...]
    more: int

    @property
    def heading(self) -> str:
        """What stands above them; a body that nothing profiled has no profiled run."""
        return NOTHING if self.holes else HEADING

    @property
    def holes(self) -> tuple[tuple[str, str], ...]:
        """Where neither this run nor the reference has any number: why, and the counters' names; empty where there is a table."""
        if any(line.number or line.reference for line in self.lines):
            return ()
        whys = dict.fromkeys(line.why for line in self.lines)
        return tuple((why, ", ".join(line.name for line in self.lines if line.why == why)) for why in whys)

    @property
    def with_reference(self) -> bool:
        """Whether any counter has one."""
        return any(line.reference for line in self.lines)

    @property
    def with_limits(self) -> bool:
        """Whether any counter has a limit."""
        return any(line.limits for line in self.lines)


def counted(case: Record, measurement: Record | None, beside: Beside) -> Counted | None:
    """Return what is shown of a measurement's counters; None where none were wanted."""
    told = (measurement or {}).get("counters") or {}
    # A counter that was asked for by both its names is one line.
    counters = {name: one for name, one in told.items() if canonical(name) == name or canonical(name) not in told}
    if measurement is None or not counters:
        return None
    profiled = measurement.get("profiled") or {}
    kernels = profiled.get("kernels") or []
    heads = tuple(name for name in counters if any(kernel["values"].get(name) is not None for kernel in kernels))
    found = beside.find(case, measurement)
    there = (found[1].get("counters") or {}) if found else {}
    same = beside.one_model(case, measurement)
    return Counted(
        (
            *(_line(name, one, there.get(name), _limits(case, measurement["name"], name), same=same) for name, one in counters.items()),
            *_by_short_name(case, measurement["name"], counters),
        ),
        age_of(profiled.get("age_s")),
        visible(profiled.get("report") or ""),
        visible(profiled.get("command") or ""),
        tuple(visible(name) for name in heads),
        tuple((visible(shorten(kernel["name"], _NAME)), _cells(kernel, heads, counters)) for kernel in kernels[:_KERNELS]),
        max(0, len(kernels) - _KERNELS),
    )


def written(number: float, unit: str) -> str:
    """Write a counter with its unit: bytes and times with a prefix, counts with all their digits.

    >>> written(536870912, "byte"), written(262144.0, "sector"), written(88.1234, "%"), written(49248, "ns"), written(32, "")
    ('536.9 MB', '262,144 sector', '88.12 %', '49.25 us', '32')
    """
    ours, factor = _UNITS.get(unit, (unit, 1.0))
    if ours not in {"B", "B/s", "s", "%"} and math.isfinite(number) and float(number).is_integer():
        return f"{int(number):,} {'' if unit == '1' else unit}".rstrip()
    return format_quantity(number * factor, ours)


def change(here: float, there: float) -> str:
    """Write how far a counter is from its reference's; a counter that was 0 has no ratio.

    >>> change(90.0, 100.0), change(5.0, 5.0), change(3.0, 0.0), change(0.0, 0.0)
    ('-10.00 %', 'none', 'was 0', 'none')
    """
    if here == there:
        return "none"
    return format_margin(here / there - 1) if there else "was 0"


def age_of(seconds: float | None) -> str:
    """Write how old counters from an earlier run are; empty for those of this run.

    >>> age_of(None), age_of(30.0), age_of(7500.0), age_of(86400.0 * 3)
    ('', 'less than a minute old', '2.1 hours old', '3 days old')
    """
    if seconds is None:
        return ""
    for length, name in _AGES:
        if seconds >= length:
            count = float(f"{seconds / length:.2g}")
            return f"{count:g} {name}{'' if count == 1 else 's'} old"
    return "less than a minute old"


def counters_line(run: Record) -> str:
    """Write the run under ncu in one line; empty where no case wanted counters.

    >>> head = {"ncu": "2025.3.1.0", "road": "ncu-report", "replay": "kernel", "starts": 1, "wall_s": 14.21, "cases": 12, "reports": [], "hole": None}
    >>> counters_line({"counters": head, "cases": []})
    'counters: 12 cases profiled by ncu 2025.3.1.0 in 1 start, 14.2 s (kernel replay, read by ncu-report)'
    >>> counters_line({"counters": {"starts": 0, "cases": 0, "hole": {"code": "no-ncu", "detail": "ncu is not on PATH"}}, "cases": []})
    'counters: none, no-ncu: ncu is not on PATH'
    >>> counters_line({"counters": {**head, "cases": 0}, "cases": []})
    'counters: none, though ncu 2025.3.1.0 was started once'
    """
    head = run.get("counters")
    if head is None:
        return ""
    hole = head.get("hole")
    ages = [_oldest(case) for case in run["cases"]]
    stored = [age for age in ages if age is not None]
    found = []
    if head.get("cases"):
        how = ", ".join(text for text in (f"{head['replay']} replay" if head.get("replay") else "", f"read by {head['road']}" if head.get("road") else "") if text)
        took = f", {head['wall_s']:.1f} s" if head.get("wall_s") is not None else ""
        tool = f"ncu {head['ncu']}" if head.get("ncu") else "ncu"
        found.append(f"{plural(head['cases'], 'case')} profiled by {tool} in {plural(head['starts'], 'start')}{took}" + (f" ({how})" if how else ""))
    if stored:
        found.append(f"{plural(len(stored), 'case')} from earlier runs, up to {age_of(max(stored))}")
    if not found and not hole and head.get("starts"):
        times = "once" if head["starts"] == 1 else f"{head['starts']} times"
        return visible(f"counters: none, though ncu {head['ncu']} was started {times}")
    if hole:
        found.append(": ".join(text for text in (hole["code"], hole.get("detail") or "") if text))
    return visible(f"counters: {'' if head.get('cases') or stored else 'none, '}{'; '.join(found)}".rstrip(" ,"))


def _oldest(case: Record) -> float | None:
    ages = [(measurement.get("profiled") or {}).get("age_s") for measurement in case["measurements"]]
    return max((age for age in ages if age is not None), default=None)


def _line(name: str, one: Record, there: Record | None, limits: tuple[tuple[str, str], ...], *, same: bool) -> Line:
    number, reason = one.get("number"), one.get("reason") or {}
    why = f"{reason.get('verdict', 'UNMEASURED')} {reason.get('code', 'without a reason')}" if reason or number is None else ""
    before = (there or {}).get("number")
    return Line(
        visible(name),
        "" if number is None else visible(written(number, one["unit"])),
        visible(": ".join(text for text in (why, reason.get("sentence") or "") if text)),
        visible(_HOW.get(one.get("how") or "", one.get("how") or "")),
        "" if there is None or before is None else visible(written(before, there["unit"])),
        change(number, before) if same and number is not None and before is not None else "",
        limits,
    )


def _limits(case: Record, measurement: str, name: str) -> tuple[tuple[str, str], ...]:
    own = [budget for budget in case["budgets"] if budget["measurement"] == measurement and name in _spellings(budget)]
    return tuple((budget["verdict"], visible(_limit(budget, name))) for budget in own)


def _limit(budget: Record, name: str) -> str:
    """Write a limit, by the name that it was given where the counter's line has another, and its margin."""
    short = "" if name == budget["quantity"] or canonical(budget["quantity"]) == budget["quantity"] else f"{budget['quantity']} "
    return f"{short}{budget['text']}" + (f", margin {format_margin(budget['margin'])}" if budget.get("margin") is not None else "")


def _by_short_name(case: Record, measurement: str, counters: Record) -> Iterator[Line]:
    """Yield a line for each limit on a short name, which can stand for several counters: the number is what was held against the limit."""
    own = [budget for budget in case["budgets"] if budget["measurement"] == measurement and not any(name in counters for name in _spellings(budget))]
    for name in dict.fromkeys(budget["quantity"] for budget in own):
        row = metric(name)
        if name == SPEEDUP.name or (row is not None and row.source != "ncu"):
            continue
        judged = next(budget for budget in own if budget["quantity"] == name)
        as_counter = {"number": judged.get("value"), "unit": judged.get("unit") or "", "reason": judged.get("reason")}
        yield _line(name, as_counter, None, _limits(case, measurement, name), same=False)


def _spellings(budget: Record) -> tuple[str, ...]:
    """A counter's full name ends like a statistic does: a budget may hold it whole or in two parts, or by a short name."""
    return (budget["quantity"], f"{budget['quantity']}.{budget.get('statistic') or ''}", canonical(budget["quantity"]))


def _cells(kernel: Record, heads: tuple[str, ...], counters: Record) -> tuple[str, ...]:
    values = kernel["values"]
    return tuple("" if values.get(name) is None else visible(written(values[name], counters[name]["unit"])) for name in heads)
