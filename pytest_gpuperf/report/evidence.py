"""The machine's state during a measurement, in words."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_gpuperf.format import digits, plural


@dataclasses.dataclass(frozen=True, slots=True)
class ClockReason:
    """One row of CLOCK_REASONS: a bit of NVML's clock-event mask and what it means."""

    bit: int
    words: str


#: NVML's documented nvmlClocksEventReasons bits.
CLOCK_REASONS: tuple[ClockReason, ...] = (
    ClockReason(0x001, "idle"),
    ClockReason(0x002, "application clocks"),
    ClockReason(0x004, "power cap"),
    ClockReason(0x008, "hardware slowdown"),
    ClockReason(0x010, "sync boost"),
    ClockReason(0x020, "thermal slowdown (software)"),
    ClockReason(0x040, "thermal slowdown (hardware)"),
    ClockReason(0x080, "power brake"),
    ClockReason(0x100, "display clocks"),
)


def clock_reasons(mask: int) -> str:
    """Write a clock-event mask in words.

    >>> clock_reasons(0), clock_reasons(0x44), clock_reasons(0x4000)
    ('none', 'power cap, thermal slowdown (hardware)', 'unknown bits 0x4000')
    """
    words = [row.words for row in CLOCK_REASONS if mask & row.bit]
    unknown = mask & ~sum(row.bit for row in CLOCK_REASONS)
    return ", ".join([*words, f"unknown bits {unknown:#x}"] if unknown else words) or "none"


def evidence_lines(evidence: list[dict[str, Any]]) -> list[str]:
    """Write what the rounds that count say about the machine: clocks, temperature, power, limits on clocks, other processes; then what was discarded, and why.

    >>> evidence_lines([{"sm_clock": 1755, "temperature": 35, "throttle": 0}, {"sm_clock": 1980, "temperature": 36, "throttle": 4}])
    ['SM 1,755..1,980 MHz, 35..36 C', 'clock limits changed: none; power cap']
    """
    left_out = [row["discarded"] for row in evidence if row.get("discarded")]
    evidence = [row for row in evidence if not row.get("discarded")]
    spans = [("SM by stamps", "effective_clock", "MHz"), ("SM by NVML" if any(row.get("effective_clock") is not None for row in evidence) else "SM", "sm_clock", "MHz"), ("memory", "memory_clock", "MHz"), ("", "temperature", "C"), ("", "power", "W")]
    told = [_span(name, [row[key] for row in evidence if row.get(key) is not None], unit) for name, key, unit in spans]
    lines = [", ".join(part for part in told if part)]
    masks = list(dict.fromkeys(row["throttle"] for row in evidence if row.get("throttle") is not None))
    if len(masks) > 1:
        lines.append("clock limits changed: " + "; ".join(clock_reasons(mask) for mask in masks))
    elif masks and masks[0]:
        lines.append(f"clock limits throughout: {clock_reasons(masks[0])}")
    others = {str(process) for row in evidence for process in row.get("processes") or []}
    if others:
        lines.append("other processes on the device: " + ", ".join(sorted(others)))
    if left_out:
        lines.append(f"{plural(len(left_out), 'round')} discarded: {', '.join(sorted(set(left_out)))}")
    return [line for line in lines if line]


def _span(name: str, numbers: list[float], unit: str) -> str:
    if not numbers:
        return ""
    low, high = (f"{end:,}" if isinstance(end, int) else digits(end) for end in (min(numbers), max(numbers)))
    return f"{name} {low if low == high else f'{low}..{high}'} {unit}".strip()
