"""The grammar of a limit: `[p50|p95|p99] OP NUMBER [unit | % | x roof]`."""

from __future__ import annotations

import dataclasses
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from pytest_gpuperf.counters.names import find_counter
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.format import format_quantity
from pytest_gpuperf.metrics import UNITS, metric, metric_names, nearest

if TYPE_CHECKING:
    from pytest_gpuperf.metrics import Metric

RELATIVE = ("%", "x roof")
_LIMIT = re.compile(
    r"""\s*(?P<statistic>[A-Za-z]\w*)?\s*(?P<op><=|>=|==|<|>|=|!=)\s*
        (?P<number>[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\d.,_])\s*(?P<unit>\S.*?)?\s*""",
    re.VERBOSE,
)
_EXAMPLES = {"speedup": ">= 2.5 x"}
_OF_COUNTERS = {"B": "<= 48 MB", "%": ">= 80 %", "s": "<= 12 us"}
_OF_CODE = {"B": "== 0", "%": ">= 50 %", "1": "<= 64"}
_OPERATORS = ("<=", "<", ">=", ">", "==")


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """One limit on one statistic of one quantity: `number` in SI units, or in `%` or `x roof` as `unit` says.

    `absolute` marks a % that is the quantity's own unit, as that of a hardware counter.
    """

    quantity: str
    statistic: str
    op: str
    number: float
    unit: str
    text: str
    absolute: bool = False

    @property
    def relative(self) -> bool:
        """Whether it is held against the roof."""
        return self.unit in RELATIVE and not self.absolute

    def __str__(self) -> str:
        """Return the limit in its normal spelling."""
        tail = "" if self.statistic == "p50" else f"{self.statistic} "
        shown = f"{self.number:g} {self.unit}" if self.relative else format_quantity(self.number, self.unit)
        return f"{tail}{self.op} {shown}"


def find_metric(name: str, where: str) -> Metric:
    """Return the row of METRICS of a quantity, or one like it for a hardware counter by its full name; BadBudget with the nearest name for an unknown one."""
    row = metric(name)
    if row is None and isinstance(name, str) and "__" in name:
        return find_counter(name, where).metric
    if row is None:
        message = f"{where}: unknown quantity {name!r}{nearest(str(name), metric_names())}"
        raise BadBudget(message)
    return row


def parse_limit(quantity: str, text: object, where: str = "budget", row: Metric | None = None) -> Limit:
    """Read one limit; BadBudget with the nearest valid spelling for what cannot be read. `row` is that of a quantity that METRICS does not have.

    >>> parse_limit("time", "p99 <= 20 us").number
    2e-05
    >>> parse_limit("bandwidth", ">= 80 %").unit
    '%'
    >>> parse_limit("dram__bytes_write.sum", "<= 48 MB").number
    48000000.0
    >>> parse_limit("time", "<= 12 uz")
    Traceback (most recent call last):
    pytest_gpuperf.errors.BadBudget: budget: time='<= 12 uz': unknown unit 'uz'; nearest 'us'
    """
    row = row or find_metric(quantity, where)
    here = f"{where}: {quantity}={text!r}"
    usual = {"ncu": _OF_COUNTERS.get(row.unit, "<= 1e6"), "compiler": _OF_CODE.get(row.unit, "<= 64")}
    example = _EXAMPLES.get(quantity, usual.get(row.source, "<= 12 us"))
    if not isinstance(text, str):
        message = f"{here}: a limit is a string such as '{example}'"
        raise BadBudget(message)
    match = _LIMIT.fullmatch(text)
    if match is None:
        message = f"{here}: not a limit; write '[p50|p95|p99] OP NUMBER [unit | % | x roof]', as '{example}'"
        raise BadBudget(message)
    statistic = match["statistic"] or "p50"
    if statistic not in row.statistics:
        message = f"{here}: {quantity} has no statistic {statistic!r}{nearest(statistic, row.statistics)}"
        raise BadBudget(message)
    if match["op"] not in _OPERATORS or (match["op"] == "==" and not row.exact):
        inexact = "is no count" if row.source == "ncu" else "has an interval"
        why = f"{inexact}, so == never decides; use <= or >=" if match["op"] == "==" else f"unknown operator {match['op']!r}; use one of {' '.join(_OPERATORS)}"
        message = f"{here}: {quantity} {why}" if match["op"] == "==" else f"{here}: {why}"
        raise BadBudget(message)
    number, unit = _scale(row, match["op"], match["number"], match["unit"] or "", here)
    return Limit(quantity, statistic, match["op"], number, unit, " ".join(text.split()), absolute=unit == row.unit == "%")


def _scale(row: Metric, op: str, digits: str, unit: str, here: str) -> tuple[float, str]:
    number = Decimal(digits.replace(",", "").replace("_", ""))
    if number < 0 or not math.isfinite(float(number)):
        message = f"{here}: {digits} decides nothing: {row.name} is a finite number, 0 or more"
        raise BadBudget(message)
    spelled = " ".join(unit.split())
    spelled = "x" if spelled == "×" else "x roof" if spelled in {"xroof", "× roof", "×roof"} else spelled
    if spelled in RELATIVE and spelled != row.unit:
        if spelled in row.relative:
            return float(number), spelled
        allowed = f"it takes {' or '.join(row.relative)}" if row.relative else "it has no roof"
        message = f"{here}: {row.name} cannot be held against {spelled!r}: {allowed}"
        raise BadBudget(message)
    if row.unit == "1" and row.exact and number % 1:
        message = f"{here}: {row.name} is a count, which {digits} is not: write a whole number"
        raise BadBudget(message)
    known = UNITS.get(row.unit, {})
    # Of the spellings of a unit, those that anybody can type: the two letters mu look the same.
    listed = [name for name in known if name.isascii()]
    if spelled in {"", row.unit} and not known:
        return float(number), row.unit
    if not spelled and row.source in {"ncu", "compiler"} and row.unit == "B":
        # As ncu and ptxas write them; there is one unit that it can be.
        return float(number), row.unit
    if not spelled:
        units = [*listed, *row.relative]
        message = f"{here}: needs a unit: {'one of ' if len(units) > 1 else ''}{', '.join(units)}"
        raise BadBudget(message)
    if not known and row.exact:
        message = f"{here}: {row.name} is a count and has no unit: write '{op} {digits}'"
        raise BadBudget(message)
    if spelled not in known:
        message = f"{here}: unknown unit {spelled!r}{nearest(spelled, (*listed, *row.relative) or (row.unit or 'none',))}"
        raise BadBudget(message)
    return float(number * Decimal(repr(known[spelled]))), row.unit
