"""The trend of a case over the runs of a history, as lines: every value, its change, and where the environment changed between two."""

from __future__ import annotations

import difflib
import itertools
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.errors import RunFileError
from pytest_gpuperf.format import format_interval, format_quantity, visible
from pytest_gpuperf.reference.change import Number, change
from pytest_gpuperf.reference.surroundings import changed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gpuperf.reference.index import Index

Record = dict[str, Any]

_BARS = "▁▂▃▄▅▆▇█"
#: Cases that one word may mean before a longer one is asked for.
_MANY = 20


def trend_lines(index: Index, case: str, quantity: str, last: int) -> Iterator[str]:
    """Yield the trend of each case that a text means; RunFileError names the nearest where there is none."""
    nodeids = chosen(index, case)
    for nodeid in nodeids:
        points = index.points(nodeid, quantity)
        if not points:
            message = f"{nodeid} has no {quantity} in any run; it has {', '.join(index.quantities(nodeid)) or 'nothing'}"
            raise RunFileError(message)
        yield visible(nodeid)
        for _, group in itertools.groupby(sorted(points, key=_series), key=_series):
            yield from series_lines(list(group), last)


def chosen(index: Index, case: str) -> list[str]:
    """Return the node ids that are a text or, where none is, hold it."""
    known = index.cases()
    found = [nodeid for nodeid in known if nodeid == case] or [nodeid for nodeid in known if case in nodeid]
    if not found:
        names = {nodeid.rpartition("::")[2]: nodeid for nodeid in known}
        near = difflib.get_close_matches(case.rpartition("::")[2], names, 1, 0.4)
        message = f"no case {case!r} in the {index.runs} runs of {index.directory}" + (f"; nearest {names[near[0]]!r}" if near else "")
        raise RunFileError(message)
    if len(found) > _MANY:
        message = f"{case!r} is in the names of {len(found)} cases; write more of it"
        raise RunFileError(message)
    return found


def series_lines(points: Sequence[Record], last: int) -> Iterator[str]:
    """Yield one measurement on one model of device in one cache state: a line a run, and a line where the environment changed."""
    first = points[0]
    what = ", ".join(part for part in (first["measurement"], first["quantity"], first["cache"], first["source"], first["model"] or "no GPU") if part)
    bars = sparkline([point["number"] for point in points[-last:]])
    yield f"  {visible(what)}  {bars}".rstrip()
    if len(points) > last:
        yield f"    ({len(points) - last} earlier runs; --last {len(points)} shows all)"
    before: Record | None = None
    for point in points[-last:]:
        moved = changed(before["surroundings"], point["surroundings"]) if before is not None else ""
        if moved:
            yield f"    -- {moved}"
        yield f"    {_text(point, before, alike=not moved)}"
        before = point


def sparkline(numbers: Sequence[float | None]) -> str:
    """Draw numbers as bars of text, from 0 up, so that a bar's height is its share of the largest; a blank where there is none.

    >>> sparkline([1.0, 2.0, None, 4.0])
    '▂▄ █'
    """
    most = max((number for number in numbers if number is not None), default=0.0)
    return "".join(" " if number is None else _BARS[max(0, min(7, round(8 * number / most) - 1))] if most > 0 else _BARS[0] for number in numbers)


def _series(point: Record) -> tuple[str, ...]:
    return tuple(str(point[key] or "") for key in ("measurement", "model", "cache", "source"))


def _text(point: Record, before: Record | None, *, alike: bool) -> str:
    commit = f"{str(point['commit'] or 'unknown')[:10]}{'+' if point['dirty'] else ''}"
    head = f"{str(point['started'])[:16].replace('T', ' ')}  {commit:<11}"
    if point["number"] is None:
        return f"{head}  UNMEASURED {point['reason'] or ''}".rstrip()
    text = f"{head}  {format_quantity(point['number'], point['unit']):>10}"
    low, high, shift = point["low"], point["high"], point["systematic"] or 0.0
    if low is not None and high is not None and low != high:
        text += f" ({format_interval(low - shift, high + shift, point['unit'])})"
    if before is None or before["number"] is None:
        return text
    one = change(point["quantity"], _number(before), _number(point))
    code = "" if before["code"] is None or point["code"] is None else "; equal machine code" if before["code"] == point["code"] else "; other machine code"
    share = f"  {100 * (one.ratio - 1):+.1f} %" if one.ratio is not None else ""
    # Across a change of the environment the numbers stand side by side, and nothing is said of the code.
    return f"{text}{share}{f' {one.verdict}' if alike else ''}{code}"


def _number(point: Record) -> Number:
    number = point["number"]
    low, high = (number if point[end] is None else point[end] for end in ("low", "high"))
    reason = None if point["reason"] is None else {"code": point["reason"], "sentence": ""}
    return Number(point["unit"], number, low, high, point["systematic"] or 0.0, point["source"] or "", reason)
