"""Inline SVG of where one call's time goes, host and device, to one scale. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_gpuperf.format import format_quantity
from pytest_gpuperf.report.svg_parts import fitted, hatched, opened, text

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _LEFT, _RIGHT = 460.0, 98.0, 274.0
_TOP, _ROW, _BAR = 4.0, 21.0, 12.0


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One bar: its label, the side that it is of (host or device), its seconds or why it has none, and where it comes from.

    The bar begins after `after` seconds; a `text` part has none, as it would dwarf the others.
    """

    label: str
    side: str
    seconds: float | None
    source: str = ""
    why: str = ""
    after: float = 0.0
    text: bool = False


def split(parts: Sequence[Part]) -> str:
    """Draw a bar a part to one scale, with its number and source; hatched where it was not measured. Empty where nothing was.

    >>> drawn = split([Part("host time", "host", 2e-6, "host"), Part("device time", "device", None, why="sync"), Part("first call", "host", 1.5, "host", text=True)])
    >>> drawn.count('class="host"'), drawn.count('class="hole"'), "not measured: sync" in drawn, "1.500 s, host" in drawn
    (1, 1, True, True)
    >>> split([Part("device time", "device", None, why="sync")])
    ''
    """
    known = [part.after + part.seconds for part in parts if part.seconds is not None and not part.text]
    if not known:
        return ""
    longest = max([*known, 1e-12])
    height = _TOP + _ROW * len(parts) + 2
    rows = [_row(part, _TOP + _ROW * place, longest) for place, part in enumerate(parts)]
    ends = f'<path class="axis" d="M{_LEFT:g} {_TOP:g}V{height - 2:g}"/>'
    return "".join([opened("split", _WIDTH, height, said(parts)), *rows, ends, "</svg>"])


def said(parts: Sequence[Part]) -> str:
    """Say all parts in words.

    >>> said([Part("host time", "host", 2e-6, "host"), Part("device time", "device", None, why="sync")])
    'host time 2.000 us, host; device time not measured: sync'
    """
    return "; ".join(f"{part.label} {_number(part)}" for part in parts)


def _row(part: Part, y: float, longest: float) -> str:
    middle = y + _ROW / 2
    drawn = [text(_LEFT - 6, middle + 4, part.label, "name", "end")]
    top = middle - _BAR / 2
    if part.seconds is None:
        drawn.append(f'<path class="hole" d="{hatched(_LEFT, top, _RIGHT - _LEFT, _BAR)}"/>')
        return "".join([*drawn, text(_RIGHT + 8, middle + 4, fitted(_number(part), _WIDTH - _RIGHT - 8))])
    if part.text:
        return "".join([*drawn, text(_LEFT + 6, middle + 4, _number(part))])
    begin, end = (_LEFT + seconds / longest * (_RIGHT - _LEFT) for seconds in (part.after, part.after + part.seconds))
    drawn.append(f'<path class="{part.side}" d="M{begin:.1f} {top:g}H{max(end, begin + 1):.1f}v{_BAR:g}H{begin:.1f}z"/>')
    return "".join([*drawn, text(_RIGHT + 8, middle + 4, fitted(_number(part), _WIDTH - _RIGHT - 8))])


def _number(part: Part) -> str:
    if part.seconds is None:
        return f"not measured: {part.why}"
    return f"{format_quantity(part.seconds, 's')}, {part.source}"
