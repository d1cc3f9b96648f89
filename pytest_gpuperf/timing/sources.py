"""The other sources of a time: CUPTI's records of the calls, and graphs of several calls; each under its own name."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.profiler import ProfilerError
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.clock import Reading, Stopwatch
from pytest_gpuperf.timing.graph import Captured, Graph, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.device.profiler import Recording
    from pytest_gpuperf.timing.body import Body
    from pytest_gpuperf.timing.graph import OnStream

#: pytest shows the test's own lines, not the plugin's.
__tracebackhide__ = True

DEVICE, CUPTI, GRAPH = "device", "cupti", "graph"
#: Calls in a graph where nothing has to happen between two of them.
CALLS = 20


class CuptiWatch(Stopwatch):
    """A stopwatch that reads the span of CUPTI's records of a body, first start to last end, on the same blocked stream."""

    def __init__(self, watch: Stopwatch, recording: Recording) -> None:
        """Keep the device clock's own stopwatch, with its events, and the recording, which the caller began and will end."""
        super().__init__(watch.backend)
        self._watch, self._recording = watch, recording
        self._started = 0
        self._spans: list[float] = []

    def start(
        self, body: Callable[[], Any], stream: int, timeout: float, before: Callable[[], Any] | None = None, *, runway: bool = True
    ) -> Reading:
        """Enqueue one reading as the device clock does, and mark the body's calls."""

        def marked() -> None:
            with self._recording.window():
                body()

        reading = self._watch.start(marked, stream, timeout, before, runway=runway)
        number, self._started = self._started, self._started + 1
        return dataclasses.replace(reading, start=(number, reading.start))

    def read(self, reading: Reading) -> float:
        """Wait for a reading and return the span in seconds; ProfilerError where CUPTI has nothing of the body."""
        number: int = reading.start[0]
        raw = self._watch.read(dataclasses.replace(reading, start=reading.start[1]))
        if number >= len(self._spans):
            self._spans += [one.span for one in self._recording.read()]
        if not self._spans[number]:
            told = f"CUPTI recorded no work of the body; between the events of the device clock {raw * 1e6:.2f} us passed"
            raise ProfilerError(Reason("cupti-no-records", told))
        return self._spans[number]


@contextlib.contextmanager
def graphed(backend: Backend, on_stream: OnStream, body: Body, calls: int, stream: int) -> Iterator[Body]:
    """Give a body whose every call replays, on a stream, a graph of `calls` calls of another; NotCapturable says what forbade it."""
    if isinstance(body.function, Graph):
        yield body
        return
    made: list[Captured] = []
    name = getattr(body.function, "__name__", type(body.function).__name__)
    try:
        for index in range(body.sets):

            def several(index: int = index) -> Any:
                result = None
                for _ in range(calls):
                    result = body(index)
                return result

            made.append(capture(backend, on_stream, several, name))

        def replay(index: int) -> Any:
            made[index].replay(stream)
            return made[index].result

        yield dataclasses.replace(body, function=replay, arguments=[(index,) for index in range(body.sets)], keywords={})
    finally:
        backend.synchronize()
        for one in made:
            one.free()


def calls_of(body: Body, cache: str, *, changes: bool) -> int:
    """Return how many calls a graph holds: CALLS back to back, or one where something has to happen before each of them.

    That is a flush, `setup`, an inout that is put back (`changes`), or another argument set.
    """
    alone = cache not in {"warm", "steady"} or body.setup is not None or changes or body.sets > 1 or isinstance(body.function, Graph)
    return 1 if alone else CALLS
