"""Discard and back off: which rounds count where the device's clock is held down, and how long to sleep before the next."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_gpuperf.device.health import causes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_gpuperf.device.backend import Evidence

FIRST_NAP = 20e-3
#: 20, 40, 80 and 160 ms.
MAX_NAPS = 4


@dataclasses.dataclass
class Seen:
    """A round: raw seconds of its samples, what the machine did, and why it does not count, if it does not."""

    samples: list[float]
    evidence: Evidence
    discarded: str = ""


def limited(causes: Sequence[str]) -> str:
    """Name what held the clock down; empty where nothing did.

    >>> limited(("power",)), limited(("power", "thermal")), limited(())
    ('power-limited', 'power- and thermal-limited', '')
    """
    return " and ".join([*(f"{one}-" for one in causes[:-1]), f"{causes[-1]}-limited"]) if causes else ""


class Backoff:
    """Weighs rounds as they come.

    A round whose clock was held down is discarded, and the sampler sleeps before the next, longer each time. Where it sleeps no more and no round
    was ever free, that is how the device runs this body: a state, and every round counts. Where some were free, a free one throws out the others;
    if the limits come back after the last nap, every round counts again, and the change is for the verdict to tell.
    """

    def __init__(self, sm_clock: float | None) -> None:
        """Keep the device's own clock, in MHz."""
        self.sm_clock = sm_clock
        self.naps = 0
        self._changes = False

    def weigh(self, seen: Sequence[Seen], seconds: float) -> float:
        """Say of every round whether it counts; return how long to sleep, always less than the `seconds` that are left.

        >>> from pytest_gpuperf.device.backend import Evidence
        >>> back, rounds = Backoff(1980), [Seen([], Evidence(throttle=0x4))]
        >>> back.weigh(rounds, 1.0), rounds[0].discarded
        (0.02, 'power-limited')
        """
        causes = [causes_of(one.evidence, self.sm_clock) for one in seen]
        nap = FIRST_NAP * 2.0**self.naps
        if not causes[-1]:
            for one, cause in zip(seen, causes, strict=True):
                one.discarded = "" if self._changes else limited(cause)
            return 0.0
        if self.naps < MAX_NAPS and nap < seconds and all(one.discarded for one, cause in zip(seen[:-1], causes, strict=False) if cause):
            seen[-1].discarded = limited(causes[-1])
            self.naps += 1
            return nap
        self._changes = not all(causes)
        for one in seen:
            one.discarded = ""
        return 0.0
