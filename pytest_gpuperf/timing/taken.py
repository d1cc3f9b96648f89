"""How to sample, and what was taken: what the sampler is given and gives back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_gpuperf.device.backend import Evidence
    from pytest_gpuperf.timing.backoff import Seen
    from pytest_gpuperf.timing.stalls import Stall

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

MIN_ROUNDS = 5
USUAL_ROUNDS = 10
GAP = 5e-3
#: Sampling ends where the interval is below this share of the centre, or below the clock's systematic part.
PRECISION = 0.005


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How to sample: cache state, seconds, samples that a percentile needs, how long the host may hold the stream, and the duty.

    `spaced` rounds stand GAP apart, and those of a throttled device are discarded; `sustained` ones follow one another on a device that works throughout.
    """

    cache: str
    limit: float
    samples: int = 0
    timeout: float = 1.0
    duty: str = "spaced"


@dataclasses.dataclass
class Taken:
    """What was taken: every round with what the machine did, calls a sample, what was digested, and what a reader must know."""

    seen: list[Seen] = dataclasses.field(default_factory=list)
    batch: int = 1
    notes: list[str] = dataclasses.field(default_factory=list)
    checked: str = "unchecked"
    result: Any = None
    synchronises: bool = False
    #: Where the body waited, where that was found, and how many samples were held to the deadline once and taken again.
    stall: Stall | None = None
    late: int = 0
    seconds: float = 0.0

    @property
    def rounds(self) -> list[list[float]]:
        """Raw seconds of the rounds that count."""
        return [one.samples for one in self.seen if not one.discarded]

    @property
    def evidence(self) -> list[Evidence]:
        """What the machine did in the rounds that count."""
        return [one.evidence for one in self.seen if not one.discarded]


class Synchronises(Exception):
    """The body waited for the device inside the blocked window, or for room in its queue; `stall` tells where, if that was seen."""

    def __init__(self, stall: Stall | None = None) -> None:
        super().__init__()
        self.stall = stall
