"""Inline SVG of curves: panels one above the other over one axis. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gpuperf.report.axes import Axis

_WIDTH, _LEFT, _RIGHT = 366.0, 74.0, 318.0
_TOP, _TITLE, _FOOT, _BETWEEN = 2.0, 20.0, 32.0, 16.0
#: Least distance of two names at the ends of their lines.
_APART = 12.0


@dataclasses.dataclass(frozen=True, slots=True)
class Dot:
    """One point: its place, its interval, what it is marked as (a class, PASS or a shape of a line); `y` is None where there is no number."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None
    mark: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """Points that are joined, under a name that stands at the line's end; `look` is its class."""

    name: str
    dots: tuple[Dot, ...]
    look: str = "curve"


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """Lines over one axis, with a title; `height` without title and labels."""

    title: str
    y: Axis
    lines: tuple[Line, ...]
    height: float = 120.0


def figure(x: Axis, panels: Sequence[Panel], described: str, under: str = "", guides: Sequence[float] = ()) -> str:
    """Draw panels one above the other; `under` names the axis below, `guides` are numbers of it with a dashed line.

    A point without a number stands as a ring on the axis, so that none is dropped in silence.

    >>> from pytest_gpuperf.report.axes import axis
    >>> line = Line("2 %", (Dot(0.0, 0.0), Dot(5.0, 100.0, 80.0, 100.0), Dot(9.0, None, mark="UNMEASURED")))
    >>> svg = figure(axis([0.0, 10.0], "%", zero=True), [Panel("found", axis([0.0, 100.0], "%", zero=True), (line,))], "a curve")
    >>> svg.startswith("<svg"), svg.count('class="whisker"'), "v-UNMEASURED" in svg, "2 %" in svg
    (True, 1, True, True)
    """
    drawn: list[str] = []
    top = _TOP
    for panel in panels:
        top += _TITLE
        drawn.append(_panel(panel, x, top, guides))
        top += panel.height + _BETWEEN
    bottom = top - _BETWEEN
    drawn += [_tick(_x(x, number), bottom, label) for number, label in x.ticks]
    drawn.append(f'<text class="tick" x="{(_LEFT + _RIGHT) / 2:g}" y="{bottom + 30:g}" text-anchor="middle">{escape(under)}</text>' if under else "")
    height = bottom + (_FOOT if under else 18)
    head = f'<svg class="dist curves" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{escape(described, quote=True)}">'
    return "".join([head, *drawn, "</svg>"])


def _panel(panel: Panel, x: Axis, top: float, guides: Sequence[float]) -> str:
    bottom = top + panel.height
    parts = [f'<text class="title" x="{_LEFT:g}" y="{top - 8:g}">{escape(panel.title)}</text>']
    for number, label in panel.y.ticks:
        y = _y(panel, number, top)
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y:g}H{_RIGHT:g}"/><text class="tick" x="{_LEFT - 6:g}" y="{y + 4:g}" text-anchor="end">{escape(label)}</text>')
    parts += [f'<path class="guide" d="M{_x(x, number):g} {top:g}V{bottom:g}"/>' for number in guides]
    parts.append(f'<path class="axis" d="M{_LEFT:g} {bottom:g}H{_RIGHT:g}"/>')
    parts += [_line(line, panel, x, top) for line in panel.lines]
    parts += _names(panel, top)
    return "".join(parts)


def _line(line: Line, panel: Panel, x: Axis, top: float) -> str:
    known = [(dot, _x(x, dot.x), _y(panel, dot.y, top)) for dot in line.dots if dot.y is not None]
    parts = [f'<g class="{escape(line.look, quote=True)}">']
    # Nothing is drawn over what was not measured.
    drawn = "".join(
        f"M{_x(x, one.x):g} {_y(panel, one.y, top):g}L{_x(x, other.x):g} {_y(panel, other.y, top):g}"
        for one, other in itertools.pairwise(line.dots)
        if one.y is not None and other.y is not None
    )
    parts.append(f'<path class="line" d="{drawn}"/>' if drawn else "")
    for dot, place, _ in known:
        if dot.low is not None and dot.high is not None and dot.low < dot.high:
            low, high = _y(panel, dot.low, top), _y(panel, dot.high, top)
            parts.append(f'<path class="whisker" d="M{place:g} {high:g}V{low:g}"/>')
    parts += [_mark(dot, place, height) for dot, place, height in known]
    parts += [_mark(dot, _x(x, dot.x), top + panel.height) for dot in line.dots if dot.y is None]
    return "".join([*parts, "</g>"])


def _mark(dot: Dot, x: float, y: float) -> str:
    kind = f" v-{escape(dot.mark, quote=True)}" if dot.mark.isupper() else ""
    if dot.y is None:
        return f'<circle class="ring{kind}" cx="{x:g}" cy="{y:g}" r="4"/>'
    if dot.mark == "INCONCLUSIVE":
        return f'<path class="point{kind}" d="M{x:g} {y - 5:g}l5 5l-5 5l-5 -5z"/>'
    return f'<circle class="point{kind}" cx="{x:g}" cy="{y:g}" r="3"/>'


def _names(panel: Panel, top: float) -> list[str]:
    """Write the names of the lines at their ends, moved apart where they would lie on each other."""
    ends = []
    for line in panel.lines:
        known = [dot for dot in line.dots if dot.y is not None]
        if line.name and known:
            ends.append((_y(panel, known[-1].y or 0.0, top), line))
    ends.sort(key=lambda end: end[0])
    parts = []
    lowest = top - _APART
    room = top + panel.height - _APART * (len(ends) - 1)
    for place, (y, line) in enumerate(ends):
        height = min(max(y, lowest + _APART), room + _APART * place)
        lowest = height
        parts.append(f'<text class="name {escape(line.look, quote=True)}" x="{_RIGHT + 8:g}" y="{height + 4:g}">{escape(line.name)}</text>')
    return parts


def _tick(x: float, bottom: float, label: str) -> str:
    return f'<path class="axis" d="M{x:g} {bottom:g}v4"/><text class="tick" x="{x:g}" y="{bottom + 15:g}" text-anchor="middle">{escape(label)}</text>'


def _x(axis: Axis, number: float) -> float:
    return round(_LEFT + axis.share(number) * (_RIGHT - _LEFT), 1)


def _y(panel: Panel, number: float, top: float) -> float:
    return round(top + panel.height * (1 - panel.y.share(number)), 1)
