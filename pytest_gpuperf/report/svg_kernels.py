"""Inline SVG of the kernels of one call by name. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

import dataclasses
from html import escape
from typing import TYPE_CHECKING

from pytest_gpuperf.format import digits, format_quantity, shorten, visible
from pytest_gpuperf.report.kernel_label import kernel_label
from pytest_gpuperf.report.svg_parts import fitted, opened, text

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _LEFT, _RIGHT = 460.0, 164.0, 310.0
_TOP, _ROW, _BAR = 4.0, 19.0, 11.0
#: Kernels that get a bar, and characters of a whole name in its title.
_MOST, _NAME = 8, 160


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """The launches of one kernel in one call: its name as it was compiled, how many there were, and their seconds together."""

    name: str
    count: int
    seconds: float


def kernels(rows: Sequence[Kernel]) -> str:
    """Draw a bar a kernel, the longest first: how often it ran, its time in one call and its share; the whole name is in its title.

    >>> drawn = kernels([Kernel("_Z4copyPf", 2, 3e-6), Kernel("void at::fill<4>(int)", 1, 1e-6)])
    >>> drawn.count('class="device"'), "2 x copy" in drawn, "3.000 us, 75.00 %" in drawn, "<title>_Z4copyPf</title>" in drawn
    (2, True, True, True)
    >>> kernels([])
    ''
    """
    if not rows:
        return ""
    ordered = sorted(rows, key=lambda one: -one.seconds)
    shown, others = ordered[:_MOST], ordered[_MOST:]
    total = sum(one.seconds for one in rows) or 1e-12
    longest = max(shown[0].seconds, 1e-12)
    height = _TOP + _ROW * (len(shown) + bool(others)) + 2
    drawn = [_row(one, _TOP + _ROW * place, longest, total) for place, one in enumerate(shown)]
    end = _TOP + _ROW * len(shown)
    if others:
        rest = f"and {len(others)} more: {format_quantity(sum(one.seconds for one in others), 's')}"
        drawn.append(text(_LEFT + 6, end + _ROW / 2 + 4, rest))
    axis = f'<path class="axis" d="M{_LEFT:g} {_TOP:g}V{end:g}"/>'
    return "".join([opened("kernels", _WIDTH, height, said(ordered)), *drawn, axis, "</svg>"])


def said(rows: Sequence[Kernel]) -> str:
    """Say the kernels in words.

    >>> said([Kernel("_Z4copyPf", 2, 3e-6)])
    'kernels of one call: 2 x copy 3.000 us'
    """
    told = [f"{one.count} x {kernel_label(one.name)} {format_quantity(one.seconds, 's')}" for one in rows[:_MOST]]
    return "kernels of one call: " + "; ".join(told) + (f"; and {len(rows) - _MOST} more" if len(rows) > _MOST else "")


def _row(one: Kernel, y: float, longest: float, total: float) -> str:
    middle = y + _ROW / 2
    label = fitted(f"{one.count} x {kernel_label(one.name)}", _LEFT - 10)
    end = max(_LEFT + one.seconds / longest * (_RIGHT - _LEFT), _LEFT + 1)
    bar = f'<path class="device" d="M{_LEFT:g} {middle - _BAR / 2:g}H{end:.1f}v{_BAR:g}H{_LEFT:g}z"/>'
    number = f"{format_quantity(one.seconds, 's')}, {digits(100 * one.seconds / total)} %"
    title = f"<title>{escape(visible(shorten(one.name, _NAME)))}</title>"
    return f"<g>{title}{text(_LEFT - 6, middle + 4, label, 'name', 'end')}{bar}{text(_RIGHT + 8, middle + 4, number)}</g>"
