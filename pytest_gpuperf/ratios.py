"""Pure statistics of interleaved versions: random ABBA blocks, what is common to a block taken out, ratios of medians with a bootstrap over blocks."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from pytest_gpuperf.stats import Drift, Interval, drift, grouped_percentile, student_t95

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: How often the blocks are drawn anew: the ends of a 95 % interval then move by a few hundredths of its width from seed to seed.
RESAMPLES = 1000
_MIN_BLOCKS = 2


def abba(versions: int, repeats: int, seed: int) -> Iterator[list[int]]:
    """Yield the order of one block after the other, endlessly: `repeats` times a random order of all versions and then its reverse.

    In each such piece every version stands at the same mean place, so that a drift in time is common to all of them; the order is random,
    so that no version is always the one after another.

    >>> blocks = abba(2, 1, seed=7)
    >>> [next(blocks) for _ in range(3)]
    [[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]]
    """
    # Not secrets: an order that the record can repeat.
    draw = random.Random(seed)  # noqa: S311
    while True:
        block: list[int] = []
        for _ in range(repeats):
            order = draw.sample(range(versions), versions)
            block += order + order[::-1]
        yield block


def levelled(versions: Sequence[Sequence[Sequence[float]]]) -> list[list[list[float]]]:
    """Take out of the samples, by version and block, what moved all versions of a block alike; a factor, as clocks and other loads are.

    A block's factor is the geometric mean over the versions of their medians in it. Where a sample is not above zero (the clock's constant
    was taken off and nothing was left) there is no such factor, and the samples come back as they are.

    >>> [[[round(x, 3) for x in block] for block in one] for one in levelled([[[1.0], [2.0]], [[3.0], [6.0]]])]
    [[[1.414], [1.414]], [[4.243], [4.243]]]
    """
    plain = [[list(block) for block in one] for one in versions]
    if any(sample <= 0 for one in versions for block in one for sample in block):
        return plain
    moved = [math.fsum(math.log(grouped_percentile(block, 0.5, 0.0)) for block in blocks) / len(versions) for blocks in zip(*versions, strict=True)]
    middle = math.fsum(moved) / len(moved)
    return [[[sample * math.exp(middle - one) for sample in block] for block, one in zip(blocks, moved, strict=True)] for blocks in plain]


def ratio_interval(
    over: Sequence[Sequence[float]], of: Sequence[Sequence[float]], ticks: tuple[float, float] = (0.0, 0.0), seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """Return the ratio of two medians, `over` / `of`, with its 95 % interval by a bootstrap over blocks; None where it cannot be told.

    Both are samples by block, levelled; a block is drawn with all of its samples of both, so that what they share stays shared. The ends are
    never nearer than Student's t over the ratios of the blocks says, and half a tick of both, in quadrature, further out.

    >>> ratio = ratio_interval([[2.0, 2.1], [1.9, 2.0], [2.0, 2.2], [2.1, 2.0]], [[1.0, 1.0], [1.1, 1.0], [0.9, 1.0], [1.0, 1.0]])
    >>> round(ratio.centre, 2), ratio.low < 2.0 < ratio.high
    (2.0, True)
    """
    count = len(over)
    if count < _MIN_BLOCKS or len(of) != count:
        return None
    top, bottom = (_median([sample for block in side for sample in block], tick) for side, tick in zip((over, of), ticks, strict=True))
    if bottom <= 0 or top <= 0:
        return None
    tops, bottoms = (_redrawn(side, tick, seed, resamples) for side, tick in zip((over, of), ticks, strict=True))
    if min(bottoms) <= 0:
        return None
    drawn = sorted(one / other for one, other in zip(tops, bottoms, strict=True))
    centre = top / bottom
    # The middle half of many medians is all there is in few blocks: an end is never nearer than Student's t over the blocks' own ratios says.
    apart = student_t95(count - 1) * _spread(over, of) / math.sqrt(count) * centre
    grid = centre * math.hypot(ticks[0] / top, ticks[1] / bottom) / 2
    low, high = (drawn[min(int(share * resamples), resamples - 1)] for share in (0.025, 0.975))
    return Interval(centre, min(low, centre - apart) - grid, max(high, centre + apart) + grid)


def ratio_drift(over: Sequence[Sequence[float]], of: Sequence[Sequence[float]]) -> Drift | None:
    """Find a trend or a step of the ratio over the blocks: something that moves one version and not the other; None where there is none.

    >>> ratio_drift([[1.0]] * 10, [[1.0]] * 10) is None
    True
    """
    ratios = [grouped_percentile(top, 0.5, 0.0) / grouped_percentile(bottom, 0.5, 0.0) for top, bottom in zip(over, of, strict=True)]
    return drift([[ratio] for ratio in ratios], 0.0)


def settled(versions: Sequence[Sequence[Sequence[float]]]) -> float:
    """Return, as a share, how far the ratios of all versions to the first are still open: the widest half-width of Student's t over blocks.

    >>> settled([[[1.0], [1.0], [1.0]], [[2.0], [2.0], [2.0]]])
    0.0
    """
    count = len(versions[0])
    if count < _MIN_BLOCKS:
        return math.inf
    return max(student_t95(count - 1) * _spread(one, versions[0]) / math.sqrt(count) for one in versions[1:])


def _spread(over: Sequence[Sequence[float]], of: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation of the blocks' ratios as a share of their mean; infinite where one of them is no ratio."""
    tops, bottoms = ([grouped_percentile(block, 0.5, 0.0) for block in side] for side in (over, of))
    if min(tops + bottoms) <= 0:
        return math.inf
    ratios = [one / other for one, other in zip(tops, bottoms, strict=True)]
    mean = math.fsum(ratios) / len(ratios)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in ratios) / (len(ratios) - 1)) / mean


def _median(samples: Sequence[float], tick: float) -> float:
    return grouped_percentile(samples, 0.5, tick)


def _redrawn(side: Sequence[Sequence[float]], tick: float, seed: int, resamples: int) -> list[float]:
    """Return the grouped median of every resample of the blocks; one seed draws the same blocks for every side."""
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, len(side), (resamples, len(side)))
    table = np.array(side, np.float64)
    ordered = np.sort(table[drawn].reshape(resamples, -1), axis=1)
    count = ordered.shape[1]
    below, above = ordered[:, (count - 1) // 2], ordered[:, count // 2]
    if tick <= 0:
        return [float(one) for one in (below + above) / 2]
    value = below[:, None]
    group = (np.abs(ordered - value) < tick / 2).sum(axis=1)
    before = (ordered <= value - tick / 2).sum(axis=1)
    return [float(one) for one in below - tick / 2 + tick * (count / 2 - before) / group]
