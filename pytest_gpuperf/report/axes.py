"""Axes of a drawing: where a number stands between two ends, and which numbers are written beside it. Pure functions."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from pytest_gpuperf.format import form_of

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Above this factor between the smallest and the largest number an axis is logarithmic: a share of 0.1 to 1 is not.
_DECADE = 10.0
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_BINARY = 1024
#: A logarithmic axis has at least so many ticks: where powers of ten are fewer, threes are among them, then twos and fives.
_TICKS = 3
_BETWEEN = ((1,), (1, 3), (1, 2, 5))


@dataclasses.dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high` with its ticks as (number, label); `log`: equal factors are equally long."""

    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def share(self, number: float) -> float:
        """Return where a number stands, from 0 to 1; what lies outside stands at the end.

        >>> Axis(1.0, 100.0, True, ()).share(10.0), Axis(0.0, 4.0, False, ()).share(1.0), Axis(0.0, 4.0, False, ()).share(9.0)
        (0.5, 0.25, 1.0)
        """
        if self.log:
            # What a logarithm does not have lies below everything.
            place = math.log(number / self.low) / math.log(self.high / self.low) if number > 0 else 0.0
        else:
            place = (number - self.low) / (self.high - self.low)
        return min(max(place, 0.0), 1.0)


def axis(numbers: Sequence[float], unit: str = "", *, room: int = 4, zero: bool = False, tight: bool = False) -> Axis:
    """Return an axis that holds all numbers: logarithmic where they are positive and span more than a decade, else linear; `zero`: linear from 0.

    A linear axis begins and ends at a tick; a `tight` one at the outermost numbers.

    >>> [label for _, label in axis([1e-6, 2e-5], "s").ticks]
    ['1 us', '3 us', '10 us']
    >>> [label for _, label in axis([0.0, 92.0], "%", zero=True).ticks]
    ['0', '25', '50', '75', '100 %']
    >>> [label for _, label in axis([3.9e12, 4.1e12], "B/s").ticks]
    ['3.90', '3.95', '4.00', '4.05', '4.10 TB/s']
    >>> [label for _, label in axis([1024, 4096, 65536]).ticks]
    ['1 Ki', '4 Ki', '16 Ki', '64 Ki']
    """
    low, high = min(numbers), max(numbers)
    if not zero and low > 0 and high / low > _DECADE:
        return _powers(low, high, unit, room, binary=not unit and all(_is_binary(number) for number in numbers))
    low = 0.0 if zero else low
    if high <= low:
        pad = abs(high) * 0.1 or 1.0
        low, high = low - (0.0 if zero else pad), high + pad
    made = _even(low, high, unit, room)
    if not tight:
        return made
    inside = tuple(tick for tick in made.ticks if low <= tick[0] * (1 + 1e-9) and tick[0] * (1 - 1e-9) <= high)
    last = made.ticks[-1][1].partition(" ")[2]
    if inside and inside[-1] != made.ticks[-1] and last:
        inside = (*inside[:-1], (inside[-1][0], f"{inside[-1][1]} {last}"))
    return Axis(low, high, log=False, ticks=inside)


def _even(low: float, high: float, unit: str, room: int) -> Axis:
    scale, name = form_of(high, unit)
    step = _nice((high - low) / room / scale) * scale
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    numbers = [place * step for place in range(first, last + 1)]
    short = [f"{number / scale:,.6g}" for number in numbers]
    # As many decimals at each tick: 3.9, 4.0, 4.1.
    places = max(len(text.partition(".")[2]) for text in short)
    texts = short if any("e" in text for text in short) else [f"{number / scale:,.{places}f}" for number in numbers]
    texts[-1] = f"{texts[-1]} {name}".rstrip()
    return Axis(numbers[0], numbers[-1], log=False, ticks=tuple(zip(numbers, texts, strict=True)))


def _powers(low: float, high: float, unit: str, room: int, *, binary: bool) -> Axis:
    base = 2.0 if binary else 10.0
    first, last = math.floor(math.log(low, base) + 1e-9), math.ceil(math.log(high, base) - 1e-9)
    every = max(1, math.ceil((last - first) / room))
    if binary:
        # Labels in whole steps of Ki and Mi read better.
        every = next(step for step in (1, 2, 5, 10, 20) if step >= every or step == 20)
    numbers = [base**power for power in range(first, last + 1) if (power - first) % every == 0]
    pad = (high / low) ** 0.04
    least, most = low / pad, high * pad
    inside = [number for number in numbers if least <= number <= most]
    for steps in () if binary else _BETWEEN:
        if len(inside) >= _TICKS:
            break
        inside = [number for power in range(first, last + 1) for step in steps if least <= (number := float(f"{step}e{power}")) <= most]
    return Axis(least, most, log=True, ticks=tuple((number, _written(number, unit, binary=binary)) for number in inside))


def _written(number: float, unit: str, *, binary: bool) -> str:
    if not binary:
        scale, name = form_of(number, unit)
        return f"{number / scale:,.6g} {name}".rstrip()
    prefixes = ("", "Ki", "Mi", "Gi", "Ti")
    place = min(int(math.log(number, _BINARY) + 1e-9), len(prefixes) - 1) if number >= 1 else 0
    return f"{number / _BINARY**place:g} {prefixes[place]}".rstrip()


def _is_binary(number: float) -> bool:
    return number >= 1 and float(number).is_integer() and int(number) & (int(number) - 1) == 0


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in _STEPS if power * factor >= step * (1 - 1e-9))
