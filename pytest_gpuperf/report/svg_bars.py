"""Inline SVG of a comparison: a bar a version with its interval. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape

from pytest_gpuperf.format import digits, format_interval, format_quantity, shorten

_WIDTH, _LEFT, _RIGHT = 460.0, 112.0, 340.0
_ROW, _HEIGHT = 24.0, 14.0
_TOP = 6.0
_LABEL = 17
#: What would squeeze every other bar into a line is cut off, and its number says how long it is.
_REACH = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """One version: its name, its ratio with the ends of the whole interval (None where there is none, for `why`), and a limit on it."""

    label: str
    ratio: float | None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    why: str = ""


def bars(rows: Sequence[Bar], unit: str = "x", verdict: str = "REFERENCE") -> str:
    """Draw a bar a version from 0 to its ratio, its interval as a whisker, limits dashed, and a line at 1, which is the first version.

    >>> svg = bars([Bar("loop", 1.0), Bar("kernel", 2.0, 1.9, 2.1, limit=2.5)])
    >>> svg.startswith("<svg"), svg.count('class="bars"'), svg.count('class="whisker"'), "1.900..2.100 x" in svg
    (True, 2, 1, True)
    """
    known = [row.ratio for row in rows if row.ratio is not None and row.ratio > 0]
    shortest = min(known, default=1.0)
    ends = [end for row in rows for end in (row.ratio, row.high, row.limit) if end is not None and end <= _REACH * max(shortest, 1.0)]
    longest = max([1.0, *ends]) * 1.02
    height = _TOP + _ROW * len(rows) + 4
    one = _x(1.0, longest)
    parts = [
        f'<svg class="dist v-{escape(verdict, quote=True)}" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{escape(_described(rows, unit), quote=True)}">',
        *(_row(row, _TOP + _ROW * place, longest, unit) for place, row in enumerate(rows)),
        f'<path class="axis" d="M{_LEFT:g} {_TOP:g}V{height - 4:g}"/><path class="axis one" d="M{one:g} {_TOP:g}V{height - 4:g}"/>',
        "</svg>",
    ]
    return "".join(parts)


def _row(row: Bar, y: float, longest: float, unit: str) -> str:
    middle = y + _ROW / 2
    drawn = [_text(_LEFT - 6, middle + 4, shorten(row.label, _LABEL), "end")]
    if row.ratio is None:
        return "".join([*drawn, _text(_LEFT + 6, middle + 4, row.why)])
    end = _x(row.ratio, longest)
    drawn.append(f'<path class="bars" d="M{_LEFT:g} {middle - _HEIGHT / 2:g}H{max(end, _LEFT + 1):g}v{_HEIGHT:g}H{_LEFT:g}z"/>')
    if row.low is not None and row.high is not None and row.low < row.high:
        low, high = _x(row.low, longest), _x(row.high, longest)
        drawn.append(f'<path class="whisker" d="M{low:g} {middle:g}H{high:g}M{low:g} {middle - 4:g}v8M{high:g} {middle - 4:g}v8"/>')
    if row.limit is not None:
        drawn.append(f'<path class="limit" d="M{_x(row.limit, longest):g} {y + 1:g}v{_ROW - 2:g}"/>')
    return "".join([*drawn, _text(_RIGHT + 8, middle + 4, _number(row, unit))])


def _number(row: Bar, unit: str) -> str:
    assert row.ratio is not None
    if row.low is None or row.high is None or row.low == row.high:
        return f"{digits(row.ratio)} {unit}"
    return format_interval(row.low, row.high, unit)


def _x(ratio: float, longest: float) -> float:
    return round(_LEFT + min(max(ratio / longest, 0.0), 1.0) * (_RIGHT - _LEFT), 1)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _described(rows: Sequence[Bar], unit: str) -> str:
    told = [f"{row.label} {row.why if row.ratio is None else format_quantity(row.ratio, unit)}" for row in rows]
    limits = [f"limit {format_quantity(row.limit, unit)} on {row.label}" for row in rows if row.limit is not None]
    return "; ".join([*told, *limits])
