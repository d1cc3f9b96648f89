"""The samples of a record as seconds, and how they fall into bins. Pure functions on lists of numbers."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A histogram of more bins than this shows noise, not shape.
MOST_BINS = 40


@dataclasses.dataclass(frozen=True, slots=True)
class Bins:
    """A histogram: counts of equal bins from `low`, each `width` seconds wide; `beyond` samples lie above the last."""

    low: float
    width: float
    counts: tuple[int, ...]
    beyond: int

    @property
    def high(self) -> float:
        """The upper edge of the last bin, s."""
        return self.low + self.width * len(self.counts)


def rounds_of(samples: dict[str, Any]) -> list[list[float]]:
    """Return the samples of each round in seconds of one call: (raw - constant) / batch.

    >>> rounds_of({"unit_s": 1e-10, "constant": 20000, "batch": 2, "rounds": [[40000, 60000]]})
    [[1e-06, 2e-06]]
    """
    unit, constant, batch = samples["unit_s"], samples["constant"], samples["batch"] or 1
    return [[float(f"{(raw - constant) * unit / batch:.12g}") for raw in row] for row in samples["rounds"] if row]


def grain(samples: dict[str, Any], tick_s: float | None) -> float:
    """Return the step between neighbouring values in seconds: the device's tick over the batch, at least the record's own unit.

    >>> grain({"unit_s": 1e-10, "batch": 8}, 3.2e-8)
    4e-09
    """
    return max(tick_s or 0.0, float(samples["unit_s"])) / int(samples["batch"] or 1)


def bins_of(values: Sequence[float], step: float) -> Bins:
    """Bin values in seconds; a bin holds whole steps of the clock's grid, else the grid would draw a comb that is not there.

    The last percent of a long tail is counted in `beyond` where showing it would squeeze the rest.

    >>> bins_of([1.0, 1.0, 2.0, 3.0], step=1.0)
    Bins(low=0.5, width=1.0, counts=(2, 1, 1), beyond=0)
    """
    ordered = sorted(values)
    shown = ordered[: max(1, math.ceil(0.99 * len(ordered)))]
    if ordered[-1] - shown[0] <= 2 * (shown[-1] - shown[0] + step):
        shown = ordered
    cells = round((shown[-1] - shown[0]) / step) + 1
    width = step * math.ceil(cells / MOST_BINS)
    low = shown[0] - step / 2
    counts = [0] * math.ceil(cells * step / width - 1e-9)
    for value in shown:
        counts[min(int((value - low) / width), len(counts) - 1)] += 1
    return Bins(low, width, tuple(counts), len(ordered) - len(shown))


def centres(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Return the median of each round, s."""
    return [statistics.median(row) for row in rounds]
