"""A trace of nsys as text: one line a range, and below the table why a number is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_gpuperf.errors import TraceError
from pytest_gpuperf.format import format_quantity, visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_gpuperf import Measurement, Value
    from pytest_gpuperf.imports.nsys import Range

#: Columns of the table behind range, process and instances: heading, quantity.
_COLUMNS = (
    ("launches", "launches"),
    ("api calls", "api_calls"),
    ("api time", "api_time"),
    ("gpu time", "busy_time"),
    ("synchronizations", "synchronizations"),
)


def trace_lines(path: Path, wanted: str | None) -> Iterator[str]:
    """Yield the table of a trace: an instance's counts, and the medians of its times; only ranges with `wanted` in their names, where it is given."""
    from pytest_gpuperf.imports import nsys
    from pytest_gpuperf.metrics import nearest

    trace = nsys.load(path)
    rows = [(one, measured) for one, measured in trace.measurements() if wanted is None or wanted in one.label]
    if not rows:
        message = f"{path} has no range {wanted!r}{nearest(wanted or '', [one.label for one in trace.ranges][:200])}"
        raise TraceError(message)
    reasons: dict[str, None] = {}
    heading = ["range", "process", "instances", *(name for name, _ in _COLUMNS)]
    table = [heading, *(_row(one, measured, reasons) for one, measured in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(heading))]
    yield f"{trace.path}: {trace.device or 'GPU unknown'}; counts and median times of one instance, source nsys"
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    notes = [f"{one.label}: {note}" for one, measured in rows for note in measured.details["notes"]]
    yield from reasons
    yield from (f"note: {visible(note)}" for note in (*notes, *trace.notes))


def _row(one: Range, measured: Measurement, reasons: dict[str, None]) -> list[str]:
    process = f"{one.process} {one.program}".strip()
    values = [measured.values[quantity] for _, quantity in _COLUMNS]
    reasons |= dict.fromkeys(f"{visible(one.label)} {value.name}: {value.reason}" for value in values if value.reason is not None)
    return [visible(one.label), visible(process), f"{one.instances:,}", *map(_cell, values)]


def _cell(value: Value) -> str:
    """Return a number, or the code of why there is none; a count that instances do not agree on with its ends."""
    if value.number is None:
        return value.reason.code if value.reason is not None else ""
    text = format_quantity(value.number, value.unit)
    low, high = value.bounds
    return text if value.reason is None else f"{text} ({format_quantity(low, value.unit)}..{format_quantity(high, value.unit)})"
