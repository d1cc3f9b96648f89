"""Pure statistics of counted outcomes: a share with its exact binomial interval."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Probability of either tail outside the interval.
_TAIL = 0.025
_HALVINGS = 50


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """How many of some independent trials had an outcome, with the 95 % interval of its probability; all of 0..1 for no trial."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share itself; None for no trial."""
        return self.count / self.of if self.of else None


def share(count: int, of: int) -> Share:
    """Return a share with the exact interval of Clopper and Pearson (1934): it covers at least 95 % at any number of trials.

    None of 500 is not never: the interval says up to which probability that could happen.

    >>> none = share(0, 500)
    >>> none.low, round(none.high, 4)
    (0.0, 0.0074)
    >>> some = share(19, 20)
    >>> round(some.low, 3), round(some.high, 4)
    (0.751, 0.9987)
    """
    if not 0 <= count <= of:
        message = f"{count} of {of} is no share"
        raise ValueError(message)
    low = 0.0 if count == 0 else _solve(lambda p: _at_least(count, of, p), _TAIL)
    high = 1.0 if count == of else _solve(lambda p: 1 - _at_least(count + 1, of, p), _TAIL, falling=True)
    return Share(count, of, low, high)


def _at_least(count: int, of: int, probability: float) -> float:
    """Return the probability of `count` or more successes; the shorter tail is summed, so that small ones keep their digits."""
    if count > of / 2:
        return _sum(range(count, of + 1), of, probability)
    return 1 - _sum(range(count), of, probability)


def _sum(counts: range, of: int, probability: float) -> float:
    if probability <= 0 or probability >= 1:
        return float((0 if probability <= 0 else of) in counts)
    first, second = math.log(probability), math.log1p(-probability)
    total = math.lgamma(of + 1)
    return math.fsum(math.exp(total - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * first + (of - k) * second) for k in counts)


def _solve(function: Callable[[float], float], wanted: float, *, falling: bool = False) -> float:
    """Return where a monotonic function of a probability has a value, by halving."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (function(middle) < wanted) != falling:
            low = middle
        else:
            high = middle
    return (low + high) / 2
