"""The fields of a timeline: one profiled call, or the host's side of a case."""

from __future__ import annotations

from pytest_gpuperf.records.field import Field

TIMELINE: tuple[Field, ...] = (
    Field("source", "text", "", "whose clock: cupti, for one call with the host's calls, the device's work and ranges; or host, for a case"),
    Field("span_s", "number", "s", "from its begin, which is when the body was called or the case began, to its end"),
    Field("events", "[event]", "", "what happened, by start: the longest ones where there were many"),
    Field("more", "int", "", "events that are not listed"),
)

EVENT: tuple[Field, ...] = (
    Field("lane", "text", "", "host (host 2: another thread), stream N, ranges, or of a case the name of a measurement"),
    Field("kind", "text", "", "api, wait (a call in which the host waits), kernel, memcpy, memset, range, or step: a part of a measurement"),
    Field("name", "text", "", "name of the call, kernel, range or step; of a copy its direction"),
    Field("start_s", "number", "s", "start, since the begin of the timeline"),
    Field("duration_s", "number", "s", "length"),
)
