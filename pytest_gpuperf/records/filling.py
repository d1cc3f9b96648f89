"""What a recorder left out, filled in by the schema: a run file has every field, null where nothing is known."""

from __future__ import annotations

from typing import Any

from pytest_gpuperf.reasons import UNMEASURED
from pytest_gpuperf.records.fields import RECORDS

#: What stands for a field of a record that cannot be null; other types (a number, a record) must be given.
_BLANK: dict[str, Any] = {"text": "", "bool": False, "verdict": UNMEASURED, "int": 0}


def filled(record: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a record of RECORDS with every required field, in the schema's order, and then what else it has.

    A field that is missing is null where it may be, else an empty list, an empty object or an empty text.

    >>> filled({"cases": 3}, "counts")
    {'cases': 3, 'budgets': 0}
    """
    whole = {}
    for field in RECORDS[name]:
        if field.name in record:
            whole[field.name] = _inside(record[field.name], field.type)
        elif field.required:
            whole[field.name] = blank(field.type)
    return whole | {key: value for key, value in record.items() if key not in whole}


def profiled_runs(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Join the records of runs under ncu, of the shards of a run: their counts add up, and one hole does not hide what others counted.

    >>> joined = profiled_runs([{"ncu": "2025.3.1.0", "starts": 1, "cases": 4}, {"ncu": None, "hole": {"code": "no-ncu", "detail": ""}}])
    >>> joined["starts"], joined["cases"], joined["ncu"], joined["hole"]["code"]
    (1, 4, '2025.3.1.0', 'no-ncu')
    """
    whole = [filled(run, "counted run") for run in runs]
    joined = {name: next((run[name] for run in whole if run[name] is not None), None) for name in ("ncu", "road", "replay", "hole")}
    joined |= {name: sum(run[name] for run in whole) for name in ("starts", "cases")}
    walls = [run["wall_s"] for run in whole if run["wall_s"] is not None]
    joined["wall_s"] = sum(walls) if walls else None
    joined["reports"] = list(dict.fromkeys(name for run in whole for name in run["reports"]))
    return filled(joined, "counted run")


def blank(kind: str) -> Any:
    """Return what stands for a field of this type of which nothing is known: null where it may be, else empty."""
    if kind.endswith("?"):
        return None
    if kind.startswith("["):
        return []
    return {} if kind.startswith("{") else _BLANK.get(kind)


def _inside(value: Any, kind: str) -> Any:
    kind = kind.removesuffix("?")
    # Lists of numbers are most of a file, and have nothing to fill.
    if kind.strip("[]{}") not in RECORDS:
        return value
    if isinstance(value, list) and kind.startswith("["):
        return [_inside(item, kind[1:-1]) for item in value]
    if isinstance(value, dict) and kind.startswith("{"):
        return {key: _inside(item, kind[1:-1]) for key, item in value.items()}
    return filled(value, kind) if isinstance(value, dict) else value
