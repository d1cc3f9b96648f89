"""gpuperf.toml: budgets and known misses that stand in a file of their own, read and checked before anything runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import tomllib
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.collect import Budget, read_limits
from pytest_gpuperf.budgets.globs import specificity
from pytest_gpuperf.budgets.grammar import Limit, find_metric, parse_limit
from pytest_gpuperf.budgets.note import Note
from pytest_gpuperf.budgets.tables import parts
from pytest_gpuperf.counters.names import counter
from pytest_gpuperf.errors import BadBudget
from pytest_gpuperf.metrics import STATISTICS, metric_names, nearest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: The arrays of tables that a file has.
BUDGET, MISS = "budget", "known-miss"
KINDS = (BUDGET, MISS)
#: Keys of a table that are no quantities.
KEYS = ("test", "device", "of", "reason", "owner", "until", "toolchain", "metrics")
#: What a known miss says where it knows no bound.
ANY = "any"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One table of the file: its kind of KINDS, its line, the globs of tests and (None: given by limit, or all) devices, and its limits."""

    kind: str
    line: int
    origin: str
    test: str
    device: str | None
    of: str | None
    budgets: tuple[Budget, ...]
    note: Note

    @property
    def weight(self) -> tuple[int, bool]:
        """How much its glob of tests says."""
        return specificity(self.test)


def read_rows(text: str, name: str) -> tuple[Row, ...]:
    r"""Return the tables of a file in their order; BadBudget with a line for each that is wrong.

    >>> read_rows('[[budget]]\ntest = "*"\ntiem = "<= 12 us"', "gpuperf.toml")
    Traceback (most recent call last):
    pytest_gpuperf.errors.BadBudget: gpuperf.toml:1: a budget has no key 'tiem'; nearest 'time'
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{name} is no TOML: {error}"
        raise BadBudget(message) from None
    lines = {(part.name, part.index): part.line for part in parts(text)}
    wrong, rows = [_unknown_array(name, key) for key in whole if key not in KINDS], []
    for kind in KINDS:
        tables = whole.get(kind, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            wrong.append(f"{name}: {kind}: write each as a table of its own, under [[{kind}]]")
            continue
        for index, table in enumerate(tables):
            line = lines.get((kind, index), 0)
            origin = f"{name}:{line}" if line else f"{name}, {kind} {index + 1}"
            try:
                rows.append(_row(kind, line, origin, table))
            except BadBudget as error:
                wrong.append(str(error))
    rows.sort(key=lambda row: row.line)
    wrong += _twice(rows)
    if wrong:
        raise BadBudget("\n".join(wrong))
    return tuple(rows)


def read_file(path: Path, name: str) -> tuple[str, tuple[Row, ...]]:
    """Return the text of a file and its tables; BadBudget, in lines that name it, where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read {name}: {getattr(error, 'strerror', None) or error}"
        raise BadBudget(message) from None
    return text, read_rows(text, name)


def _unknown_array(name: str, key: str) -> str:
    return f"{name}: has no place for {key!r}{nearest(key, tuple(f'[[{kind}]]' for kind in KINDS))}"


def _row(kind: str, line: int, origin: str, table: dict[str, Any]) -> Row:
    article = f"a {kind.replace('-', ' ')}"
    for key, given in table.items():
        if key in KEYS or key in metric_names() or counter(key) is not None:
            continue
        if "__" in key and isinstance(given, dict):
            message = f'{origin}: write the name of a counter in quotes, as "{key}.{next(iter(given), "sum")}" = ...'
            raise BadBudget(message)
        if "__" in key:
            find_metric(key, origin)
        message = f"{origin}: {article} has no key {key!r}{nearest(key, (*metric_names(), *KEYS))}"
        raise BadBudget(message)
    test = _text(table, "test", origin)
    if test is None:
        message = f"{origin}: says no test: write test = 'tests/test_commit.py::test_copy', or '*' for all"
        raise BadBudget(message)
    device, of = _text(table, "device", origin), _text(table, "of", origin)
    note = _note(table, origin)
    if kind == MISS and not note.reason:
        message = f"{origin}: {article} needs a reason = '...', as that is what is read where a limit is missed"
        raise BadBudget(message)
    limits = {key: given for key, given in table.items() if key not in KEYS or key == "metrics"}
    limits = {key: _for_device(key, given, device, origin) for key, given in limits.items()}
    parse: Callable[[str, object, str], Limit] = _meanwhile if kind == MISS else parse_limit
    budgets = read_limits(limits, origin, origin, of, parse)
    if not budgets:
        message = f"{origin}: {article} without a limit: write one, as time = '<= 12 us'"
        raise BadBudget(message)
    return Row(kind, line, origin, test, device, of, tuple(dataclasses.replace(one, note=note) for one in budgets), note)


def _for_device(key: str, given: Any, device: str | None, origin: str) -> Any:
    """Return limits by device glob: that of the table stands for a limit that names none."""
    if key == "metrics":
        return {name: _for_device(name, one, device, origin) for name, one in given.items()} if isinstance(given, dict) else given
    if isinstance(given, dict) and device is not None:
        message = f"{origin}: {key} names devices of its own beside device = {device!r}: leave one of them out"
        raise BadBudget(message)
    return given if isinstance(given, dict) else {device or "*": given}


def _meanwhile(quantity: str, text: object, where: str) -> Limit:
    """Read how far a known miss may go: a limit, or any."""
    statistic, _, word = text.rpartition(" ") if isinstance(text, str) else ("", "", "")
    row = find_metric(quantity, where)
    if word.strip() == ANY and (statistic.strip() or "p50") in STATISTICS and (statistic.strip() or "p50") in row.statistics:
        # Every number keeps it, as none is below 0.
        return Limit(quantity, statistic.strip() or "p50", ">=", 0.0, row.unit, ANY, absolute=row.unit == "%")
    try:
        return parse_limit(quantity, text, where)
    except BadBudget as error:
        message = f"{error}; a known miss says how far it may go, or {ANY!r}"
        raise BadBudget(message) from None


def _text(table: dict[str, Any], key: str, origin: str) -> str | None:
    given = table.get(key)
    if given is None:
        return None
    if not isinstance(given, str) or not given.strip():
        message = f"{origin}: {key} = {given!r} is no text"
        raise BadBudget(message)
    return given


def _note(table: dict[str, Any], origin: str) -> Note:
    until = table.get("until")
    if until is not None and (not isinstance(until, dt.date) or isinstance(until, dt.datetime)):
        message = f"{origin}: until = {str(until)!r} is no day: write it without quotes and hours, as until = 2026-12-31"
        raise BadBudget(message)
    toolchain = table.get("toolchain", {})
    if not isinstance(toolchain, dict) or not all(isinstance(version, str) for version in toolchain.values()):
        message = f"{origin}: toolchain = {toolchain!r}: write versions by name, as toolchain = {{ nvvm = '13.0', nvjitlink = '13.0' }}"
        raise BadBudget(message)
    return Note(_text(table, "reason", origin) or "", _text(table, "owner", origin) or "", until, toolchain)


def _twice(rows: list[Row]) -> list[str]:
    """Return a line for each limit that two tables give to the same tests on the same devices."""
    seen: dict[tuple[Any, ...], Row] = {}
    wrong = []
    for row in rows:
        for key in dict.fromkeys((row.kind, row.test, one.glob, *one.key) for one in row.budgets):
            first = seen.setdefault(key, row)
            if first is not row:
                wrong.append(f"{row.origin}: limits {key[-2]} {key[-1]} of {row.test!r} on {key[2]!r}, which {first.origin} limits already: put both into one list")
    return wrong


