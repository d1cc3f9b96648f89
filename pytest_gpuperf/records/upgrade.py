"""Upgrades: a run file of an older schema becomes one of this schema as it is read; no measured number changes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.records.fields import RECORDS, Field
from pytest_gpuperf.records.filling import blank
from pytest_gpuperf.records.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Upgrade:
    """One step: from which schema, to the next one; what is new in it; how a run gets there."""

    old: int
    news: str
    apply: Callable[[Record], Record]


def upgraded(run: Record) -> Record:
    """Return a run of any schema from 1 on as one of this schema; what the old one did not have is null or empty, never a made-up number.

    >>> upgraded({"schema": 1, "devices": [{"uuid": "GPU-1"}]})
    {'schema': 2, 'devices': [{'uuid': 'GPU-1', 'sm_clock': None}], 'not_run': [], 'notes': [], 'problems': []}
    """
    for step in UPGRADES:
        if run["schema"] == step.old:
            run = step.apply(run) | {"schema": step.old + 1}
    return run


def _with_new_fields(run: Record, schema: int) -> Record:
    """Return a run with the fields that a schema added, wherever a record that has them stands; what is no record is left to the validator."""
    filled = _record(run, "run file", schema)
    return filled if isinstance(filled, dict) else run


def _record(value: Any, name: str, schema: int) -> Any:
    if not isinstance(value, dict):
        return value
    made = {key: _inside(inner, _types(name).get(key, ""), schema) for key, inner in value.items()}
    return made | {field.name: blank(field.type) for field in _added(name, schema) if field.name not in made}


def _inside(value: Any, kind: str, schema: int) -> Any:
    kind = kind.removesuffix("?")
    name = kind.strip("[]{}")
    if name not in _TOUCHED[schema]:
        return value
    if kind == name:
        return _record(value, name, schema)
    if isinstance(value, list):
        return [_inside(item, kind[1:-1], schema) for item in value]
    return {key: _inside(item, kind[1:-1], schema) for key, item in value.items()} if isinstance(value, dict) else value


def _types(name: str) -> dict[str, str]:
    return {field.name: field.type for field in RECORDS[name]}


def _added(name: str, schema: int) -> list[Field]:
    return [field for field in RECORDS[name] if field.since == schema and field.required]


def _touched(schema: int) -> frozenset[str]:
    """Return the records that have a new field, or hold one that has: nothing else needs a look."""
    names = {name for name in RECORDS if _added(name, schema)}
    while more := {name for name, fields in RECORDS.items() if name not in names and any(field.type.strip("[]{}?") in names for field in fields)}:
        names |= more
    return frozenset(names)


UPGRADES: tuple[Upgrade, ...] = (
    Upgrade(1, "what later versions of schema 1 added (not_run, notes, problems, sm_clock, duty, state) is always there, and a measurement has its code", lambda run: _with_new_fields(run, 2)),
)
_TOUCHED = {schema: _touched(schema) for schema in range(2, SCHEMA + 1)}
