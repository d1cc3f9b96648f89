"""Inline SVG of the multiprocessors' clock, round by round. Pure functions; colours come from the page's classes, never from here."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.format import digits, visible
from pytest_gpuperf.report.evidence import clock_reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WIDTH, _LEFT, _RIGHT = 460.0, 44.0, 448.0
_TOP, _BASE, _BELOW = 14.0, 74.0, 8.0
#: Where all clocks lie within this share of the highest there is a line to see, and no more room than it needs.
_FLAT, _FLAT_BASE = 0.01, 30.0
_NVML_HALF = 5.0
#: The drawing spans at least this share of the clock: steps of one multiplier are not cliffs.
_LEAST_SPAN = 0.06
#: Labels closer than this would lie upon one another.
_APART = 11.0


def clock_trace(evidence: Sequence[dict[str, Any]], sm_clock: float | None = None) -> str:
    """Draw the clock of each round in MHz: dots by stamps, short bars by NVML, crosses where a round was discarded, a line at the device's own clock.

    Temperature, power and limits are in each round's title. Empty where no clock is known.

    >>> rounds = [{"effective_clock": 1485.4, "sm_clock": 1590, "temperature": 51, "power": 690.0, "throttle": 4}, {"effective_clock": 1995.0, "discarded": "x"}]
    >>> svg = clock_trace(rounds, 1980)
    >>> svg.count("<circle"), svg.count('class="out"'), "round 1: 1485 MHz by stamps, NVML 1590 MHz, 51 C, 690.0 W, limits: power cap" in svg
    (1, 1, True)
    >>> clock_trace([{"sm_clock": None}])
    ''
    """
    known = [float(row[key]) for row in evidence for key in ("effective_clock", "sm_clock") if row.get(key) is not None]
    if not known:
        return ""
    clocks = [*known, sm_clock] if sm_clock else known
    low, high = _span(clocks)
    base = _FLAT_BASE if max(clocks) - min(clocks) <= _FLAT * max(clocks) else _BASE

    def y(clock: float) -> float:
        return round(base - (clock - low) / (high - low) * (base - _TOP), 1)

    step = (_RIGHT - _LEFT) / len(evidence)
    places = [round(_LEFT + step * (number + 0.5), 1) for number in range(len(evidence))]
    stamped = [(x, y(row["effective_clock"])) for x, row in zip(places, evidence, strict=True) if row.get("effective_clock") is not None and not row.get("discarded")]
    half = min(_NVML_HALF, 0.4 * step)
    return "".join(
        [
            f'<svg class="dist clock" viewBox="0 0 {_WIDTH:g} {base + _BELOW:g}" role="img" aria-label="{escape(_described(evidence), quote=True)}">',
            f'<path class="axis" d="M{_LEFT:g} {base:g}H{_RIGHT:g}"/>',
            _labels(min(known), max(known), sm_clock, y),
            f'<path class="trace" d="M{"L".join(f"{x:g} {at:g}" for x, at in stamped)}"/>' if len(stamped) > 1 else "",
            *(_round(number, row, x, y, half, base) for number, (x, row) in enumerate(zip(places, evidence, strict=True), 1)),
            "</svg>",
        ]
    )


def _span(clocks: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the axis: all clocks, and at least _LEAST_SPAN of the highest."""
    low, high = min(clocks), max(clocks)
    missing = max(0.0, _LEAST_SPAN * high - (high - low))
    pad = 0.06 * (high - low + missing)
    return low - missing - pad, high + pad


def _labels(lowest: float, highest: float, sm_clock: float | None, y: Callable[[float], float]) -> str:
    """Label the device's own clock, then the lowest and the highest of the rounds where there is room."""
    shown: list[float] = []
    for clock in (sm_clock, lowest, highest):
        if clock is not None and all(abs(y(clock) - y(other)) >= _APART for other in shown):
            shown.append(clock)
    parts = [f'<text class="tick" x="{_LEFT - 6:g}" y="{y(clock) + 4:g}" text-anchor="end">{clock:.0f}</text>' for clock in shown]
    line = f'<path class="whole" d="M{_LEFT:g} {y(sm_clock):g}H{_RIGHT:g}"/>' if sm_clock is not None else ""
    return line + "".join(parts)


def _round(number: int, row: dict[str, Any], x: float, y: Callable[[float], float], half: float, base: float) -> str:
    clock, nvml = row.get("effective_clock"), row.get("sm_clock")
    known = clock if clock is not None else nvml
    drawn = f'<path class="nvml" d="M{x - half:g} {y(nvml):g}h{2 * half:g}"/>' if nvml is not None else ""
    if known is not None and row.get("discarded"):
        drawn += f'<path class="out" d="M{x - 3:g} {y(known) - 3:g}l6 6m0 -6l-6 6"/>'
    elif clock is not None:
        drawn += f'<circle class="dot" cx="{x:g}" cy="{y(clock):g}" r="2.4"/>'
    # A wide, invisible column: the title shows wherever the pointer is over the round.
    column = f'<path class="touch" d="M{x:g} {_TOP:g}V{base:g}"/>'
    return f"<g><title>{escape(_title(number, row))}</title>{drawn}{column}</g>"


def _title(number: int, row: dict[str, Any]) -> str:
    """Say all that is known of a round."""
    clock = row.get("effective_clock")
    told = [
        f"{clock:.0f} MHz by stamps" if clock is not None else "no stamps",
        f"NVML {row['sm_clock']} MHz" if row.get("sm_clock") is not None else "",
        f"{row['temperature']} C" if row.get("temperature") is not None else "",
        f"{digits(row['power'])} W" if row.get("power") is not None else "",
        f"limits: {clock_reasons(row['throttle'])}" if row.get("throttle") else "",
        *(f"{cause} {1e3 * seconds:.1f} ms" for cause, seconds in (row.get("violations") or {}).items() if seconds),
        f"discarded: {row['discarded']}" if row.get("discarded") else "",
    ]
    return visible(f"round {number}: {', '.join(filter(None, told))}")


def _described(evidence: Sequence[dict[str, Any]]) -> str:
    clocks = sorted(row["effective_clock"] for row in evidence if row.get("effective_clock") is not None)
    span = f"{clocks[0]:.0f} to {clocks[-1]:.0f} MHz by stamps" if clocks else "no stamps, NVML's clock only"
    left_out = sum(bool(row.get("discarded")) for row in evidence)
    return f"SM clock of {len(evidence)} rounds: {span}" + (f", {left_out} discarded" if left_out else "")
