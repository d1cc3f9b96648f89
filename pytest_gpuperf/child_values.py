"""Values of a child session: every comparison with one is true and every use of one goes on, so that each measurement of a case is reached.

Nobody reads the outcomes of a child. A test that branches (`if m.time > limit: pytest.fail()`) may still end early there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pytest_gpuperf.metrics import METRICS, SPEEDUP
from pytest_gpuperf.values import Value

if TYPE_CHECKING:
    from pytest_gpuperf.metrics import Metric

#: What a quantity "is": below every sensible limit where less is better, above where more is.
_NUMBERS = {"less": 1e-12, "more": 1e18}


def _true(_self: object, _other: object) -> bool:
    return True


def _same(self: Any, *_: object) -> Any:
    return self


class Agreeable(float):
    """A number that every comparison holds for, and that arithmetic leaves as it is; `float()` and `int()` of it are plain.

    >>> number = Agreeable(1.0)
    >>> number < 0, number > 0, number * 2 >= 1e9, 3 - number == 7, float(number), int(number), round(number, 2)
    (True, True, True, True, 1.0, 1, 1.0)
    """

    __slots__ = ()
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _true
    __hash__ = float.__hash__
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __abs__ = __pos__ = _same

    def __bool__(self) -> bool:
        """Be true."""
        return True


class ChildValue(Value):
    """A Value of a child session.

    >>> value = child_value("time", "s")
    >>> value < 1e-6, value > 1.0, value == 3, value / 2 >= 0.9 * value, min(value, 7.0) is not None, float(value), int(value)
    (True, True, True, True, True, 1e-12, 0)
    >>> f"{value:.2f}", round(value), value.p99.point < 0, value.reason is None
    ('0.00', 0, True, True)
    """

    def _combine(self, other: object, operation: object, *, swap: bool = False) -> Value:  # noqa: ARG002 - Value's own signature
        return self

    def _compare(self, other: object, symbol: str) -> bool:  # noqa: ARG002
        return True

    def __eq__(self, other: object) -> bool:
        """Agree."""
        return True

    def __ne__(self, other: object) -> bool:
        """Agree."""
        return True

    __hash__ = Value.__hash__

    def __bool__(self) -> bool:
        """Agree."""
        return True

    def __str__(self) -> str:
        """Say where it is from; its number means nothing."""
        return "of a child session, which measures no time"

    def __neg__(self) -> Self:
        """Return itself."""
        return self

    def __abs__(self) -> Self:
        """Return itself."""
        return self

    def __float__(self) -> float:
        """Return a plain number: 1e-12 where less is better, 1e18 where more is."""
        return float(self.point)

    def __int__(self) -> int:
        """Return a whole number."""
        return int(float(self))

    def __round__(self, digits: int | None = None) -> Any:
        """Return a plain number."""
        return round(float(self), digits) if digits is not None else round(float(self))


def child_value(name: str, unit: str, better: str = "less", statistics: tuple[str, ...] = ("p50", "p95", "p99")) -> ChildValue:
    """Return what a quantity is in a child session, with its statistics."""
    number = Agreeable(_NUMBERS[better])
    parts = {one: ChildValue(number, unit, "child", name=f"{name} {one}", exact=True, samples=1) for one in statistics}
    return ChildValue(number, unit, "child", name=name, exact=True, statistics=parts, samples=1)


def _of(row: Metric) -> ChildValue:
    return child_value(row.name, row.unit, row.better, row.statistics)


def child_values() -> dict[str, Value]:
    """Return a Value of every quantity."""
    return {row.name: _of(row) for row in METRICS}


def child_speedup(name: str) -> Value:
    """Return what a speedup is in a child session."""
    return child_value(name, SPEEDUP.unit, SPEEDUP.better, ("p50",))
