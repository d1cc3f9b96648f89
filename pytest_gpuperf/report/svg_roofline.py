"""Inline SVG of a roofline: what each body reaches, and the roof that was measured for it. Pure functions; colours come from the page's classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_gpuperf.report.axes import Axis

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 560.0, 70.0, 546.0, 26.0, 266.0, 302.0
#: Points that are links with a title; the others are drawn as one path a verdict.
LINKED = 400
_LABEL_CHAR = 6.2
_APART = 13.0


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """One body: its place, the roof above it (None where none was measured), its verdict, where it links to and what it says."""

    x: float
    y: float
    roof: float | None
    verdict: str
    link: str
    title: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ceiling:
    """A line that no body is above: from one place to another, with its name at the right."""

    start: tuple[float, float]
    end: tuple[float, float]
    name: str


def roofline(points: Sequence[Point], ceilings: Sequence[Ceiling], x: Axis, y: Axis, described: str, titles: tuple[str, str]) -> str:
    """Draw points under their roofs on two axes; `titles` are what the axes show, upright and across.

    >>> from pytest_gpuperf.report.axes import axis
    >>> body = Point(1e6, 1e12, 2e12, "FAIL", "#t=a", "a: 1 TB/s")
    >>> svg = roofline([body], [Ceiling((1e6, 2e12), (1e8, 2e12), "2 TB/s")], axis([1e6, 1e8], "B"), axis([1e12, 2e13], "B/s"), "one body", ("bandwidth", "bytes"))
    >>> svg.count("<a "), svg.count('class="roof"'), "v-FAIL" in svg, "2 TB/s" in svg
    (1, 1, True, True)
    """
    plot = _Plot(x, y)
    head = f'<svg class="dist roofline" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(described, quote=True)}">'
    drawn = [
        f'<text class="title" x="{_LEFT:g}" y="12">{escape(titles[0])}</text>',
        *(_grid(plot, number, label) for number, label in y.ticks),
        *(_tick(plot, number, label) for number, label in x.ticks),
        f'<path class="axis" d="M{_LEFT:g} {_BOTTOM:g}H{_RIGHT:g}"/>',
        f'<text class="tick" x="{(_LEFT + _RIGHT) / 2:g}" y="{_HEIGHT - 4:g}" text-anchor="middle">{escape(titles[1])}</text>',
        *_ceilings(plot, ceilings),
        *_crowd(plot, points[LINKED:]),
        # The worst come first in the list and lie on top in the picture.
        *(_body(plot, point) for point in reversed(points[:LINKED])),
    ]
    return "".join([head, *drawn, "</svg>"])


@dataclasses.dataclass(frozen=True, slots=True)
class _Plot:
    across: Axis
    upright: Axis

    def x(self, number: float) -> float:
        return round(_LEFT + self.across.share(number) * (_RIGHT - _LEFT), 1)

    def y(self, number: float) -> float:
        return round(_BOTTOM - self.upright.share(number) * (_BOTTOM - _TOP), 1)


def _grid(plot: _Plot, number: float, label: str) -> str:
    y = plot.y(number)
    return f'<path class="grid" d="M{_LEFT:g} {y:g}H{_RIGHT:g}"/><text class="tick" x="{_LEFT - 7:g}" y="{y + 4:g}" text-anchor="end">{escape(label)}</text>'


def _tick(plot: _Plot, number: float, label: str) -> str:
    x = plot.x(number)
    half = len(label) * _LABEL_CHAR / 2
    return f'<path class="axis" d="M{x:g} {_BOTTOM:g}v4"/><text class="tick" x="{min(max(x, half), _WIDTH - half):g}" y="{_BOTTOM + 17:g}" text-anchor="middle">{escape(label)}</text>'


def _ceilings(plot: _Plot, ceilings: Sequence[Ceiling]) -> list[str]:
    drawn: list[str] = []
    taken: list[float] = []
    for one in ceilings:
        (x0, y0), (x1, y1) = ((plot.x(at), plot.y(height)) for at, height in (one.start, one.end))
        drawn.append(f'<path class="ceiling" d="M{x0:g} {y0:g}L{x1:g} {y1:g}"/>')
        flat = abs(y0 - y1) < 1
        # A name stands over its line: at the right of a flat one, at the foot of a slope.
        at, height, anchor = (x1, y1 - 5, "end") if flat else (x0 + 4, y0 - 10, "start")
        while any(abs(height - other) < _APART for other in taken):
            height += _APART
        taken.append(height)
        drawn.append(f'<text class="ceiling-name" x="{at:g}" y="{max(height, 10):g}" text-anchor="{anchor}">{escape(one.name)}</text>')
    return drawn


def _body(plot: _Plot, point: Point) -> str:
    x, y = plot.x(point.x), plot.y(point.y)
    roof = ""
    if point.roof is not None:
        top = plot.y(point.roof)
        roof = f'<path class="roof" d="M{x - 5:g} {top:g}h10"/><path class="gap" d="M{x:g} {top:g}V{y:g}"/>'
    mark = _MARKS.get(point.verdict, _MARKS["PASS"]).format(x=x, y=y, left=round(x - 4, 1), top=round(y - 4, 1), above=round(y - 5.5, 1))
    title = f"<title>{escape(point.title)}</title>"
    return f'<a href="{escape(point.link, quote=True)}" class="v-{escape(point.verdict, quote=True)}">{title}{roof}{mark}</a>'


#: The shape of a body by its verdict, so that colour is never alone: a dot, a cross, a diamond, a ring.
_MARKS = {
    "PASS": '<circle class="body" cx="{x:g}" cy="{y:g}" r="4"/>',
    "FAIL": '<path class="halo" d="M{left:g} {top:g}l8 8m0 -8l-8 8"/><path class="cross" d="M{left:g} {top:g}l8 8m0 -8l-8 8"/>',
    "INCONCLUSIVE": '<path class="body" d="M{x:g} {above:g}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>',
    "UNMEASURED": '<circle class="open" cx="{x:g}" cy="{y:g}" r="4"/>',
    "NOT-APPLICABLE": '<circle class="body" cx="{x:g}" cy="{y:g}" r="3"/>',
}


def _crowd(plot: _Plot, points: Sequence[Point]) -> list[str]:
    """Draw what is too much for a link each: a path of dots a verdict."""
    by_verdict: dict[str, list[str]] = {}
    for point in points:
        by_verdict.setdefault(point.verdict, []).append(f"M{plot.x(point.x):g} {plot.y(point.y):g}h0")
    return [f'<path class="crowd v-{escape(verdict, quote=True)}" d="{"".join(dict.fromkeys(places))}"/>' for verdict, places in by_verdict.items()]
