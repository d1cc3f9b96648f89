"""What `gpuperf roofs` measured, as a text table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import format_interval, format_quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    Record = dict[str, Any]


def machine_lines(found: Record) -> Iterator[str]:
    """Yield what was measured, see `machine.measure_machine`, a block of lines each."""
    device = found["device"]
    yield f"{device['name']} ({device['uuid']}), driver {device['driver']}, L2 {format_quantity(device['l2_bytes'], 'B')}, at most {found['limit_s']:g} s a row"
    traffics = list(dict.fromkeys(row["traffic"] for row in found["bandwidth"]))
    states = list(dict.fromkeys(row["cache"] for row in found["bandwidth"]))
    if traffics:
        yield ""
        yield f"{'bytes moved':<12} {'cache':<8}" + "".join(f"{name:>14}" for name in traffics)
    for nbytes in dict.fromkeys(row["bytes"] for row in found["bandwidth"]):
        for cache in states:
            cells = [_cell(row["rate"]) for row in found["bandwidth"] if row["bytes"] == nbytes and row["cache"] == cache]
            yield f"{format_quantity(nbytes, 'B'):<12} {cache:<8}" + "".join(f"{cell:>14}" for cell in cells)
    for title, key in (("L2", "l2"), ("host memory", "transfers"), ("operations", "operations")):
        if found[key]:
            yield ""
            yield from (f"{title + ' ' + row['name']:<34} {_with_interval(row['rate'])}{_of(row)}" for row in found[key])
    yield ""
    yield from (f"{row['name']:<34} {_cell(row['time'])}" for row in found["launch"])


def _of(row: Record) -> str:
    return f"  ({row['how']})" if row.get("how") else f"  ({format_quantity(row['bytes'], 'B')})" if row.get("bytes") else ""


def _with_interval(value: Record) -> str:
    cell = f"{_cell(value):>14}"
    if value["number"] is None or value["low"] is None:
        return cell
    shift = value["systematic"] or 0.0
    return f"{cell} [{format_interval(value['low'] - shift, value['high'] + shift, value['unit'])}]"


def _cell(value: Record) -> str:
    if value["number"] is None or value["reason"] is not None:
        return str((value["reason"] or {}).get("code", "unmeasured"))
    return format_quantity(value["number"], value["unit"])
