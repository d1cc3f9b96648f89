"""The schema of a run file as JSON Schema, for readers in other languages; made from the tables of fields, so that it cannot say something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.reasons import VERDICTS
from pytest_gpuperf.records.fields import RECORDS
from pytest_gpuperf.records.schema import SCHEMA

if TYPE_CHECKING:
    from pytest_gpuperf.records.field import Field

Rules = dict[str, Any]

#: What a run file of another schema is not; a major step of the schema is a new name.
IDENTIFIER = f"urn:pytest-gpuperf:run-file:{SCHEMA}"

_SCALARS: dict[str, Rules] = {
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "verdict": {"enum": list(VERDICTS)},
    "any": {},
}


def json_schema() -> Rules:
    """Return the JSON Schema (draft 2020-12) of the run files that this version writes.

    A later version may add fields, so unknown ones are allowed: a reader skips them. Every number is in the SI unit that its description
    ends with.

    >>> made = json_schema()
    >>> made["$id"], made["properties"]["schema"], made["$defs"]["check"]["required"]
    ('urn:pytest-gpuperf:run-file:2', {'description': 'number of this schema', 'const': 2}, ['kind', 'name', 'verdict', 'detail'])
    """
    head: Rules = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": IDENTIFIER, "title": f"run file of pytest-gpuperf, schema {SCHEMA}"}
    whole = head | _record(RECORDS["run file"])
    whole["properties"]["schema"] = {"description": whole["properties"]["schema"]["description"], "const": SCHEMA}
    return whole | {"$defs": {_named(name): _record(fields) for name, fields in RECORDS.items() if name != "run file"}}


def _record(fields: tuple[Field, ...]) -> Rules:
    return {
        "type": "object",
        "required": [field.name for field in fields if field.required],
        "properties": {field.name: {"description": _described(field)} | _rules(field.type) for field in fields},
    }


def _described(field: Field) -> str:
    return f"{field.meaning} [{field.unit}]" if field.unit else field.meaning


def _rules(kind: str) -> Rules:
    """Return the rules of a type.

    >>> _rules("[int]"), _rules("number?"), _rules("{text}")
    ({'type': 'array', 'items': {'type': 'integer'}}, {'type': ['number', 'null']}, {'type': 'object', 'additionalProperties': {'type': 'string'}})
    """
    if kind.endswith("?"):
        inner = _rules(kind[:-1])
        return {"type": [inner["type"], "null"]} | {key: rule for key, rule in inner.items() if key != "type"} if "type" in inner else {"anyOf": [inner, {"type": "null"}]}
    if kind.startswith("["):
        return {"type": "array", "items": _rules(kind[1:-1])}
    if kind.startswith("{"):
        return {"type": "object", "additionalProperties": _rules(kind[1:-1])}
    return dict(_SCALARS[kind]) if kind in _SCALARS else {"$ref": f"#/$defs/{_named(kind)}"}


def _named(name: str) -> str:
    """Name a record as a reference can: without blanks."""
    return name.replace(" ", "-")
