"""Which tables of the file are for a test, and which of their limits hold on a device."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pytest_gpuperf.budgets.collect import Budget, Filed, choose, device_matches, literal_characters, stack
from pytest_gpuperf.budgets.file import BUDGET, MISS, Row
from pytest_gpuperf.budgets.globs import is_wild, literal, parents, pattern
from pytest_gpuperf.errors import BadBudget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class BudgetFile:
    """The tables of one file: what they say of each test, and how many tests each of them was for."""

    def __init__(self, path: Path, name: str, rows: Sequence[Row], wanted: Sequence[tuple[str, str]] = ()) -> None:
        """Keep the tables; those without wildcards are found by name, as --gpuperf-record writes one for each test. `wanted` is what that is to record."""
        self.path, self.name, self.rows, self.wanted = path, name, tuple(rows), tuple(wanted)
        self._wild = [row for row in self.rows if is_wild(row.test)]
        self._named: dict[str, list[Row]] = {}
        for row in self.rows:
            if not is_wild(row.test):
                self._named.setdefault(literal(row.test), []).append(row)
        self._found: dict[str, tuple[Row, ...]] = {}

    def rows_for(self, nodeid: str) -> tuple[Row, ...]:
        """Return the tables that are for a test, in the order of the file."""
        if nodeid not in self._found:
            named = [row for one in dict.fromkeys(parents(nodeid)) for row in self._named.get(one, ())]
            wild = [row for row in self._wild if pattern(row.test).match(nodeid)]
            self._found[nodeid] = tuple(sorted([*named, *wild], key=lambda row: row.line))
        return self._found[nodeid]

    def of(self, nodeid: str, device: str | None) -> Filed:
        """Return what holds for a test on a device (None: none is there); BadBudget where two tables say equally much."""
        rows = self.rows_for(nodeid)
        if not rows:
            return Filed(wanted=self.wanted)
        limits = _levels([row for row in rows if row.kind == BUDGET], nodeid, device)
        misses = _levels([row for row in rows if row.kind == MISS], nodeid, device)
        return Filed(tuple(limits), tuple(one for one in stack(misses) if one.applies), self.wanted)


def _levels(rows: Iterable[Row], nodeid: str, device: str | None) -> list[list[Budget]]:
    """Return the limits of tables by how much their globs of tests say, most first, each level with those of this device."""
    levels = []
    ordered = sorted(rows, key=lambda row: row.weight, reverse=True)
    for _, group in itertools.groupby(ordered, key=lambda row: row.weight):
        same = list(group)
        if len(same) > 1:
            _refuse_ties(same, nodeid, device)
        levels.append(choose([one for row in same for one in row.budgets], device, f"{', '.join(row.origin for row in same)}: {nodeid}"))
    return levels


def _refuse_ties(rows: Sequence[Row], nodeid: str, device: str | None) -> None:
    """Refuse two tables whose globs of tests and of devices say equally much of one limit."""
    best: dict[tuple[str, ...], tuple[int, Row]] = {}
    for row in rows:
        for one in row.budgets:
            if device is not None and not device_matches(one.glob, device):
                continue
            # Without a device nothing tells which of two globs would hold: only equal ones quarrel.
            slot = one.key if device is not None else (*one.key, one.glob)
            says = literal_characters(one.glob)
            known = best.setdefault(slot, (says, row))
            if says == known[0] and known[1] is not row:
                message = (
                    f"{known[1].origin} and {row.origin} both limit {one.limit.quantity} {one.limit.statistic} of {nodeid} and say equally much: "
                    "let one glob say more, or put both into one table"
                )
                raise BadBudget(message)
            if says > known[0]:
                best[slot] = (says, row)
