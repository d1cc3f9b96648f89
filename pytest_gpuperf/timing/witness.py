"""What the machine did during a round: its state before and after, and the clock between two stamps of one multiprocessor."""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.backend import Backend, DeviceLimits, Evidence

#: Two stamps closer than this tell no clock: a tick of 1 us, as some devices have, would be more than 1 % of what lies between.
SHORTEST = 100e-6
#: The host waits a little longer, as its launches do not reach the device at once.
_APART = 1.5 * SHORTEST
_STAMP = 16


def clock_between(first: bytes, last: bytes) -> float | None:
    """Return the clock between two stamps in MHz: cycles over time of one multiprocessor; None where a stamp is missing, or they lie too close.

    >>> clock_between(struct.pack("<QQ", 1_000, 5_000), struct.pack("<QQ", 397_000, 205_000))
    1980.0
    >>> clock_between(struct.pack("<QQ", 1_000, 5_000), bytes(16)) is None
    True
    """
    cycles, began, more, ended = struct.unpack("<4Q", first + last)
    if not began or not ended or ended - began < SHORTEST * 1e9 or more <= cycles:
        return None
    return round(float(more - cycles) / float(ended - began) * 1e3, 1)


def over(before: Evidence, after: Evidence, clock: float | None = None) -> Evidence:
    """Return the state of the machine over a round: what was read after it, limits that either reading saw, and by how much the counters grew.

    >>> from pytest_gpuperf.device.backend import Evidence
    >>> both = over(Evidence(throttle=4, violations={"power": 1.0}), Evidence(power=690.0, throttle=0, violations={"power": 1.5}), 1485.0)
    >>> both.throttle, both.violations, both.power, both.effective_clock
    (4, {'power': 0.5}, 690.0, 1485.0)
    """
    masks = [one.throttle for one in (before, after) if one.throttle is not None]
    grown = None
    if before.violations is not None and after.violations is not None:
        # A counter that started anew, as after a reset of the driver, has told nothing.
        grown = {cause: max(0.0, round(seconds - before.violations[cause], 9)) for cause, seconds in after.violations.items() if cause in before.violations}
    throttle = None if not masks else masks[0] | masks[-1]
    return dataclasses.replace(after, throttle=throttle, violations=grown, effective_clock=clock)


class Witness:
    """Looks at the machine around rounds: `look` before the first one and after a pause; for each `start`, the samples, `end`."""

    def __init__(self, backend: Backend, limits: DeviceLimits) -> None:
        """Allocate where two stamps go."""
        self.backend, self._blocks = backend, limits.sm_count
        self._out = backend.alloc(2 * _STAMP)
        self._before: Evidence | None = None
        self._began = 0.0

    def look(self) -> None:
        """Read the state before a round, where the last round's end is not just before it; takes some milliseconds."""
        self._before = self.backend.evidence()

    def start(self, stream: int) -> None:
        """Put the first stamp on the stream, before everything of a round."""
        self.backend.upload(self._out, bytes(2 * _STAMP))
        self._stamp(0, stream)
        self._began = self.backend.now()

    def end(self, stream: int, meanwhile: Callable[[], object] | None = None) -> Evidence:
        """Put the last stamp behind a round, let the device do something `meanwhile`, and return what the round saw; waits for the stream."""
        self._last(stream)
        if meanwhile is not None:
            meanwhile()
        before, self._before = self._before, self.backend.evidence()
        return over(before or self._before, self._before, self._read(stream))

    def clock(self, stream: int) -> float | None:
        """Put the last stamp on the stream, wait for it and return the clock since `start`, in MHz."""
        self._last(stream)
        return self._read(stream)

    def _last(self, stream: int) -> None:
        rest = self._began + _APART - self.backend.now()
        if rest > 0:
            # One sample of a short kernel: the device idles on, and its counter runs.
            self.backend.sleep(rest)
        self._stamp(1, stream)

    def _read(self, stream: int) -> float | None:
        self.backend.synchronize(stream)
        both = self.backend.download(self._out, 2 * _STAMP)
        return clock_between(both[:_STAMP], both[_STAMP:])

    def close(self) -> None:
        """Free its memory."""
        self.backend.free(self._out)

    def _stamp(self, place: int, stream: int) -> None:
        # A block for every multiprocessor: an idle device gives each of them one.
        self.backend.launch("stamp", (self._out + place * _STAMP,), stream, blocks=self._blocks, threads=32)
