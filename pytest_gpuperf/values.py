"""Value: a measured number with its unit, source, interval and reason, and the algebra that carries them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, Union

from pytest_gpuperf.errors import Inconclusive, Unmeasured
from pytest_gpuperf.format import format_quantity
from pytest_gpuperf.reasons import VERDICTS, Reason, reason_record
from pytest_gpuperf.stats import ADD, DIVIDE, MULTIPLY, SUBTRACT, Spread, decided, propagate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_gpuperf.stats import Operation

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
    return next(iter(unmeasured or ranked), None)


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
    #: What `low` and `high` are, as a failed budget words it.
    interval: str = "95 % interval"

    #: NumPy's scalars leave an expression with a Value to the Value.
    __array_ufunc__: ClassVar[None] = None

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

    def __deepcopy__(self, _memo: Any) -> Value:
        """Return itself: nothing of it changes, and a copy must tell the same case what it could not decide."""
        return self

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

    def _undecided(self, reason: Reason, subject: str, that: Value | None = None) -> Inconclusive | Unmeasured:
        error = (Inconclusive if reason.verdict == "INCONCLUSIVE" else Unmeasured)(reason, subject)
        told: list[Listener] = []
        for listener in (self.listener, None if that is None else that.listener):
            if listener is not None and not any(listener is one for one in told):
                listener.undecided(error)
                told.append(listener)
        return error

    def __float__(self) -> float:
        """Return the bare number; raises Unmeasured where there is none."""
        return float(self.point)

    def __bool__(self) -> bool:
        """Say whether the number is not zero; raises where there is none to say it of, and where its interval holds zero."""
        number = self.point
        if self.reason is not None:
            raise self._undecided(self.reason, self.name)
        low, high = self.bounds
        if low <= 0 <= high and low != high:
            shown = f"{format_quantity(low, self.unit)} .. {format_quantity(high, self.unit)} straddles 0"
            raise self._undecided(Reason("straddles", shown), f"bool({self.name or 'value'})")
        return bool(number)

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
        if type(other).__name__ in {"bool", "bool_"} or not hasattr(other, "__float__"):
            return None
        number = float(other)
        return Value(number, self.unit, self.source, exact=True, name=format_quantity(number, self.unit))

    def _combine(self, other: object, operation: Operation, *, swap: bool = False) -> Value:
        that = self._coerce(other)
        if that is None:
            return _NO_VALUE
        scales = operation.symbol in "*/"
        if that is not other and scales:
            that = dataclasses.replace(that, unit="1", name=f"{that.number:g}")
        left, right = (that, self) if swap else (self, that)
        unit = operation.unit(left.unit, right.unit)
        name = f"{_operand(left, scales)} {operation.symbol} {_operand(right, operation.symbol != '+')}"
        source = "/".join(dict.fromkeys([*left.source.split("/"), *right.source.split("/")]))
        reason = _worst([value.reason for value in (left, right) if value.reason is not None])
        listener = left.listener if left.listener is not None else right.listener
        one, two = left._spread(), right._spread()
        if one is None or two is None:
            return Value.missing(name, unit, source, reason or Reason("no-measurement"), listener)
        result = propagate(operation, one, two)
        if result is None:
            return Value.missing(name, unit, source, reason or Reason("zero-ratio"), listener)
        exact = left.exact and right.exact and operation is not DIVIDE
        return Value(result.number, unit, source, result.low, result.high, result.systematic, reason, name, exact, listener)

    def _spread(self) -> Spread | None:
        if self.number is None or self.low is None or self.high is None:
            return None
        return Spread(self.number, self.low, self.high, self.systematic)

    def __add__(self, other: Number) -> Value:
        return self._combine(other, ADD)

    def __radd__(self, other: Number) -> Value:
        return self._combine(other, ADD, swap=True)

    def __sub__(self, other: Number) -> Value:
        return self._combine(other, SUBTRACT)

    def __rsub__(self, other: Number) -> Value:
        return self._combine(other, SUBTRACT, swap=True)

    def __mul__(self, other: Number) -> Value:
        return self._combine(other, MULTIPLY)

    def __rmul__(self, other: Number) -> Value:
        return self._combine(other, MULTIPLY, swap=True)

    def __truediv__(self, other: Number) -> Value:
        return self._combine(other, DIVIDE)

    def __rtruediv__(self, other: Number) -> Value:
        return self._combine(other, DIVIDE, swap=True)

    def __neg__(self) -> Value:
        """Negate."""
        if self.number is None or self.low is None or self.high is None:
            return dataclasses.replace(self, statistics={})
        shared = {key: -part for key, part in self.systematic.items()}
        return dataclasses.replace(
            self, number=-self.number, low=-self.high, high=-self.low, systematic=shared, statistics={}, name=f"-{_operand(self, wrap=True)}"
        )

    def __abs__(self) -> Value:
        """Return the distance from zero; where the interval holds zero, it begins there."""
        if self.number is None:
            return dataclasses.replace(self, statistics={})
        low, high = self.bounds
        if low > 0 or high < 0:
            return dataclasses.replace(self if low > 0 else -self, statistics={}, name=f"abs({self.name})")
        return dataclasses.replace(
            self, number=abs(self.number), low=0.0, high=max(-low, high), systematic={}, statistics={}, name=f"abs({self.name})"
        )

    def _prepared(self, other: object, symbol: str) -> tuple[Value, str] | None:
        """Return the other side and the name of the comparison, None for what is no number; raises where nothing can be compared."""
        that = self._coerce(other)
        if that is None:
            return None
        subject = f"{self.name or 'value'} {symbol} {that.name or 'value'}"
        hole = _worst([value.reason for value in (self, that) if value.reason is not None])
        if hole is not None:
            raise self._undecided(hole, subject, that)
        if self.unit != that.unit:
            message = f"{subject}: cannot compare {self.unit} with {that.unit}"
            raise TypeError(message)
        return that, subject

    def _compare(self, other: object, symbol: str) -> bool:
        prepared = self._prepared(other, symbol)
        if prepared is None:
            return _NO_ANSWER
        that, subject = prepared
        if that is other and self.number == 0 == that.number and symbol != "==" and "ncu" in self.source and "ncu" in that.source:
            # Neither of two counters saw anything: that one is no more than a share of the other is not shown by it.
            raise self._undecided(Reason("zero-ratio", "both counters are zero"), subject, that)
        difference = self - that
        answer = decide(difference, symbol)
        if answer is None:
            # What two Values share cancels, so it is their difference that was judged.
            low, high = difference.bounds if that is other else self.bounds
            beside = "the difference" if that is other else "the interval"
            limit = "0" if that is other else that.name
            shown = f"{beside} {format_quantity(low, self.unit)} .. {format_quantity(high, self.unit)} straddles {limit}"
            raise self._undecided(Reason("straddles", shown), subject, that)
        return answer

    def __lt__(self, other: Number) -> bool:
        return self._compare(other, "<")

    def __le__(self, other: Number) -> bool:
        return self._compare(other, "<=")

    def __gt__(self, other: Number) -> bool:
        return self._compare(other, ">")

    def __ge__(self, other: Number) -> bool:
        return self._compare(other, ">=")

    def __eq__(self, other: object) -> bool:
        """Compare exact quantities only; anything else with an interval, or with what is no number, is a TypeError."""
        prepared = self._prepared(other, "==")
        if prepared is None:
            self._refuse(f"cannot be compared with {type(other).__name__}; compare with a number or a Value")
        that, _ = prepared
        if not (self.exact and that.exact):
            self._refuse("has an interval, so == is never meaningful; use <, <=, > or >= (or .point)")
        return self.number == that.number

    def __ne__(self, other: object) -> bool:
        """Compare exact quantities only."""
        return not self.__eq__(other)

    def _refuse(self, why: str) -> NoReturn:
        message = f"{self.name or 'value'} {why}"
        raise TypeError(message)

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


def decide(difference: Value, symbol: str) -> bool | None:
    """Judge `difference OP 0` by the whole interval: True wholly inside, False wholly outside, None where it straddles.

    >>> decide(Value(-1.0, "s", "device", -2.0, -0.5), "<=")
    True
    >>> decide(Value(-1.0, "s", "device", -2.0, 0.5), "<") is None
    True
    """
    return decided(*difference.bounds, symbol)


def _operand(value: Value, wrap: bool) -> str:
    """Name one side of an expression, in brackets where it is an expression itself and that matters."""
    name = value.name or "value"
    return f"({name})" if wrap and any(f" {symbol} " in name for symbol in "+-*/") else name


#: For an operand that is no number: Python then asks the other side, and raises TypeError.
_NO_VALUE: Value = NotImplemented
_NO_ANSWER: bool = NotImplemented
