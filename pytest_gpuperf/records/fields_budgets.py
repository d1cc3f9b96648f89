"""The fields of what a run file holds of the file of budgets."""

from __future__ import annotations

from pytest_gpuperf.records.field import Field

KNOWN: tuple[Field, ...] = (
    Field("origin", "text", "", "where the known miss stands"),
    Field("text", "text", "", "its reason, owner and last day"),
    Field("excused", "bool", "", "the limit is missed, no further than is known"),
)

BUDGET_FILE: tuple[Field, ...] = (
    Field("name", "text", "", "its path below the root of the tests"),
    Field("rows", "[table]", "", "its known misses, and those tables of budgets of which there is something to tell, in their order"),
)

TABLE: tuple[Field, ...] = (
    Field("kind", "text", "", "budget or known-miss"),
    Field("line", "int", "", "line of its header; 0 where it has none"),
    Field("origin", "text", "", "how limits and messages name it"),
    Field("test", "text", "", "glob of node ids"),
    Field("of", "text?", "", "name of the measurement"),
    Field("until", "text?", "ISO 8601", "last day, in UTC"),
    Field("words", "text", "", "reason, owner and last day"),
    Field("cases", "int", "", "collected cases that it is for"),
    Field("limits", "[filed limit]", "", "its limits"),
    Field("looked", "bool", "", "the session collected the tests that the glob could name"),
    Field("others", "int", "", "tests without the fixture that it matches; only where it is for no case", required=False),
    Field("silent", "bool", "", "its file is there and gave no test; only where it is for no case", required=False),
    Field("nearest", "text", "", "nearest node id; only where it is for no case", required=False),
    Field("met", "{int}", "", "of a known miss: in how many cases it excused, was kept, exceeded or undecided", required=False),
)

FILED_LIMIT: tuple[Field, ...] = (
    Field("quantity", "text", "", "row of METRICS"),
    Field("statistic", "text", "", "p50, p95 or p99"),
    Field("text", "text", "", "the limit as its author wrote it"),
    Field("glob", "text", "", "glob of device names"),
    Field("here", "bool", "", "the glob matches the device of the session, or there was none"),
    Field("chosen", "int", "", "collected cases for which it is the nearest limit"),
    Field("instead", "[text]", "", "origins of nearer limits"),
    Field("ran", "int", "", "those of `chosen` that ended", required=False),
    Field("judged", "int", "", "those of `ran` in which it has a verdict", required=False),
)
