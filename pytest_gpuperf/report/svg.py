"""Inline SVG of a measurement's samples. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from html import escape

from pytest_gpuperf.format import digits, form_of, format_interval, format_quantity
from pytest_gpuperf.report.samples import Bins, bins_of, centres

_WIDTH, _LEFT, _RIGHT = 460.0, 12.0, 448.0
_TOP, _BASE = 30.0, 128.0
_STRIP, _STRIP_ROW = 154.0, 5.0
_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_BINS = 84, 20, 21
_LABEL_CHAR = 6.4
# A limit further away than this many widths of the samples would squeeze them into a line.
_REACH = 4.0


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A limit as a time in seconds and its text; `upper` where times above it violate it."""

    at: float
    label: str
    upper: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """What a distribution shows: rounds of seconds, the clock's step, p50 with its interval, limits, a reference's samples."""

    rounds: Sequence[Sequence[float]]
    step: float
    centre: float
    low: float
    high: float
    marks: tuple[Mark, ...] = ()
    ghost: Sequence[float] = ()
    verdict: str = "PASS"


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of seconds to the drawing's x."""

    low: float
    high: float

    def x(self, seconds: float) -> float:
        """Return the place of a time, kept inside the drawing."""
        share = (seconds - self.low) / (self.high - self.low)
        return round(_LEFT + min(max(share, 0.0), 1.0) * (_RIGHT - _LEFT), 1)


def distribution(picture: Picture) -> str:
    """Draw a histogram of the samples with p50, its 95 % interval, limits, and a row for each round (drift shows there).

    >>> svg = distribution(Picture([[1.0e-6, 1.032e-6]] * 5, 3.2e-8, 1.01e-6, 1.0e-6, 1.02e-6, (Mark(1.1e-6, "<= 1.1 us"),)))
    >>> svg.startswith("<svg"), "&lt;= 1.1 us" in svg, svg.count('class="round"')
    (True, True, 5)
    """
    values = [value for row in picture.rounds for value in row]
    bins = bins_of(values, picture.step)
    scale = _scale(picture, bins)
    strip_end = _STRIP + _STRIP_ROW * len(picture.rounds)
    height = strip_end + 4 if len(picture.rounds) > 1 else _STRIP - 4
    ghost = bins_of(picture.ghost, picture.step) if picture.ghost else None
    parts = [
        f'<svg class="dist v-{picture.verdict}" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{escape(_described(picture, values), quote=True)}">',
        _band(scale, picture.low, picture.high),
        f'<path class="ghost" d="{_outline(ghost, scale)}"/>' if ghost else "",
        f'<path class="bars" d="{_bars(bins, scale)}"/>',
        _axis(scale),
        _line(scale.x(picture.centre), "p50", _TOP - 6),
        _text(scale.x(picture.centre), _TOP - 10, f"p50 {format_quantity(picture.centre, 's')}", "p50-label"),
        # The names come after all lines: their halo keeps the line of the other limit off them.
        *(_line(scale.x(mark.at), "limit", _TOP) for mark in picture.marks[:2] if scale.low <= mark.at <= scale.high),
        *(_limit_name(scale, mark, row) for row, mark in enumerate(picture.marks[:2])),
        _far_ghost(picture.ghost, scale, min(len(picture.marks), 2)) if ghost else "",
        _text(_RIGHT, _TOP + 12 + 14 * min(len(picture.marks), 2), f"+{bins.beyond} beyond \u2192", "beyond", "end") if bins.beyond else "",
        _strip(picture.rounds, scale) if len(picture.rounds) > 1 else "",
        "</svg>",
    ]
    return "".join(parts)


def sparkline(rounds: Sequence[Sequence[float]], mark: Mark | None = None) -> str:
    """Draw a thumbnail of the distribution, about 300 bytes, with the limit where it lies near.

    >>> sparkline([[1.0e-6, 2.0e-6]], Mark(2.5e-6, "")).count("<path")
    2
    """
    values = sorted(value for row in rounds for value in row)
    shown = values[: max(1, math.ceil(0.99 * len(values)))]
    low, high = shown[0], shown[-1]
    span = (high - low) or abs(low) * 0.01 or 1.0
    near = mark is not None and low - 2 * span <= mark.at <= high + 2 * span
    if mark is not None and near:
        low, high = min(low, mark.at), max(high, mark.at)
    low, span = low - 0.04 * span, (high - low) * 1.08 or span
    counts = [0] * _SPARK_BINS
    for value in shown:
        counts[min(int((value - low) / span * _SPARK_BINS), _SPARK_BINS - 1)] += 1
    step, tallest = _SPARK_WIDTH // _SPARK_BINS, max(counts)
    bars = "".join(
        f"M{place * step} {_SPARK_HEIGHT}v-{max(1, round(count / tallest * (_SPARK_HEIGHT - 2)))}h{step}V{_SPARK_HEIGHT}" for place, count in enumerate(counts) if count
    )
    limit = f'<path class="limit" d="M{(mark.at - low) / span * _SPARK_WIDTH:.1f} 0V{_SPARK_HEIGHT}"/>' if mark is not None and near else ""
    return f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" aria-hidden="true"><path class="bars" d="{bars}"/>{limit}</svg>'


def _scale(picture: Picture, bins: Bins) -> Scale:
    """Choose the range: all bins, the interval, and what else lies within reach of them; the rest gets an arrow."""
    low, high = min(bins.low, picture.low), max(bins.high, picture.high)
    reach = max(high - low, 0.04 * abs(high))
    others = [mark.at for mark in picture.marks] + ([min(picture.ghost), max(picture.ghost)] if picture.ghost else [])
    near = [at for at in others if low - _REACH * reach <= at <= high + _REACH * reach]
    low, high = min([low, *near]), max([high, *near])
    pad = 0.06 * (high - low) or 0.01 * abs(high)
    # No time is below zero, unless the constant says so of samples that the clock cannot tell from nothing.
    return Scale(max(min(0.0, bins.low), low - pad), high + pad)


def _bars(bins: Bins, scale: Scale) -> str:
    tallest = max(bins.counts)
    gap = 0.6 if scale.x(bins.low + bins.width) - scale.x(bins.low) > 3 else 0.0
    drawn = []
    for place, count in enumerate(bins.counts):
        if count:
            left, right = scale.x(bins.low + place * bins.width), scale.x(bins.low + (place + 1) * bins.width)
            drawn.append(f"M{left:g} {_BASE:g}V{_height(count, tallest):g}H{max(right - gap, left + 0.8):g}V{_BASE:g}z")
    return "".join(drawn)


def _outline(bins: Bins, scale: Scale) -> str:
    tallest = max(bins.counts)
    steps = (f"V{_height(count, tallest):g}H{scale.x(bins.low + (place + 1) * bins.width):g}" for place, count in enumerate(bins.counts))
    return f"M{scale.x(bins.low):g} {_BASE:g}{''.join(steps)}V{_BASE:g}"


def _height(count: int, tallest: int) -> float:
    return round(_BASE - count / tallest * (_BASE - _TOP - 2), 1)


def _band(scale: Scale, low: float, high: float) -> str:
    left, right = scale.x(low), scale.x(high)
    return f'<rect class="interval" x="{left:g}" y="{_TOP:g}" width="{max(right - left, 1):.1f}" height="{_BASE - _TOP:g}"/>'


def _limit_name(scale: Scale, mark: Mark, row: int) -> str:
    x = scale.x(mark.at)
    outside = "\u25b8" if mark.at > scale.high else "\u25c2" if mark.at < scale.low else ""
    label = f"{mark.label} {outside}".rstrip()
    room = len(label) * _LABEL_CHAR + 6
    anchor, at = ("end", x - 5) if x + room > _RIGHT else ("start", x + 5)
    return _text(round(at, 1), _TOP + 12 + 14 * row, label, "limit-label", anchor)


def _far_ghost(ghost: Sequence[float], scale: Scale, row: int) -> str:
    """Say where a reference is whose samples lie outside the drawing; nothing where they can be seen."""
    below, above = max(ghost) < scale.low, min(ghost) > scale.high
    if not below and not above:
        return ""
    text = f"reference {format_quantity(statistics.median(ghost), 's')} "
    x, anchor, arrow = (_LEFT + 5, "start", "\u25c2") if below else (_RIGHT - 5, "end", "\u25b8")
    return _text(x, _TOP + 12 + 14 * row, text + arrow, "ghost-label", anchor)


def _axis(scale: Scale) -> str:
    size, unit = form_of(scale.high, "s")
    low, high = scale.low / size, scale.high / size
    step = _nice((high - low) / 5)
    first = math.ceil(low / step)
    ticks = [first + place for place in range(int((high - first * step) / step + 1e-9) + 1)]
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    drawn = [f'<path class="axis" d="M{_LEFT:g} {_BASE:g}H{_RIGHT:g}"/>']
    for place, tick in enumerate(ticks):
        x = scale.x(tick * step * size)
        label = f"{tick * step:.{places}f}" + (f" {unit}" if place == len(ticks) - 1 else "")
        drawn += [f'<path class="axis" d="M{x:g} {_BASE:g}v4"/>', _text(min(x, _RIGHT - len(label) * 3), _BASE + 16, label, "tick")]
    return "".join(drawn)


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _strip(rounds: Sequence[Sequence[float]], scale: Scale) -> str:
    """Draw a row a round, first on top: its range as a thin line, its centre as a dot."""
    drawn = []
    for number, (row, centre) in enumerate(zip(rounds, centres(rounds), strict=True)):
        y = _STRIP + _STRIP_ROW * number
        left, right = scale.x(min(row)), scale.x(max(row))
        drawn.append(f'<path class="round" d="M{left:g} {y:g}H{max(right, left + 1):g}"/><circle class="dot" cx="{scale.x(centre):g}" cy="{y:g}" r="2"/>')
    return "".join(drawn)


def _line(x: float, name: str, top: float) -> str:
    return f'<path class="{name}" d="M{x:g} {top:g}V{_BASE:g}"/>'


def _text(x: float, y: float, text: str, name: str, anchor: str = "middle") -> str:
    half = len(text) * _LABEL_CHAR / 2
    inside = min(max(x, _LEFT + half), _RIGHT - half) if anchor == "middle" else x
    return f'<text class="{name}" x="{inside:.1f}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _described(picture: Picture, values: Sequence[float]) -> str:
    limits = "".join(f", limit {mark.label} at {digits(mark.at / form_of(mark.at, 's')[0])} {form_of(mark.at, 's')[1]}" for mark in picture.marks)
    return (
        f"{len(values)} samples in {len(picture.rounds)} rounds, p50 {format_quantity(picture.centre, 's')}, "
        f"95 % interval {format_interval(picture.low, picture.high, 's')}{limits}"
    )
