"""Inline SVG of what ran when, a lane each for host, device and ranges. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

import dataclasses
import math
from html import escape
from typing import TYPE_CHECKING

from pytest_gpuperf.format import form_of, format_quantity, plural, shorten
from pytest_gpuperf.report.svg_parts import CHARACTER, fitted, opened, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WIDTH, _LEFT, _RIGHT = 940.0, 86.0, 930.0
_TOP, _ROW, _BAR, _APART = 4.0, 18.0, 15.0, 5.0
#: Rows of one lane, as for ranges in ranges; what would lie deeper is drawn in the last.
_DEPTH = 4
#: Bytes of a drawing, about: the longest bars get a title, and a name where it fits, for as long as there is room; the others are one path a kind.
_BYTES, _FIXED, _PLAIN, _EACH = 2850, 800, 27, 62
_NAME = 40


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that took time: its lane, its kind (a class of the page), its name, start and length in seconds."""

    lane: str
    kind: str
    name: str
    start: float
    seconds: float


def timeline(events: Sequence[Event], span: float, more: int = 0) -> str:
    """Draw events over time, a lane a row, in the order in which lanes first come; names and times are in titles. Empty for none.

    >>> drawn = timeline([Event("host", "api", "cuLaunchKernel", 0.0, 2e-6), Event("stream 7", "kernel", "saxpy", 3e-6, 5e-6)], 8e-6)
    >>> [lane in drawn for lane in (">host<", ">stream 7<")], "<title>saxpy, 5.000 us at 3.000 us</title>" in drawn, ">8 us<" in drawn
    ([True, True], True, True)
    >>> len(timeline([Event("stream 7", "kernel", "a long name of a kernel " * 3, n * 1e-6, 9e-7) for n in range(64)], 64e-6)) < 3000
    True
    """
    if not events:
        return ""
    span = max([span, *(one.start + one.seconds for one in events)]) or 1e-12
    lanes: dict[str, list[Event]] = {}
    for one in events:
        lanes.setdefault(one.lane, []).append(one)
    titled = _titled(events)
    drawn, y = [], _TOP
    for lane, members in lanes.items():
        rows = _rows(members, span / _WIDTH)
        drawn.append(text(_LEFT - 8, y + _BAR - 3.5, fitted(lane, _LEFT - 10), "name", "end"))
        drawn.append("".join(_bars(members, rows, titled, span, y)))
        y += _ROW * (max(rows) + 1) + _APART
    height = y + 18
    return "".join([opened("timeline", _WIDTH, height, said(events, span, more)), _axis(span, y), *drawn, "</svg>"])


def said(events: Sequence[Event], span: float, more: int) -> str:
    """Say how much the drawing shows.

    >>> said([Event("host", "api", "cuLaunchKernel", 0.0, 2e-6)], 8e-6, 3)
    'timeline of 8.000 us: host: 1 event; and 3 events that are not listed'
    """
    lanes = list(dict.fromkeys(one.lane for one in events))
    counts = [f"{lane}: {plural(sum(one.lane == lane for one in events), 'event')}" for lane in lanes]
    return f"timeline of {format_quantity(span, 's')}: {', '.join(counts)}" + (f"; and {plural(more, 'event')} that are not listed" if more else "")


def _rows(members: Sequence[Event], grain: float) -> list[int]:
    """Return the row of each event in its lane: the first that is free where it starts, to a pixel."""
    free = [-math.inf] * _DEPTH
    rows = []
    for one in members:
        row = next((place for place, end in enumerate(free) if one.start >= end - grain), _DEPTH - 1)
        free[row] = max(free[row], one.start + one.seconds)
        rows.append(row)
    return rows


def _titled(events: Sequence[Event]) -> set[int]:
    """Return which events get a title, by id: the longest ones, as many as there is room for."""
    left, found = _BYTES - _FIXED - _PLAIN * len(events), set()
    for one in sorted(events, key=lambda one: -one.seconds):
        left -= _EACH + len(_title(one))
        if left < 0:
            break
        found.add(id(one))
    return found


def _bars(members: Sequence[Event], rows: Sequence[int], titled: set[int], span: float, y: float) -> Iterator[str]:
    plain: dict[str, list[str]] = {}
    told: dict[str, list[str]] = {}
    words = []
    for one, row in zip(members, rows, strict=True):
        left, right = _x(one.start, span), _x(one.start + one.seconds, span)
        width, top = round(max(right - left, 1.0), 1), y + _ROW * row
        path = f"M{round(left, 1):g} {top:g}h{width:g}v{_BAR:g}h-{width:g}z"
        if id(one) not in titled:
            plain.setdefault(one.kind, []).append(path)
            continue
        told.setdefault(one.kind, []).append(f'<path d="{path}"><title>{escape(_title(one))}</title></path>')
        label = fitted(one.name, width - 6)
        words += [text(left + 4, top + _BAR - 4, label)] if label else []
    for kind in dict.fromkeys([*plain, *told]):
        whole = f'<path d="{"".join(plain[kind])}"/>' if kind in plain else ""
        yield f'<g class="{kind}">{whole}{"".join(told.get(kind, ()))}</g>'
    yield from words


def _title(one: Event) -> str:
    return f"{shorten(one.name, _NAME)}, {format_quantity(one.seconds, 's')} at {format_quantity(one.start, 's')}"


def _x(seconds: float, span: float) -> float:
    return _LEFT + min(max(seconds / span, 0.0), 1.0) * (_RIGHT - _LEFT)


def _axis(span: float, y: float) -> str:
    """Draw times below and a thin line up from each."""
    size, unit = form_of(span, "s")
    step = _step(span / size / 6)
    ticks = [step * number for number in range(int(span / size / step + 1e-9) + 1)]
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    lines = "".join(f"M{_x(tick * size, span):.1f} {_TOP:g}V{y:g}" for tick in ticks)
    labels = [f"{tick:.{places}f}" + (f" {unit}" if tick == ticks[-1] else "") for tick in ticks]
    half = [len(label) * CHARACTER / 2 for label in labels]
    words = [text(min(_x(tick * size, span), _RIGHT + 8 - one), y + 13, label, "tick", "middle") for tick, label, one in zip(ticks, labels, half, strict=True)]
    return f'<path class="grid" d="{lines}"/>' + "".join(words)


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
