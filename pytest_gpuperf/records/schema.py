"""The schema of a run file: its number, and a validator derived from the tables of fields."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import VERDICTS
from pytest_gpuperf.records.fields import RECORDS, Field
from pytest_gpuperf.records.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SCHEMA", "plain", "problems", "validate"]

#: The number that every run file and journal starts with. Files of an older schema are brought to it as they are read; a newer one is refused.
SCHEMA = 2

# Characters of a wrong value that a line shows.
_SHOWN = 40


def validate(run: Any) -> list[str]:
    """Return one line for each place where a run is not as the schema says; none for a sound run.

    >>> validate({"schema": 2})[0]
    'run: missing (record run)'
    """
    return list(problems(run, unknown=True))


def problems(run: Any, *, unknown: bool) -> Iterator[str]:
    """Yield the lines of `validate`; fields that the schema does not have only where `unknown` is True."""
    for line in _record(run, "run file", "", unknown=unknown):
        yield line.removeprefix(".")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_SCALARS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "text": ("text", lambda value: isinstance(value, str)),
    "int": ("a whole number", _is_int),
    "number": ("a finite number", _is_number),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "verdict": (f"one of {', '.join(VERDICTS)}", lambda value: value in VERDICTS),
    "any": ("anything", lambda _: True),
}


def _value(value: Any, kind: str, where: str, *, unknown: bool) -> Iterator[str]:
    if kind.endswith("?"):
        if value is not None:
            yield from _value(value, kind[:-1], where, unknown=unknown)
    elif kind.startswith("["):
        yield from _items(value, kind[1:-1], where, unknown=unknown)
    elif kind.startswith("{"):
        yield from _entries(value, kind[1:-1], where, unknown=unknown)
    elif kind in _SCALARS:
        expected, holds = _SCALARS[kind]
        if not holds(value):
            yield f"{where}: {_shown(value)} is not {expected}"
    else:
        yield from _record(value, kind, where, unknown=unknown)


def _items(value: Any, kind: str, where: str, *, unknown: bool) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: {_shown(value)} is not a list"
        return
    # Samples are by far the most of a file: one pass over plain integers, not a generator for each.
    if kind == "int" and all(type(item) is int for item in value):
        return
    for index, item in enumerate(value):
        yield from _value(item, kind, f"{where}[{index}]", unknown=unknown)


def _entries(value: Any, kind: str, where: str, *, unknown: bool) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {_shown(value)} is not an object"
        return
    for key, item in value.items():
        yield from _value(item, kind, f"{where}.{key}", unknown=unknown)


def _record(value: Any, name: str, where: str, *, unknown: bool) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where or name}: {_shown(value)} is not an object"
        return
    fields: tuple[Field, ...] = RECORDS[name]
    for field in fields:
        if field.name in value:
            yield from _value(value[field.name], field.type, f"{where}.{field.name}", unknown=unknown)
        elif field.required:
            yield f"{where}.{field.name}: missing ({_described(field)})"
    if unknown:
        names = [field.name for field in fields]
        for key in value:
            if key not in names:
                near = difflib.get_close_matches(str(key), names, 1)
                yield f"{where}.{key}: no field of a {name}" + (f"; nearest {near[0]!r}" if near else "")


def _described(field: Field) -> str:
    return f"record {field.type}" if field.type in RECORDS else field.type


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
