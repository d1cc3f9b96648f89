"""The host's timeline of a case: what its measurements did when, and the ranges that the test marked; silent beside every sample that is timed."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.nvtx_ranges import heard_by, listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Ranges that one listener keeps; a loop may open any number.
MOST = 64
#: Steps of measurements that a case keeps.
MOST_STEPS = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Something that took host time: its name and its ends in seconds."""

    name: str
    start: float
    end: float


class Heard:
    """The ranges that were entered and left while it listened, on a clock of the caller's.

    >>> ticks = iter(range(9))
    >>> heard = Heard(lambda: next(ticks))
    >>> for name, entering in (("out", True), ("in", True), ("in", False), ("gone", False), ("out", False)):
    ...     heard(name, entering)
    >>> heard.found
    [Span(name='in', start=1, end=2), Span(name='out', start=0, end=4)]
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Keep the clock, which is read at both ends of every range."""
        self._clock = clock
        self._open: dict[int, list[tuple[str, float]]] = {}
        self.found: list[Span] = []
        self.more = 0

    def __call__(self, name: str, entering: bool) -> None:
        """Hear that a range is entered or left."""
        now = self._clock()
        inside = self._open.setdefault(threading.get_ident(), [])
        if entering:
            inside.append((name, now))
            return
        place = next((place for place in reversed(range(len(inside))) if inside[place][0] == name), None)
        if place is None:
            # It was entered while nobody listened.
            return
        start = inside[place][1]
        del inside[place:]
        if len(self.found) < MOST:
            self.found.append(Span(name, start, now))
        else:
            self.more += 1


class CaseTimeline:
    """What one case did when, on the host: ranges, and the steps of its measurements."""

    def __init__(self) -> None:
        """Nothing is heard before `begin`."""
        self._clock: Callable[[], float] = time.perf_counter
        self._zero, self._heard = 0.0, Heard(self._clock)
        self._stop: contextlib.ExitStack | None = None
        self.steps: list[tuple[str, Span]] = []
        self.more = 0

    def begin(self, clock: Callable[[], float] | None) -> None:
        """Begin to listen, with the device's host clock where there is a device."""
        self._clock = clock or time.perf_counter
        self._zero, self._heard = self._clock(), Heard(self._clock)
        before = listen(self._heard)
        self._stop = contextlib.ExitStack()
        self._stop.callback(listen, before)

    def end(self) -> None:
        """Let whoever heard before hear again."""
        if self._stop is not None:
            self._stop.close()
            self._stop = None

    def of(self, measurement: str) -> Steps:
        """Return what writes down the steps of a measurement."""
        return Steps(self, measurement)

    def add(self, measurement: str, span: Span) -> None:
        """Remember a step."""
        if len(self.steps) < MOST_STEPS:
            self.steps.append((measurement, span))
        else:
            self.more += 1

    def heard(self) -> contextlib.AbstractContextManager[None]:
        """Listen for a block, where the case listens at all."""
        return contextlib.nullcontext() if self._stop is None else heard_by(self._heard)

    def now(self) -> float:
        """Return the time on the case's clock."""
        return self._clock()

    def record(self) -> dict[str, Any]:
        """Return what the run file holds: the field `ranges`, or nothing where nothing was heard."""
        if self._stop is None or not (self.steps or self._heard.found):
            return {}
        # A tenth of a microsecond is less than opening a range takes.
        spans = [(name, "step", span) for name, span in self.steps] + [("ranges", "range", span) for span in self._heard.found]
        return {"ranges": record(spans, "host", self._zero, self._clock(), self.more + self._heard.more, digits=7)}


class Steps:
    """Writes down what a measurement does: `done(name)` ends what began where the last step ended."""

    def __init__(self, case: CaseTimeline, measurement: str) -> None:
        """Begin now."""
        self._case, self._measurement = case, measurement
        self._last = case.now()

    def done(self, name: str) -> None:
        """End a step."""
        before, self._last = self._last, self._case.now()
        self._case.add(self._measurement, Span(name, before, self._last))

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Listen to ranges for a block of calls that are not timed as samples, with which the next step begins; what was before has no name."""
        with self._case.heard():
            self._last = self._case.now()
            yield


def nobody() -> Steps:
    """Return steps that nobody reads."""
    return Steps(CaseTimeline(), "")


def record(spans: list[tuple[str, str, Span]], source: str, zero: float, end: float, more: int, digits: int = 9) -> dict[str, Any]:
    """Return a timeline as the run file holds it, from (lane, kind, span), by start: seconds since `zero`, to so many digits.

    >>> record([("ranges", "range", Span("mask", 2.0, 2.5))], "host", 1.0, 4.0, 0)["events"]
    [{'lane': 'ranges', 'kind': 'range', 'name': 'mask', 'start_s': 1.0, 'duration_s': 0.5}]
    """
    events = [
        {"lane": lane, "kind": kind, "name": span.name, "start_s": round(span.start - zero, digits), "duration_s": round(span.end - span.start, digits)}
        for lane, kind, span in sorted(spans, key=lambda one: (one[2].start, -one[2].end))
    ]
    return {"source": source, "span_s": round(end - zero, digits), "events": events, "more": more}
