"""A quick answer to whether a run is as the schema says: a run of 20,000 cases has millions of fields, and nearly always all are right."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

from pytest_gpuperf.reasons import VERDICTS
from pytest_gpuperf.records.fields import RECORDS

Test: TypeAlias = Callable[[Any], bool]

_ABSENT = object()


def sound(run: Any) -> bool:
    """Say whether `problems(run, unknown=False)` has nothing to say of a run that was read from JSON.

    >>> sound({"schema": 2}), sound([])
    (False, False)
    """
    return _test("run file")(run)


#: Types of which every value is right; a float may be infinite all the same.
_EXACT: dict[str, frozenset[type]] = {
    "text": frozenset({str}),
    "int": frozenset({int}),
    "number": frozenset({int}),
    "bool": frozenset({bool}),
    "verdict": frozenset(),
}


@functools.cache
def _test(kind: str) -> Test:
    """Return what tells whether a value is of a type."""
    if kind in RECORDS:
        return _record(kind)
    if kind == "any":
        return lambda _: True
    if kind.endswith("?"):
        inner = _test(kind[:-1])
        return lambda value: value is None or inner(value)
    if kind.startswith("["):
        return _items(kind[1:-1])
    if kind.startswith("{"):
        entry = _test(kind[1:-1])
        return lambda value: type(value) is dict and all(map(entry, value.values()))
    if kind == "verdict":
        return lambda value: value in VERDICTS
    if kind == "number":
        return lambda value: type(value) is int or (type(value) is float and math.isfinite(value))
    exact = _EXACT[kind]
    return lambda value: type(value) in exact


def _items(kind: str) -> Test:
    if kind == "int":
        only = frozenset({int})
        return lambda value: type(value) is list and only.issuperset(map(type, value))
    item = _test(kind)
    return lambda value: type(value) is list and all(map(item, value))


def _record(name: str) -> Test:
    """Return what tells whether a value is a record: by the type alone where that is enough, which it is for most fields."""
    rows: list[tuple[str, bool, frozenset[type], bool, Test]] = []

    def test(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for key, required, exact, numeric, deep in rows:
            held = value.get(key, _ABSENT)
            kind = type(held)
            if kind in exact:
                continue
            if numeric and kind is float:
                if held - held == 0.0:  # neither infinite nor NaN
                    continue
                return False
            if required if held is _ABSENT else not deep(held):
                return False
        return True

    for field in RECORDS[name]:
        bare = field.type.removesuffix("?")
        exact = _EXACT.get(bare, frozenset()) | (frozenset({type(None)}) if bare != field.type else frozenset())
        rows.append((field.name, field.required, exact, bare == "number", _later(field.type)))
    return test


def _later(kind: str) -> Test:
    """Return the test of a type, made at its first use: records may hold each other."""

    def later(value: Any) -> bool:
        return _test(kind)(value)

    return later
