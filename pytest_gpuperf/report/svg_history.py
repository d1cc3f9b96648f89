"""Inline SVG of a measurement's time over earlier runs. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

import dataclasses
from html import escape
from typing import TYPE_CHECKING

from pytest_gpuperf.format import digits, form_of, format_interval, format_quantity, plural
from pytest_gpuperf.report.svg_parts import opened, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_gpuperf.report.svg import Mark

_WIDTH, _LEFT, _RIGHT = 460.0, 66.0, 446.0
_TOP, _BASE, _HEIGHT = 12.0, 74.0, 92.0
#: Labels closer than this would lie upon one another.
_APART = 11.0
#: A limit further away than this many spans of the runs would squeeze them into a line.
_REACH = 2.0
#: The drawing spans at least this share of the time: noise is not mountains.
_LEAST_SPAN = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """The time of one measurement in one run, s, with the ends of its random interval; `commit` is None where it is not known."""

    started: str
    commit: str | None
    dirty: bool
    number: float
    low: float
    high: float


def history(points: Sequence[Point], limit: Mark | None = None, verdict: str = "PASS") -> str:
    """Draw the times of runs, the oldest left and this run, the last one, marked: dots with their intervals, a limit dashed.

    Date, commit and value are in each dot's title. Empty for a single run.

    >>> runs = [Point(f"2026-11-{day}T10:00:00Z", "4f9d2c1ab83e", False, 1e-6 * day, 0.99e-6 * day, 1.01e-6 * day) for day in (11, 12, 13)]
    >>> drawn = history(runs)
    >>> drawn.count("<circle"), drawn.count('class="here"'), "2026-11-12 10:00 4f9d2c1ab8 12.00 us (11.88..12.12 us)" in drawn
    (3, 1, True)
    >>> history(runs[:1])
    ''
    """
    if len(points) < 2:
        return ""
    low, high = _span(points, limit)

    def y(seconds: float) -> float:
        return round(_BASE - (seconds - low) / (high - low) * (_BASE - _TOP), 1)

    step = (_RIGHT - _LEFT) / len(points)
    places = [round(_LEFT + step * (number + 0.5), 1) for number in range(len(points))]
    whiskers = "".join(f"M{x:g} {y(one.low):g}V{y(one.high):g}" for x, one in zip(places, points, strict=True) if one.high > one.low)
    line = "L".join(f"{x:g} {y(one.number):g}" for x, one in zip(places, points, strict=True))
    near = limit is not None and low <= limit.at <= high
    return "".join(
        [
            opened(f"history v-{escape(verdict, quote=True)}", _WIDTH, _HEIGHT, said(points)),
            f'<path class="axis" d="M{_LEFT:g} {_BASE:g}H{_RIGHT:g}"/>',
            _labels(points, limit if near else None, y),
            f'<path class="limit" d="M{_LEFT:g} {y(limit.at):g}H{_RIGHT:g}"/>' if near and limit is not None else "",
            f'<path class="whiskers" d="{whiskers}"/>' if whiskers else "",
            f'<path class="trend" d="M{line}"/>',
            *(_dot(x, y(one.number), one, here=one is points[-1]) for x, one in zip(places, points, strict=True)),
            text(_LEFT, _BASE + 14, points[0].started[:10], "tick"),
            text(_RIGHT, _BASE + 14, points[-1].started[:10], "tick", "end"),
            "</svg>",
        ]
    )


def said(points: Sequence[Point]) -> str:
    """Say in words what the drawing shows.

    >>> said([Point("2026-11-11", "4f9d", False, 11.9e-6, 11.8e-6, 12e-6), Point("2026-11-12", None, False, 12.2e-6, 12.1e-6, 12.3e-6)])
    '2 runs, 11.90..12.20 us, this one 12.20 us'
    """
    numbers = [one.number for one in points]
    return f"{plural(len(points), 'run')}, {format_interval(min(numbers), max(numbers), 's')}, this one {format_quantity(numbers[-1], 's')}"


def _span(points: Sequence[Point], limit: Mark | None) -> tuple[float, float]:
    """Return the ends of the axis: all intervals, at least _LEAST_SPAN of the largest time, and a limit that lies near."""
    low, high = min(one.low for one in points), max(one.high for one in points)
    missing = max(0.0, _LEAST_SPAN * abs(high) - (high - low)) or (1e-9 if high <= low else 0.0)
    low, high = low - missing / 2, high + missing / 2
    if limit is not None and low - _REACH * (high - low) <= limit.at <= high + _REACH * (high - low):
        low, high = min(low, limit.at), max(high, limit.at)
    pad = 0.05 * (high - low)
    return low - pad, high + pad


def _labels(points: Sequence[Point], limit: Mark | None, y: Callable[[float], float]) -> str:
    """Label the limit, then the highest and the lowest time where there is room; all in the unit of the highest."""
    numbers = [one.number for one in points]
    size, unit = form_of(max([*numbers, limit.at] if limit else numbers), "s")
    wanted = ([(limit.at, "limit-label")] if limit else []) + [(max(numbers), "tick"), (min(numbers), "tick")]
    shown: list[float] = []
    parts = []
    for number, name in wanted:
        at = y(number) + 4
        if all(abs(at - other) >= _APART for other in shown):
            shown.append(at)
            parts.append(text(_LEFT - 6, at, f"{digits(number / size)}" if len(shown) > 1 else f"{digits(number / size)} {unit}", name, "end"))
    return "".join(parts)


def _dot(x: float, y: float, one: Point, *, here: bool) -> str:
    commit = f" {one.commit[:10]}{'+' if one.dirty else ''}" if one.commit else ""
    interval = f" ({format_interval(one.low, one.high, 's')})" if one.high > one.low else ""
    title = f"{one.started[:16].replace('T', ' ')}{commit} {format_quantity(one.number, 's')}{interval}{', this run' if here else ''}"
    circle = f'class="here" cx="{x:g}" cy="{y:g}" r="4.2"' if here else f'class="dot" cx="{x:g}" cy="{y:g}" r="2.6"'
    return f"<circle {circle}><title>{escape(title)}</title></circle>"
