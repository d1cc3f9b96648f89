"""The timeline of one profiled call: what the host called, what the device did by stream, and the ranges that the body opened."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.device.profiler import waits
from pytest_gpuperf.timing.steps import Span, record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_gpuperf.device.profiler import Records

#: Events that a record keeps, and characters of a name.
MOST = 64
_NAME = 80


def timeline_of(records: Records, ranges: Sequence[Span] = (), more: int = 0) -> dict[str, Any]:
    """Return the timeline of one call from the records of its window, and ranges on the same clock, in seconds since the window began.

    Of more than MOST events the longest are kept, in turns of ranges, calls and work, so that no kind pushes another out; `more` counts the others.

    >>> from pytest_gpuperf.device.profiler import Call, Records, Work
    >>> call = Call("cuLaunchKernel", 10.0, 10.1, 1, 7)
    >>> made = timeline_of(Records((Work("kernel", "add", 10.2, 10.5, 13, 7),), (call,), (), 10.0, 10.1), [Span("mask", 10.0, 10.1)])
    >>> [(one["lane"], one["kind"], one["start_s"]) for one in made["events"]], made["span_s"]
    ([('ranges', 'range', 0.0), ('host', 'api', 0.0), ('stream 13', 'kernel', 0.2)], 0.5)
    """
    threads = {thread: f" {place}" if place > 1 else "" for place, thread in enumerate(dict.fromkeys(one.thread for one in records.calls), 1)}
    marked = [("ranges", "range", _named(one)) for one in ranges]
    called = [(f"host{threads[one.thread]}", "wait" if waits(one.name) else "api", Span(one.name, one.start, one.end)) for one in records.calls]
    worked = [(f"stream {one.stream}", one.kind, Span(_worded(one.kind, one.name), one.start, one.end)) for one in records.work]
    kept = list(itertools.islice(_in_turns(marked, called, worked), MOST))
    lost = len(marked) + len(called) + len(worked) - len(kept)
    end = max([records.end, *(one.end for one in records.work)])
    return record(kept, "cupti", records.begin, end, lost + more)


def _in_turns(*groups: list[tuple[str, str, Span]]) -> Iterator[tuple[str, str, Span]]:
    """Yield the longest of each group, then the next of each, and so on."""
    ordered = [sorted(group, key=lambda one: one[2].start - one[2].end) for group in groups]
    for row in itertools.zip_longest(*ordered):
        yield from (one for one in row if one is not None)


def _named(span: Span) -> Span:
    return Span(span.name[:_NAME], span.start, span.end)


def _worded(kind: str, name: str) -> str:
    return f"memcpy {name}" if kind == "memcpy" else name[:_NAME]
