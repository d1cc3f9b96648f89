"""The step of the grid that a device's times lie on."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def tick_of(elapsed: Sequence[float]) -> float:
    """Return the step of the grid that times lie on, in the unit of the times; 0.0 where they show no step.

    The smallest difference is the step or a small multiple of it; the largest fraction of it that fits all differences is
    sharpened by least squares, small differences first, so that rounding to whole steps stays safe.

    >>> tick_of([0.0, 96.0, 160.02, 320.0, 352.01])
    32.0
    >>> tick_of([5.0, 5.0])
    0.0
    """
    known = sorted(elapsed)
    span = known[-1] - known[0]
    gaps = sorted(b - a for a, b in itertools.pairwise(known) if b - a > 1e-6 * span)
    for part in range(1, 9):
        step, products, squares = gaps[0] / part if gaps else 0.0, 0.0, 0
        for gap in gaps:
            steps = round(gap / step)
            products, squares = products + gap * steps, squares + steps * steps
            step = products / squares
        if gaps and all(abs(gap - round(gap / step) * step) < 0.1 * step for gap in gaps):
            return float(f"{step:.4g}")
    return gaps[0] if gaps else 0.0
