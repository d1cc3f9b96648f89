"""Inline SVG of one change: its interval beside no change, and the limit on it. Pure functions; colours come from the page's classes."""

from __future__ import annotations

_WIDTH, _HEIGHT, _MIDDLE, _ROW = 132.0, 18.0, 66.0, 9.0
#: The change that stands at the edge of the drawing; what goes further gets an arrow.
REACH = 0.25


def change_bar(low: float, ratio: float, high: float, allowed: float | None = None) -> str:
    """Draw the interval of a ratio (1: no change) with its centre, on a scale of -25 % to +25 %; `allowed` is the ratio up to which a change is allowed.

    >>> svg = change_bar(1.04, 1.05, 1.06, 1.02)
    >>> svg.count("<circle"), 'class="limit"' in svg, 'class="beyond"' in svg, 'class="beyond"' in change_bar(1.1, 1.4, 1.6)
    (1, True, False, True)
    """
    left, right, centre = _x(low), _x(high), _x(ratio)
    limit = f'<path class="limit" d="M{_x(allowed):g} 1V{_HEIGHT - 1:g}"/>' if allowed is not None and abs(allowed - 1) <= REACH else ""
    arrows = "".join(f'<path class="beyond" d="{path}"/>' for out, path in ((high - 1 > REACH, _RIGHT), (low - 1 < -REACH, _LEFT)) if out)
    inside = abs(ratio - 1) <= REACH
    dot = f'<circle class="body" cx="{centre:g}" cy="{_ROW:g}" r="3.5"/>' if inside else ""
    return (
        f'<svg class="change" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" aria-hidden="true"><path class="grid" d="M2 {_ROW:g}H{_WIDTH - 2:g}"/>'
        f'<path class="none" d="M{_MIDDLE:g} 1V{_HEIGHT - 1:g}"/>{limit}<path class="span" d="M{left:g} {_ROW:g}H{max(right, left + 1):g}"/>{dot}{arrows}</svg>'
    )


_RIGHT = f"M{_WIDTH - 7:g} {_ROW - 4:g}l5 4l-5 4"
_LEFT = f"M7 {_ROW - 4:g}l-5 4l5 4"


def _x(ratio: float) -> float:
    share = min(max((ratio - 1) / REACH, -1.0), 1.0)
    return round(_MIDDLE + share * (_MIDDLE - 4), 1)
