"""The fields of what --gpuperf-qualify found."""

from __future__ import annotations

from pytest_gpuperf.records.field import Field

QUALIFICATION: tuple[Field, ...] = (
    Field("cache", "text", "", "cache state of its measurements"),
    Field("limit", "number", "s", "longest sampling time of a measurement"),
    Field("pairs_asked", "int", "", "pairs of fresh allocations of each kernel"),
    Field("seed", "int", "", "seed of the order"),
    Field("rule", "text", "", "how a pair is judged, in words"),
    Field("wall_s", "number", "s", "host time of it all"),
    Field("reason", "reason?", "", "why nothing was measured"),
    Field("kernels", "[qualified]", "", "what was measured"),
    Field("pairs", "[pair]", "", "every pair of measurements"),
    Field("points", "[point]", "", "what became of the pairs, by kernel, kind, slowdown and threshold"),
    Field("promises", "[promise]", "", "what the shares are to be, and whether they are"),
)

QUALIFIED: tuple[Field, ...] = (
    Field("name", "text", "", "short, medium or long"),
    Field("time", "value", "", "its time without a slowdown"),
    Field("iterations", "{int}", "", "iterations inside the kernel, by slowdown"),
)

PAIR: tuple[Field, ...] = (
    Field("kernel", "text", "", "name of the kernel"),
    Field("kind", "text", "", "allocations or processes: what was fresh for both"),
    Field("slowdown", "number", "1", "how much more work the new one has, as a share; 0: none (A/A)"),
    Field("ratio", "number?", "1", "time of the new one over that of the old one"),
    Field("low", "number?", "1", "lower end of the whole interval"),
    Field("high", "number?", "1", "upper end of the whole interval"),
    Field("verdicts", "{verdict}", "", "what is said of it, by threshold"),
    Field("reason", "reason?", "", "why it was not judged"),
)

POINT: tuple[Field, ...] = (
    Field("kernel", "text", "", "name of the kernel"),
    Field("kind", "text", "", "allocations or processes"),
    Field("slowdown", "number", "1", "how much more work the new one has, as a share; 0: none (A/A)"),
    Field("measured", "number?", "1", "how much slower the new ones were, over all pairs"),
    Field("threshold", "number", "1", "how much slower new may be"),
    Field("alarms", "share", "", "pairs that fail: false alarms at slowdown 0, else what was found"),
    Field("inconclusive", "share", "", "pairs that cannot be decided"),
    Field("unmeasured", "int", "", "pairs that were not measured; no share counts them"),
)

SHARE: tuple[Field, ...] = (
    Field("count", "int", "", "how many"),
    Field("of", "int", "", "of so many"),
    Field("low", "number", "1", "lower end of the exact 95 % interval of the probability"),
    Field("high", "number", "1", "upper end"),
)

PROMISE: tuple[Field, ...] = (
    Field("name", "text", "", "what is promised"),
    Field("kernel", "text", "", "of which kernel; empty: of all"),
    Field("slowdown", "number", "1", "of pairs with this slowdown"),
    Field("threshold", "number", "1", "at this threshold"),
    Field("outcome", "verdict", "", "what is counted: FAIL or INCONCLUSIVE"),
    Field("op", "text", "", "comparison"),
    Field("limit", "number", "1", "the share that is promised"),
    Field("share", "share", "", "what it came to"),
    Field("verdict", "verdict", "", "PASS and FAIL where the whole interval says so"),
)
