"""Value: a measured number with its unit, source, interval and reason, and the algebra that carries them."""

from __future__ import annotations

import dataclasses
import operator
from typing import TYPE_CHECKING, Any, Protocol, Union

from pytest_gpuperf.errors import Inconclusive, Unmeasured
from pytest_gpuperf.format import format_quantity
from pytest_gpuperf.reasons import VERDICTS, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

Number = Union["Value", int, float]


class Listener(Protocol):
    """Whoever wants to know that a comparison could not be decided: the running case."""

    def undecided(self, error: Inconclusive | Unmeasured) -> None:
        """Remember the error, also where the body swallows it."""


def _worst(reasons: list[Reason]) -> Reason | None:
    ranked = sorted(reasons, key=lambda reason: VERDICTS.index(reason.verdict))
    unmeasured = [reason for reason in ranked if reason.verdict == "UNMEASURED"]
    return (unmeasured or ranked or [None])[0]


def _interval(lows: list[float]) -> tuple[float, float]:
    return min(lows), max(lows)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Value:
    """A number in SI units with everything that is needed to judge it.

    `low` and `high` bound the random part; `systematic` maps each calibration to the signed shift that one half-width of it
    causes, so that what two Values share cancels in their difference and their ratio. A Value with a `reason` of UNMEASURED has no
    number; one with a `reason` of INCONCLUSIVE has a number that may be looked at (`.point`) but not judged.

    >>> a = Value(12e-6, "s", "device", 11.9e-6, 12.1e-6, {"device": 1e-7}, name="time")
    >>> a < 15e-6
    True
    >>> a
    Value(time: 12.00 us [11.80 us .. 12.20 us], device)
    >>> b = Value(6e-6, "s", "device", 5.9e-6, 6.1e-6, {"device": 1e-7}, name="base")
    >>> f"{(a - b).systematic['device']:.1f}"
    '0.0'
    >>> a < 12e-6
    Traceback (most recent call last):
    pytest_gpuperf.errors.Inconclusive: time < 12.00 us: INCONCLUSIVE straddles: ...
    """

    number: float | None
    unit: str
    source: str
    low: float | None = None
    high: float | None = None
    systematic: Mapping[str, float] = dataclasses.field(default_factory=dict)
    reason: Reason | None = None
    name: str = ""
    exact: bool = False
    listener: Listener | None = None
    statistics: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    samples: int = 0

    def __post_init__(self) -> None:
        """Fill an interval of no width where none is given, and refuse a hole without a reason."""
        if self.number is None:
            if self.reason is None:
                message = f"a Value without a number needs a reason: {self.name}"
                raise ValueError(message)
            return
        for side in ("low", "high"):
            if getattr(self, side) is None:
                object.__setattr__(self, side, self.number)

    @classmethod
    def missing(cls, name: str, unit: str, source: str, reason: Reason, listener: Listener | None = None) -> Value:
        """Make a Value that could not be measured."""
        return cls(None, unit, source, reason=reason, name=name, listener=listener)

    @property
    def shift(self) -> float:
        """Half-width of the systematic part, in the Value's unit."""
        return sum(abs(part) for part in self.systematic.values())

    @property
    def bounds(self) -> tuple[float, float]:
        """The whole interval: random part and systematic part; raises Unmeasured where there is no number."""
        if self.number is None or self.low is None or self.high is None:
            raise self._undecided(self.reason or Reason("no-measurement"), self.name)
        return self.low - self.shift, self.high + self.shift

    @property
    def point(self) -> float:
        """The bare number; raises Unmeasured where there is none."""
        if self.number is None:
            raise self._undecided(self.reason or Reason("no-measurement"), self.name)
        return self.number

    def __getattr__(self, name: str) -> Value:
        """Give a percentile of the same quantity: `m.time.p99`."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.statistics[name]
        except KeyError:
            known = ", ".join(self.statistics) or "none"
            message = f"{self.name or 'this value'} has no statistic {name!r}; it has: {known}"
            raise AttributeError(message) from None

    def _undecided(self, reason: Reason, subject: str) -> Inconclusive | Unmeasured:
        error = (Inconclusive if reason.verdict == "INCONCLUSIVE" else Unmeasured)(reason, subject)
        if self.listener is not None:
            self.listener.undecided(error)
        return error

    def __float__(self) -> float:
        """Return the bare number; raises Unmeasured where there is none."""
        return float(self.point)

    def __bool__(self) -> bool:
        """Say whether the number is not zero; raises where there is no number to say it of."""
        return bool(self.point)

    def __repr__(self) -> str:
        """Never raise: number with its interval and source, or the reason."""
        return f"Value({self.name}: {self})" if self.name else f"Value({self})"

    def __str__(self) -> str:
        """Never raise: number with its interval and source, or the reason."""
        if self.number is None:
            return str(self.reason)
        text = format_quantity(self.number, self.unit)
        low, high = self.bounds
        if low != high:
            text += f" [{format_quantity(low, self.unit)} .. {format_quantity(high, self.unit)}]"
        text += f", {self.source}"
        return f"{text} ({self.reason})" if self.reason else text

    def __format__(self, spec: str) -> str:
        """Format the number by the spec; the reason, or the whole text, where there is none."""
        return format(self.number, spec) if spec and self.number is not None else str(self)

    __hash__ = object.__hash__

    def _coerce(self, other: object) -> Value | None:
        if isinstance(other, Value):
            return other
        if isinstance(other, bool) or not hasattr(other, "__float__"):
            return None
        return Value(float(other), self.unit, self.source, exact=True, name=format_quantity(float(other), self.unit))

    def _combine(
        self,
        other: object,
        apply: Callable[[float, float], float],
        slopes: Callable[[float, float], tuple[float, float]],
        unit: Callable[[str, str], str],
        symbol: str,
        *,
        swap: bool = False,
    ) -> Value:
        that = self._coerce(other)
        if that is None:
            return NotImplemented
        left, right = (that, self) if swap else (self, that)
        bare = not isinstance(other, Value)
        new_unit = (left.unit if not swap else right.unit) if bare and symbol in "+-" else unit("1" if bare and swap else left.unit, "1" if bare and not swap else right.unit)
        name = " ".join((_plain(left, symbol) if bare and swap else left.name, symbol, _plain(right, symbol) if bare and not swap else right.name))
        source = left.source if left.source == right.source else f"{left.source}/{right.source}"
        reason = _worst([value.reason for value in (left, right) if value.reason is not None])
        listener = left.listener or right.listener
        if left.number is None or right.number is None:
            return Value.missing(name, new_unit, source, reason or Reason("no-measurement"), listener)
        corners = [(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
        if symbol == "/" and right.low is not None and right.high is not None and right.low <= 0 <= right.high:
            return Value.missing(name, new_unit, source, reason or Reason("zero-ratio"), listener)
        low, high = _interval([apply(a, b) for a, b in corners])  # type: ignore[arg-type]
        by_left, by_right = slopes(left.number, right.number)
        shared = {
            key: by_left * left.systematic.get(key, 0.0) + by_right * right.systematic.get(key, 0.0)
            for key in {*left.systematic, *right.systematic}
        }
        return Value(apply(left.number, right.number), new_unit, source, low, high, shared, reason, name, listener=listener)

    def __add__(self, other: Number) -> Value:
        """Add; what the two share of the calibration adds up."""
        return self._combine(other, operator.add, lambda _a, _b: (1.0, 1.0), _same, "+")

    def __radd__(self, other: Number) -> Value:
        """Add to a plain number."""
        return self._combine(other, operator.add, lambda _a, _b: (1.0, 1.0), _same, "+", swap=True)

    def __sub__(self, other: Number) -> Value:
        """Subtract; what the two share of the calibration cancels."""
        return self._combine(other, operator.sub, lambda _a, _b: (1.0, -1.0), _same, "-")

    def __rsub__(self, other: Number) -> Value:
        """Subtract from a plain number."""
        return self._combine(other, operator.sub, lambda _a, _b: (1.0, -1.0), _same, "-", swap=True)

    def __mul__(self, other: Number) -> Value:
        """Multiply."""
        return self._combine(other, operator.mul, lambda a, b: (b, a), _product, "*")

    def __rmul__(self, other: Number) -> Value:
        """Multiply by a plain number."""
        return self._combine(other, operator.mul, lambda a, b: (b, a), _product, "*", swap=True)

    def __truediv__(self, other: Number) -> Value:
        """Divide; what the two share of the calibration cancels as far as they are alike."""
        return self._combine(other, operator.truediv, lambda a, b: (1 / b, -a / (b * b)), _ratio, "/")

    def __rtruediv__(self, other: Number) -> Value:
        """Divide a plain number."""
        return self._combine(other, operator.truediv, lambda a, b: (1 / b, -a / (b * b)), _ratio, "/", swap=True)

    def __neg__(self) -> Value:
        """Negate."""
        return 0.0 - self

    def _compare(self, other: object, symbol: str) -> bool:
        that = self._coerce(other)
        if that is None:
            return NotImplemented
        subject = f"{self.name or 'value'} {symbol} {that.name or that}"
        holes = [value.reason for value in (self, that) if value.reason is not None]
        if holes:
            listener = self if self.listener or not isinstance(other, Value) else that
            raise listener._undecided(_worst(holes) or holes[0], subject)
        if isinstance(other, Value) and {self.unit, that.unit} != {self.unit}:
            message = f"{subject}: cannot compare {self.unit} with {that.unit}"
            raise TypeError(message)
        decided = decide(self - that, symbol)
        if decided is None:
            low, high = self.bounds
            shown = f"{format_quantity(low, self.unit)} .. {format_quantity(high, self.unit)} straddles {that.name or that}"
            raise (self if self.listener else that)._undecided(Reason("straddles", shown), subject)
        return decided

    def __lt__(self, other: Number) -> bool:
        """Judge the whole interval; raises Inconclusive where it straddles."""
        return self._compare(other, "<")

    def __le__(self, other: Number) -> bool:
        """Judge the whole interval; raises Inconclusive where it straddles."""
        return self._compare(other, "<=")

    def __gt__(self, other: Number) -> bool:
        """Judge the whole interval; raises Inconclusive where it straddles."""
        return self._compare(other, ">")

    def __ge__(self, other: Number) -> bool:
        """Judge the whole interval; raises Inconclusive where it straddles."""
        return self._compare(other, ">=")

    def __eq__(self, other: object) -> bool:
        """Compare exact quantities only; anything else with an interval is a TypeError."""
        that = self._coerce(other)
        if that is None:
            return NotImplemented
        holes = [value.reason for value in (self, that) if value.reason is not None]
        if holes:
            raise self._undecided(_worst(holes) or holes[0], f"{self.name or 'value'} == {that.name or that}")
        if not (self.exact and that.exact):
            message = f"{self.name or 'value'} has an interval, so == is never meaningful; use <, <=, > or >= (or .point)"
            raise TypeError(message)
        return self.number == that.number

    def __ne__(self, other: object) -> bool:
        """Compare exact quantities only."""
        same = self.__eq__(other)
        return NotImplemented if same is NotImplemented else not same

    def record(self) -> dict[str, Any]:
        """Return plain values for the run file; null with a reason where there is no number."""
        reason = self.reason
        return {
            "unit": self.unit,
            "source": self.source,
            "number": self.number,
            "low": self.low,
            "high": self.high,
            "systematic": self.shift if self.number is not None else None,
            "samples": self.samples,
            "reason": None if reason is None else reason_record(reason),
        }


def reason_record(reason: Reason, subject: str = "") -> dict[str, Any]:
    """Return a reason as plain values for the run file."""
    return {
        "code": reason.code,
        "verdict": reason.verdict,
        "sentence": reason.detail or reason.cause.sentence,
        "next_step": reason.cause.next_step,
        "subject": subject,
    }


def decide(difference: Value, symbol: str) -> bool | None:
    """Judge `difference OP 0` by the whole interval: True wholly inside, False wholly outside, None where it straddles.

    >>> decide(Value(-1.0, "s", "device", -2.0, -0.5), "<=")
    True
    >>> decide(Value(-1.0, "s", "device", -2.0, 0.5), "<") is None
    True
    """
    low, high = difference.bounds
    for holds, fails in _DECISIONS[symbol]:
        if holds(low, high):
            return True
        if fails(low, high):
            return False
    return None


_DECISIONS: dict[str, tuple[tuple[Callable[[float, float], bool], Callable[[float, float], bool]], ...]] = {
    "<=": ((lambda _low, high: high <= 0, lambda low, _high: low > 0),),
    "<": ((lambda _low, high: high < 0, lambda low, _high: low >= 0),),
    ">=": ((lambda low, _high: low >= 0, lambda _low, high: high < 0),),
    ">": ((lambda low, _high: low > 0, lambda _low, high: high <= 0),),
    "==": ((lambda low, high: low == high == 0, lambda low, high: low > 0 or high < 0),),
}


def _plain(value: Value, symbol: str) -> str:
    return value.name if symbol in "+-" else f"{value.number:g}"


def _same(left: str, right: str) -> str:
    if left != right:
        message = f"cannot add or subtract {left} and {right}"
        raise TypeError(message)
    return left


def _product(left: str, right: str) -> str:
    return left if right == "1" else right if left == "1" else f"{left}*{right}"


def _ratio(left: str, right: str) -> str:
    return left if right == "1" else "1" if left == right else f"{left}/{right}"
