"""The grammar of --gpuperf-fail-on: by how much a quantity may be worse than the reference's."""

from __future__ import annotations

import dataclasses
import re

from pytest_gpuperf.counters.names import counter, nearest_counter
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.metrics import UNITS, Metric, metric, metric_names, nearest

_AMOUNT = re.compile(r"\s*(?P<sign>[+-])\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>%|[^\s0-9].*?)?\s*", re.ASCII)
#: Whom a quantity's change for the worse moves where: 1 where more is worse.
_WORSE = {"less": 1, "more": -1}
EXAMPLE = "time:+5%,registers:+0,dram_write:+2%"


@dataclasses.dataclass(frozen=True, slots=True)
class Allowed:
    """One limit: the quantity, its statistic, and by how much it may be worse: a share of the reference's value, or an amount in its unit."""

    row: Metric
    statistic: str
    share: float | None
    amount: float | None
    text: str

    @property
    def name(self) -> str:
        """The quantity as a record has it: with its statistic, where that is not the median."""
        return self.row.name if self.statistic == "p50" else f"{self.row.name}.{self.statistic}"

    @property
    def worse(self) -> int:
        """1 where more is worse, -1 where less is."""
        return _WORSE[self.row.better]

    def of(self, old: float) -> float:
        """Return by how much, in the quantity's unit and without a sign, it may be worse than `old`."""
        return abs(old) * self.share if self.share is not None else self.amount or 0.0


def read_limits(text: str, where: str = "--gpuperf-fail-on") -> tuple[Allowed, ...]:
    """Return the limits of a text as `time:+5%,registers:+0`; BadBudget, in one line with the nearest name, for what is none.

    >>> [(one.name, one.share, one.amount) for one in read_limits("time:+5%, launches:+0, time.p95:+1 us, bandwidth:-3%")]
    [('time', 0.05, None), ('launches', None, 0.0), ('time.p95', None, 1e-06), ('bandwidth', 0.03, None)]
    >>> read_limits("tiem:+5%")
    Traceback (most recent call last):
    pytest_gpuperf.errors.BadBudget: --gpuperf-fail-on: no quantity 'tiem'; nearest 'time'
    """
    limits = tuple(_read(item.strip(), where) for item in text.split(","))
    names = [one.name for one in limits]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"{where}: {twice} has two limits"
        raise BadBudget(message)
    return limits


def _read(item: str, where: str) -> Allowed:
    name, colon, amount = item.rpartition(":")
    match = _AMOUNT.fullmatch(amount)
    if not colon or match is None:
        message = f"{where}: {item!r} is no limit: write QUANTITY:+NUMBER[% | unit], as {EXAMPLE!r}"
        raise BadBudget(message)
    row, statistic = _quantity(name.strip(), where)
    if {"+": 1, "-": -1}[match["sign"]] != _WORSE[row.better]:
        turned = "-" if match["sign"] == "+" else "+"
        message = f"{where}: {item!r}: {'more' if row.better == 'more' else 'less'} is better of {row.name}, so it can only be too {'low' if turned == '-' else 'high'}: write {name.strip()}:{turned}{match['number']}{match['unit'] or ''}"
        raise BadBudget(message)
    number, unit = float(match["number"]), match["unit"] or ""
    if unit == "%":
        return Allowed(row, statistic, number / 100, None, item)
    scales = {"": 1.0} if row.exact else {}
    scales |= UNITS.get(row.unit, {}) if row.unit != "%" else {}
    if unit not in scales:
        known = [one for one in ("%", *UNITS.get(row.unit, {})) if one.isascii()]
        message = f"{where}: {item!r}: {'needs a unit' if not unit else f'unknown unit {unit!r}'}: one of {', '.join(dict.fromkeys(known))}"
        raise BadBudget(message)
    return Allowed(row, statistic, None, number * scales[unit], item)


def _quantity(name: str, where: str) -> tuple[Metric, str]:
    row, statistic = metric(name), "p50"
    if row is None and "." in name and "__" not in name:
        head, _, statistic = name.rpartition(".")
        row = metric(head)
        if row is not None and statistic not in row.statistics:
            message = f"{where}: {head} has no statistic {statistic!r}{nearest(statistic, row.statistics)}"
            raise BadBudget(message)
    if row is None:
        found = counter(name)
        row = found.metric if found is not None else None
    if row is None:
        near = nearest_counter(name) if "__" in name else nearest(name, metric_names())
        message = f"{where}: no quantity {name!r}{near}"
        raise BadBudget(message)
    return row, statistic
