"""The fields of what --gpuperf-base found: of the session, and of each measurement."""

from __future__ import annotations

from pytest_gpuperf.records.field import Field

BASE: tuple[Field, ...] = (
    Field("title", "text", "", "what the base is called"),
    Field("commit", "text?", "", "its git commit; null of a directory"),
    Field("limits", "text", "", "what --gpuperf-fail-on said"),
    Field("reason", "reason?", "", "why the base was not measured, or not to the end"),
    Field("cases", "int", "", "cases that both have"),
    Field("missing", "[text]", "", "cases that only the base has"),
    Field("errors", "[text]", "", "what the base could not collect"),
    Field("start_s", "number", "s", "host time until it had collected"),
)

BASED: tuple[Field, ...] = (
    Field("new", "bool", "", "the base has no such measurement"),
    Field("quantity", "text?", "", "time, or wall_time where one of the two synchronises"),
    Field("old", "number?", "s", "the base's median"),
    Field("new_s", "number?", "s", "this side's median in the same turns"),
    Field("ratio", "number?", "1", "this side over the base, of medians that are levelled by block"),
    Field("low", "number?", "1", "lower end of its whole interval: 95 % by a bootstrap over blocks, and what the clocks of two processes are off by"),
    Field("high", "number?", "1", "upper end"),
    Field("code", "text?", "", "hash of what the base's kernels were compiled to"),
    Field("seed", "int?", "", "seed of the order of turns"),
    Field("primers", "int?", "", "samples that were discarded at the start of each turn"),
    Field("samples", "int?", "", "samples of a side in each block"),
    Field("unit_s", "number?", "s", "unit of the medians by block"),
    Field("base_blocks", "[int]", "", "the base's median of each block"),
    Field("head_blocks", "[int]", "", "this side's"),
    Field("notes", "[text]", "", "what a reader must know"),
    Field("reason", "reason?", "", "why it decides nothing"),
)
