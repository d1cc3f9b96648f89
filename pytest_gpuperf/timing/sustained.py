"""Work without gaps: a kernel that lives at the device's power limit is measured where it lives, not on a rested device."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.witness import Witness

DUTIES = ("spaced", "sustained")
#: How long the device works between two looks at its clock while it warms up.
_PIECE = 50e-3
#: The mean clock of this many looks is held against that of as many before.
_LOOKS = 4
_STEADY = 0.02
#: The device warms up at most so long, or for the limit of a measurement where that is longer.
LONGEST = 1.0
#: Untimed calls before each sample: so much longer than what stands between two samples that the device's power does not see that.
LOAD = 2e-3
#: Untimed calls behind each round, while the host reads NVML: on an H200 that takes about this long.
COVER = 8e-3
_MAX_CALLS = 500


def calls_for(seconds: float, each: float) -> int:
    """Return how many calls of a body take some seconds.

    >>> calls_for(2e-3, 1.7e-3), calls_for(2e-3, 20e-6), calls_for(2e-3, 1e-6)
    (2, 100, 500)
    """
    return max(1, min(_MAX_CALLS, math.ceil(seconds / max(each, 1e-6))))


def is_steady(clocks: Sequence[float]) -> bool:
    """Say whether a clock has come to rest: the mean of the last looks is that of as many before, within 2 %: at its power limit a Hopper's clock moves by 3 % between two looks.

    >>> is_steady([1980, 1900, 1700, 1600, 1500, 1480, 1510, 1490]), is_steady([1500, 1480, 1510, 1490] * 2)
    (False, True)
    """
    if len(clocks) < 2 * _LOOKS:
        return False
    last, before = statistics.fmean(clocks[-_LOOKS:]), statistics.fmean(clocks[-2 * _LOOKS : -_LOOKS])
    return abs(last - before) <= _STEADY * before


class Load:
    """Untimed calls of a body that keep the device at work: none before `fill`."""

    def __init__(self, body: Body) -> None:
        """Keep the body."""
        self.body = body
        self._before, self._behind = 0, 0

    def fill(self, each: float, *, batched: bool) -> None:
        """From here on put calls before each sample, unless it is a batch and load enough, and behind each round; one takes `each` seconds."""
        self._before, self._behind = 0 if batched else calls_for(LOAD, each), calls_for(COVER, each)

    def run(self, count: int, first: int = 0) -> int:
        """Call the body so often, each time after its setup, with one argument set after the other; return the number of the next call."""
        for call in range(first, first + count):
            if self.body.setup is not None:
                self.body.setup()
            self.body(call % self.body.sets)
        return first + count

    def before(self, index: int) -> None:
        """Stand before a sample of an argument set."""
        self.run(self._before, index)

    def cover(self) -> None:
        """Stand behind a round, while the host reads what the device does."""
        self.run(self._behind)


def warm_until_steady(backend: Backend, witness: Witness, load: Load, each: float, stream: int, limit: float) -> str:
    """Call a body back to back until the clock is steady, at most `limit` seconds; return what a reader must know of it, if anything."""
    began, clocks, calls, seen = backend.now(), [], 0, 0
    while backend.now() - began < limit:
        witness.start(stream)
        piece = backend.now()
        while backend.now() - piece < _PIECE:
            calls = load.run(calls_for(LOAD, each), calls)
            # The host must not run seconds ahead of the device.
            backend.synchronize(stream)
        clock = witness.clock(stream)
        seen += 1
        if clock is not None:
            clocks.append(clock)
        if is_steady(clocks):
            return ""
    if seen and not clocks:
        return "sustained: no stamp told the clock, so the body was called back to back for the whole limit before the first round"
    shown = " -> ".join(f"{one:.0f}" for one in (clocks[:1] + clocks[-1:]))
    return f"sustained: the clock was not steady after {limit:g} s of back-to-back calls ({shown} MHz)"
