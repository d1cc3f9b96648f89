"""Pure statistics: grouped percentiles, an interval over rounds, order-statistic intervals, drift, intervals through arithmetic."""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond the table Cornish-Fisher's expansion is good to 1e-4.
_T95 = (
    math.nan, 12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622,
    2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930,
)  # fmt: skip
_Z95 = 1.959964


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A centre with the bounds of its 95 % interval; NaN bounds never occur."""

    centre: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """The larger distance from the centre to a bound."""
        return max(self.centre - self.low, self.high - self.centre)


def student_t95(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t.

    >>> round(student_t95(4), 4), round(student_t95(40), 3)
    (2.7764, 2.021)
    """
    if freedom < 1:
        return math.inf
    if freedom < len(_T95):
        return _T95[freedom]
    z = _Z95
    first = (z**3 + z) / (4 * freedom)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return z + first + second + third


def grouped_percentile(samples: Sequence[float], fraction: float, tick: float) -> float:
    """Return a percentile of data that a clock rounded to its tick: each sample is uniform over its tick.

    >>> grouped_percentile([1.0, 1.0, 2.0, 2.0], 0.5, 1.0)
    1.5
    >>> grouped_percentile([3.0], 0.5, 0.0)
    3.0
    """
    ordered = sorted(samples)
    if not ordered:
        message = "a percentile of no samples"
        raise ValueError(message)
    rank = fraction * len(ordered)
    if tick <= 0:
        below = min(max(math.ceil(rank) - 1, 0), len(ordered) - 1)
        above = min(below + 1, len(ordered) - 1)
        return (ordered[below] + ordered[above]) / 2 if rank == below + 1 else ordered[below]
    value = ordered[min(max(math.ceil(rank) - 1, 0), len(ordered) - 1)]
    half = tick / 2
    group = [sample for sample in ordered if abs(sample - value) < half]
    before = sum(1 for sample in ordered if sample <= value - half)
    return value - half + tick * (rank - before) / len(group)


def centre_interval(rounds: Sequence[Sequence[float]], tick: float) -> Interval:
    """Return the median with the interval of Student's t over the medians of the rounds, plus half a tick.

    >>> interval = centre_interval([[1.0, 1.1], [1.1, 1.2], [1.0, 1.2], [1.1, 1.1], [1.0, 1.1]], 0.0)
    >>> interval.low < interval.centre < interval.high
    True
    """
    centres = [grouped_percentile(samples, 0.5, tick) for samples in rounds if len(samples)]
    if not centres:
        message = "an interval of no rounds"
        raise ValueError(message)
    count = len(centres)
    centre = math.fsum(centres) / count
    if count == 1:
        return Interval(centre, -math.inf, math.inf)
    spread = math.sqrt(math.fsum((one - centre) ** 2 for one in centres) / (count - 1))
    half = student_t95(count - 1) * spread / math.sqrt(count) + tick / 2
    return Interval(centre, centre - half, centre + half)


def percentile_interval(samples: Sequence[float], fraction: float, tick: float) -> Interval | None:
    """Return a percentile with its 95 % interval by order statistics; None where there are too few samples for one.

    >>> percentile_interval([float(n) for n in range(71)], 0.95, 0.0) is None
    True
    >>> percentile_interval([float(n) for n in range(72)], 0.95, 0.0).high
    71.0
    """
    count = len(samples)
    if count == 0 or max(fraction, 1 - fraction) ** count > 0.025:
        return None
    ordered = sorted(samples)
    below = _binomial_rank(count, fraction, 0.025)
    above = count - _binomial_rank(count, 1 - fraction, 0.025)
    centre = grouped_percentile(ordered, fraction, tick)
    low = ordered[max(below - 1, 0)] - tick / 2
    high = ordered[min(above, count - 1)] + tick / 2
    return Interval(centre, min(low, centre), max(high, centre))


def _binomial_rank(count: int, fraction: float, tail: float) -> int:
    """Return the largest k such that P(Binomial(count, fraction) < k) <= tail."""
    total, log_odds = 0.0, math.log(fraction) - math.log1p(-fraction)
    log_mass = count * math.log1p(-fraction)
    for k in range(count + 1):
        total += math.exp(log_mass)
        if total > tail:
            return k
        log_mass += math.log((count - k) / (k + 1)) + log_odds if k < count else 0.0
    return count


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """How the centre moved over the rounds: the change as a share of the centre, and the range it went through."""

    change: float
    low: float
    high: float


def drift(rounds: Sequence[Sequence[float]], tick: float) -> Drift | None:
    """Find a trend or a step over the rounds that noise does not explain; None where there is none.

    A trend is the least-squares slope over all rounds, a step the largest difference of means before and after one round. Either counts only where its
    t statistic is significant (a step at the level that allows for the choice of its place).

    >>> drift([[1.0]] * 10, 0.0) is None
    True
    >>> found = drift([[1.0 + 0.01 * n] for n in range(10)], 0.0)
    >>> round(found.change, 2)
    0.09
    """
    centres = [grouped_percentile(samples, 0.5, tick) for samples in rounds if len(samples)]
    count = len(centres)
    if count < 5:
        return None
    mean = math.fsum(centres) / count
    if mean <= 0:
        return None
    found = [move for move in (_trend(centres), _step(centres)) if move is not None and abs(move) > tick]
    if not found:
        return None
    change = max(found, key=abs) / mean
    return Drift(change, min(centres), max(centres))


def _trend(centres: Sequence[float]) -> float | None:
    count = len(centres)
    middle, mean = (count - 1) / 2, math.fsum(centres) / count
    square = math.fsum((index - middle) ** 2 for index in range(count))
    slope = math.fsum((index - middle) * (one - mean) for index, one in enumerate(centres)) / square
    rest = math.fsum((one - mean - slope * (index - middle)) ** 2 for index, one in enumerate(centres))
    error = math.sqrt(rest / (count - 2) / square)
    # A quarter above the plain quantile: a step is looked for as well, and noise must not be found more often than the 5 % of one look.
    return slope * (count - 1) if abs(slope) > 1.25 * student_t95(count - 2) * error else None


def _step(centres: Sequence[float]) -> float | None:
    count = len(centres)
    best: tuple[float, float] = (0.0, 0.0)
    for cut in range(2, count - 1):
        before, after = centres[:cut], centres[cut:]
        gap = math.fsum(after) / len(after) - math.fsum(before) / len(before)
        rest = math.fsum((one - math.fsum(side) / len(side)) ** 2 for side in (before, after) for one in side)
        error = math.sqrt(rest / (count - 2) * (1 / len(before) + 1 / len(after)))
        score = abs(gap) / error if error > 0 else math.inf if gap else 0.0
        best = max(best, (score, gap), key=lambda pair: pair[0])
    # Twice the plain quantile: the cut was chosen among several, and few rounds have heavy tails.
    return best[1] if best[0] > 2 * student_t95(count - 2) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """A number with the bounds of its random part and, by calibration, the signed shift that one half-width of each causes."""

    number: float
    low: float
    high: float
    systematic: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def shift(self) -> float:
        """Half-width of the systematic part."""
        return math.fsum(map(abs, self.systematic.values()))

    @property
    def bounds(self) -> tuple[float, float]:
        """The whole interval: random part and systematic part."""
        return self.low - self.shift, self.high + self.shift

    @property
    def reach(self) -> float:
        """The larger distance from the number to a bound of the random part."""
        return max(self.number - self.low, self.high - self.number)


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its slopes carry the systematic parts; `rest` bounds what straight lines miss of (left, right, result)."""

    symbol: str
    unit: Callable[[str, str], str]
    apply: Callable[[float, float], float]
    slopes: Callable[[float, float], tuple[float, float]]
    rest: Callable[[Spread, Spread, Spread], float]


def propagate(operation: Operation, left: Spread, right: Spread) -> Spread | None:
    """Carry two spreads through an operation; None for a quotient whose divisor cannot be told from zero.

    Whatever the true numbers inside both intervals are, the true result is inside the result's interval; a calibration that both share moves
    both at once, so that it cancels in a difference and in a ratio as far as they are alike.

    >>> shared = {"clock": 1.0}
    >>> propagate(SUBTRACT, Spread(5.0, 5.0, 5.0, shared), Spread(3.0, 3.0, 3.0, shared)).bounds
    (2.0, 2.0)
    >>> propagate(SUBTRACT, Spread(5.0, 5.0, 5.0, shared), Spread(3.0, 3.0, 3.0, {"other": 1.0})).bounds
    (0.0, 4.0)
    """
    if operation is DIVIDE and right.bounds[0] <= 0 <= right.bounds[1]:
        return None
    corners = [operation.apply(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    # An infinite bound times zero is a corner that says nothing: then nothing is known.
    known = not any(map(math.isnan, corners))
    low, high = (min(corners), max(corners)) if known else (-math.inf, math.inf)
    by_left, by_right = operation.slopes(left.number, right.number)
    systematic = {
        key: by_left * left.systematic.get(key, 0.0) + by_right * right.systematic.get(key, 0.0)
        for key in {**left.systematic, **right.systematic}
    }
    straight = Spread(operation.apply(left.number, right.number), low, high, systematic)
    rest = operation.rest(left, right, straight)
    return Spread(straight.number, low - rest, high + rest, systematic)


def _same(left: str, right: str) -> str:
    if left != right:
        message = f"cannot add or subtract {left} and {right}"
        raise TypeError(message)
    return left


def _product(left: str, right: str) -> str:
    return left if right == "1" else right if left == "1" else f"{left}*{right}"


def _ratio(left: str, right: str) -> str:
    return left if right == "1" else "1" if left == right else f"{left}/{right}"


def _product_rest(left: Spread, right: Spread, _result: Spread) -> float:
    # (x + a)(y + b) less its straight line at (x0, y0) is xy + (x - x0) b + (y - y0) a + a b.
    parts = ((left.reach, right.shift), (right.reach, left.shift), (left.shift, right.shift))
    return math.fsum(one * other for one, other in parts if one and other)


def _ratio_rest(_left: Spread, right: Spread, result: Spread) -> float:
    # With q = x/y: (x + a)/(y + b) = q + (a - q b)/(y + b); less the straight line (a - q0 b)/y0 two small products remain.
    if not (result.shift or right.shift):
        return 0.0
    stretch = max(abs(right.number / bound - 1) for bound in right.bounds)
    return result.shift * stretch + (result.reach * right.shift / min(map(abs, right.bounds)) if right.shift else 0.0)


ADD = Operation("+", _same, operator.add, lambda _a, _b: (1.0, 1.0), lambda *_: 0.0)
SUBTRACT = Operation("-", _same, operator.sub, lambda _a, _b: (1.0, -1.0), lambda *_: 0.0)
MULTIPLY = Operation("*", _product, operator.mul, lambda a, b: (b, a), _product_rest)
DIVIDE = Operation("/", _ratio, operator.truediv, lambda a, b: (1 / b, -a / b / b), _ratio_rest)


def decided(low: float, high: float, symbol: str) -> bool | None:
    """Judge `x OP 0` for all x of an interval: True where it holds for all, False where for none, None else.

    >>> decided(-2.0, -0.5, "<="), decided(0.5, 2.0, "<="), decided(-0.5, 0.5, "<=")
    (True, False, None)
    """
    holds, fails = _DECISIONS[symbol]
    return True if holds(low, high) else False if fails(low, high) else None


_DECISIONS: dict[str, tuple[Callable[[float, float], bool], Callable[[float, float], bool]]] = {
    "<=": (lambda _low, high: high <= 0, lambda low, _high: low > 0),
    "<": (lambda _low, high: high < 0, lambda low, _high: low >= 0),
    ">=": (lambda low, _high: low >= 0, lambda _low, high: high < 0),
    ">": (lambda low, _high: low > 0, lambda _low, high: high <= 0),
    "==": (lambda low, high: low == high == 0, lambda low, high: low > 0 or high < 0),
}
