"""The fields of every record of a run file, one row each; the validator is derived from these rows."""

from __future__ import annotations

from pytest_gpuperf.records.field import Field
from pytest_gpuperf.records.fields_based import BASE, BASED
from pytest_gpuperf.records.fields_budgets import BUDGET_FILE, FILED_LIMIT, KNOWN, TABLE
from pytest_gpuperf.records.fields_compiled import COMPILED
from pytest_gpuperf.records.fields_counted import COUNTED_RUN, COUNTER, HOLE, PROFILED, PROFILED_KERNEL
from pytest_gpuperf.records.fields_qualified import PAIR, POINT, PROMISE, QUALIFICATION, QUALIFIED, SHARE
from pytest_gpuperf.records.fields_timeline import EVENT, TIMELINE

__all__ = ["RECORDS", "Field"]

RUN_FILE: tuple[Field, ...] = (
    Field("schema", "int", "", "number of this schema"),
    Field("run", "run", "", "the session"),
    Field("devices", "[device]", "", "every device that a case was measured on"),
    Field("cases", "[case]", "", "every case that was started, in the order of collection"),
    Field("collected", "counts", "", "what the session's collection found, deselected ones included"),
    Field("deselected", "[counted]", "", "cases that were found and deselected, with the number of their budgets"),
    Field("account", "account", "", "what became of every collected budget"),
    Field("not_run", "[counted]", "", "cases that were collected and never started, with the number of their budgets", since=2),
    Field("notes", "[text]", "", "what the merge of the journals met: a truncated line, an unknown event", since=2),
    Field("problems", "[text]", "", "contradictions in the account; empty in a sound file", since=2),
    Field("sanitizer", "[any]", "", "what --gpuperf-sanitize found, a record a session; absent where it was not asked for", required=False),
    Field("qualification", "qualification", "", "what --gpuperf-qualify found; absent where it was not asked for", required=False),
    Field("base", "base", "", "the base of --gpuperf-base; absent where none was asked for", required=False),
    Field("counters", "counted run", "", "the run under ncu; absent where no case wanted counters", required=False),
    Field("budget_file", "budget file", "", "the file of budgets; absent where there was none", required=False),
)

RUN: tuple[Field, ...] = (
    Field("id", "text", "", "start time and process id"),
    Field("started", "text", "ISO 8601, UTC", "start of the session"),
    Field("ended", "text?", "ISO 8601, UTC", "end of the session; null where it was killed"),
    Field("complete", "bool", "", "false: made from the journal of a session that did not reach its end"),
    Field("argv", "[text]", "", "the command line"),
    Field("commit", "text?", "", "git commit of the project under test"),
    Field("dirty", "bool?", "", "tracked files differ from the commit"),
    Field("python", "text", "", "version of the interpreter"),
    Field("platform", "text", "", "operating system, its version and architecture"),
    Field("packages", "{text}", "", "installed versions of the packages that move a time or a bit"),
    Field("seed", "int?", "", "what the generators of Python, NumPy and torch were seeded from before each case; null where they were left alone"),
    Field("exit_status", "int?", "", "pytest's exit status; null where the session was killed"),
    Field("workers", "[text]", "", "main, or xdist's workers"),
    Field("exceeded", "[text]", "", "limits on changes, of --gpuperf-fail-on, that failed the session; absent where none did", required=False),
    Field("simulator", "bool", "", "numba's simulator was on"),
    Field("options", "{any}", "", "the plugin's options that were in force"),
)

DEVICE: tuple[Field, ...] = (
    Field("uuid", "text", "", "NVML's UUID"),
    Field("name", "text", "", "NVML's name"),
    Field("driver", "text?", "", "version of the driver"),
    Field("cuda", "text?", "", "CUDA version of the driver"),
    Field("memory_bytes", "int?", "B", "device memory"),
    Field("compute_capability", "text?", "", "as 9.0; null until the device was opened"),
    Field("sm_count", "int?", "", "streaming multiprocessors"),
    Field("l2_bytes", "int?", "B", "second-level cache"),
    Field("tick_s", "number?", "s", "step of the device's time stamps"),
    Field("sm_clock", "int?", "MHz", "what the multiprocessors run at when nothing holds them back", since=2),
    Field("calibration", "calibration?", "", "constants of the device clock; null where nothing was timed"),
)

CALIBRATION: tuple[Field, ...] = (
    Field("kernel_s", "number?", "s", "constant that is subtracted from a body of kernels"),
    Field("graph_s", "number?", "s", "constant that is subtracted from a graph replay"),
    Field("systematic_s", "number?", "s", "half-width of the constants' uncertainty"),
    Field("share_s", "number?", "s", "what a profiler counts of a launch beside the kernel's own span", required=False),
    Field("detail", "any", "", "how they were found"),
)

CASE: tuple[Field, ...] = (
    Field("nodeid", "text", "", "pytest's node id without xdist's group suffix"),
    Field("attempt", "int", "", "1, or more where the case ran again"),
    Field("device", "text?", "", "UUID of the device; null where none was used"),
    Field("source", "text?", "", "device, simulator or host: where the body ran"),
    Field("worker", "text", "", "main or xdist's worker"),
    Field("file", "text?", "", "file, relative to the root directory"),
    Field("line", "int?", "", "line of the test function, from 1"),
    Field("failed_line", "int", "", "last line of that file in the traceback of what the case raised, from 1; absent where it raised nothing there", required=False),
    Field("function", "text?", "", "name of the test function"),
    Field("parameters", "{text}", "", "parameters as text"),
    Field("numbers", "{number}", "", "those parameters that are plain numbers, as sizes", required=False),
    Field("started", "text?", "ISO 8601, UTC", "start of the case"),
    Field("duration_s", "number?", "s", "host time of the whole case; null where it was interrupted"),
    Field("outcome", "text?", "", "passed, failed or skipped; null where it was interrupted"),
    Field("verdict", "verdict", "", "the worst of its parts"),
    Field("reasons", "[reason]", "", "why the verdict is not PASS"),
    Field("error", "text?", "", "text of the failure"),
    Field("checks", "[check]", "", "identity checks"),
    Field("budgets", "[budget]", "", "limits that were judged, or why not"),
    Field("measurements", "[measurement]", "", "what was measured"),
    Field("compiled", "[compiled]", "", "kernels that were compiled for it without being launched; absent where none were", required=False),
    Field("comparisons", "[comparison]", "", "versions that were held against each other; absent where none were", required=False),
    Field("ranges", "timeline", "", "what its measurements did when, and the ranges that it opened, on the host; absent where nothing was heard", required=False),
)

COMPARISON: tuple[Field, ...] = (
    Field("name", "text", "", "name within the case; its measurements are named NAME/VERSION"),
    Field("quantity", "text", "", "time, or wall_time where a version synchronises"),
    Field("source", "text", "", "device or host"),
    Field("versions", "[text]", "", "names of the versions, as they were given"),
    Field("seed", "int", "", "seed of the blocks and of the bootstrap"),
    Field("blocks", "int", "", "number of blocks; the samples of a version by block are the rounds of its measurement"),
    Field("order", "[[int]]", "", "order of the versions, by number from 0, in every block"),
    Field("ratios", "[ratio]", "", "speedups of every version over the first, and those that were asked for"),
    Field("notes", "[text]", "", "what a reader must know"),
)

RATIO: tuple[Field, ...] = (
    Field("of", "text", "", "the version whose time divides"),
    Field("over", "text", "", "the version whose time is divided"),
    Field("value", "value", "", "the speedup: the bootstrap's interval over blocks is low and high"),
)

REASON: tuple[Field, ...] = (
    Field("code", "text", "", "row of REASONS"),
    Field("verdict", "verdict", "", "the verdict that it leads to"),
    Field("sentence", "text", "", "what happened"),
    Field("next_step", "text", "", "what to do"),
    Field("subject", "text?", "", "measurement and quantity that it is about", required=False),
)

CHECK: tuple[Field, ...] = (
    Field("kind", "text", "", "identical, close or outputs"),
    Field("name", "text?", "", "what was checked"),
    Field("verdict", "verdict", "", "PASS or FAIL"),
    Field("detail", "text?", "", "what was compared, or the first difference"),
)

BUDGET: tuple[Field, ...] = (
    Field("measurement", "text?", "", "name of the measurement"),
    Field("quantity", "text", "", "row of METRICS"),
    Field("statistic", "text?", "", "p50, p95 or p99"),
    Field("text", "text", "", "the limit as its author wrote it"),
    Field("op", "text?", "", "comparison"),
    Field("limit", "number?", "unit", "the limit in `unit`"),
    Field("unit", "text?", "", "SI unit, % or x roof"),
    Field("glob", "text?", "", "glob of device names that chose the limit"),
    Field("origin", "text?", "", "where the limit was written"),
    Field("verdict", "verdict", "", "what became of it"),
    Field("reason", "reason?", "", "why it is neither PASS nor FAIL"),
    Field("value", "number?", "unit", "what was held against the limit"),
    Field("low", "number?", "unit", "lower end of its interval"),
    Field("high", "number?", "unit", "upper end of its interval"),
    Field("margin", "number?", "1", "relative distance of the value to the limit; negative: violated"),
    Field("message", "text?", "", "the verdict as a line of text"),
    Field("subject", "text", "", "kernel and architecture that a limit on machine code was held against", required=False),
    Field("counter", "text", "", "full name of the counter, where the quantity is a short one", required=False),
    Field("note", "text", "", "what the file of budgets says beside it; absent for a limit that stands in the test", required=False),
    Field("known", "known", "", "the known miss that is about it; absent where there is none", required=False),
)

VALUE: tuple[Field, ...] = (
    Field("unit", "text", "", "SI unit, % or x roof"),
    Field("source", "text?", "", "which clock or tool it comes from"),
    Field("number", "number?", "unit", "the value; null with a reason"),
    Field("low", "number?", "unit", "lower end of the random interval"),
    Field("high", "number?", "unit", "upper end of the random interval"),
    Field("systematic", "number?", "unit", "half-width of the calibration's uncertainty"),
    Field("reason", "reason?", "", "why there is no number, or why it cannot decide"),
    Field("samples", "int?", "", "samples behind the value", required=False),
)

MEASUREMENT: tuple[Field, ...] = (
    Field("name", "text", "", "name within the case"),
    Field("slug", "text?", "", "name of its NVTX range without special characters"),
    Field("cache", "text?", "", "cold, warm, cold-dirty or steady"),
    Field("body", "text?", "", "kernel, graph or unknown"),
    Field("stream", "int?", "", "handle of the stream"),
    Field("work", "work?", "", "what its author says that it must move"),
    Field("values", "{value}", "", "by quantity, with .p95 and .p99 for tails"),
    Field("bound", "text?", "", "what the roof is of, as bytes or bf16 FLOP; absent where none was asked for", required=False),
    Field("roofs", "[roof]", "", "roofs that were measured for it; absent where none was asked for", required=False),
    Field("samples", "samples?", "", "raw samples; null where none were taken"),
    Field("duty", "text?", "", "spaced, or sustained: without gaps, on a device that works throughout", since=2),
    Field("state", "text?", "", "what limits the clock in every round that counts, as power-limited; null where nothing does", since=2),
    Field("evidence", "[evidence]", "", "state of the machine, one a round; the rounds of samples are those that were not discarded, in order"),
    Field("code", "text?", "", "hash of what its kernels were compiled to; null where that is not known", since=2),
    Field("digest", "text?", "", "digest of the outputs"),
    Field("checked", "text?", "", "which samples' outputs were digested"),
    Field("varies", "bool", "", "outputs may differ between calls"),
    Field("notes", "[text]", "", "what a reader must know"),
    Field("nvtx", "text?", "", "its NVTX range; null where NVTX is not there"),
    Field("waited", "waited?", "", "how long it waited for the device, and for whom"),
    Field("inputs", "int?", "", "argument sets that were rotated"),
    Field("wall_s", "number?", "s", "host time of the whole measurement"),
    Field("selfcheck", "selfcheck?", "", "the device clock held against CUPTI; null where that was not done", required=False),
    Field("profile", "any", "", "what the profiled pass saw: kernels, copies, calls that wait with their lines, memory", required=False),
    Field("timeline", "timeline", "", "the last call of the profiled pass; absent where no pass was taken", required=False),
    Field("counters", "{counter}", "", "hardware counters of one call in a profiled run, by ncu's full name", required=False),
    Field("profiled", "profiled", "", "where these counters come from; absent where the body was not profiled", required=False),
    Field("base", "based", "", "what came of its turns with the base; absent where it took none", required=False),
    Field("failure", "text?", "", "what made the measurement fail, as outputs that changed between calls", required=False),
)

SELFCHECK: tuple[Field, ...] = (
    Field("device", "number?", "s", "centre of the device clock's calls; null where nothing was compared"),
    Field("cupti", "number?", "s", "median of the calls that CUPTI recorded"),
    Field("low", "number?", "s", "least difference, CUPTI less device, at which they agree"),
    Field("high", "number?", "s", "largest such difference"),
    Field("calls", "int", "", "calls that CUPTI recorded"),
    Field("seconds", "number", "s", "host time of the check"),
    Field("why", "text", "", "why nothing was compared; empty where it was"),
    Field("agrees", "bool", "", "the difference is within these bounds, or nothing was compared"),
)

ROOF: tuple[Field, ...] = (
    Field("of", "text", "", "bytes, reads, flops or zeros (operations on zeros)"),
    Field("how", "text", "", "by which of our kernels, in which launch"),
    Field("time", "value", "", "its time; null with a reason"),
)

WORK: tuple[Field, ...] = (
    Field("reads", "int", "B", "bytes that a call must read"),
    Field("writes", "int", "B", "bytes that a call must write"),
    Field("flops", "int", "1", "operations that a call must do"),
    Field("kind", "text", "", "their arithmetic"),
)

SAMPLES: tuple[Field, ...] = (
    Field("unit_s", "number", "s", "unit of the integers in rounds"),
    Field("constant", "number", "unit_s", "constant of the clock: time = (raw - constant) / batch"),
    Field("batch", "int", "", "calls in a sample"),
    Field("rounds", "[[int]]", "unit_s", "raw samples of every round"),
    Field("discarded", "int", "", "samples that were taken and not kept"),
)

EVIDENCE: tuple[Field, ...] = (
    Field("sm_clock", "int?", "MHz", "clock of the multiprocessors"),
    Field("memory_clock", "int?", "MHz", "clock of the memory"),
    Field("temperature", "int?", "degrees Celsius", "temperature"),
    Field("power", "number?", "W", "power draw"),
    Field("throttle", "int?", "", "bit mask of NVML's clock event reasons"),
    Field("utilization", "int?", "%", "utilisation in NVML's last period"),
    Field("processes", "[int]?", "", "process ids of others on the device"),
    Field("violations", "{number}?", "s", "by how much NVML's counters of time with a limited clock grew, by cause", required=False),
    Field("effective_clock", "number?", "MHz", "cycles over time of one multiprocessor, between stamps at both ends of the round", required=False),
    Field("discarded", "text?", "", "why the round does not count; null where it does", required=False),
)

WAITED: tuple[Field, ...] = (
    Field("seconds", "number", "s", "time spent waiting"),
    Field("for", "text?", "", "who held the device"),
)

COUNTS: tuple[Field, ...] = (Field("cases", "int", "", "cases"), Field("budgets", "int", "", "budgets"))

COUNTED: tuple[Field, ...] = (Field("nodeid", "text", "", "the case"), Field("budgets", "int", "", "number of its budgets"))

ACCOUNT: tuple[Field, ...] = (
    Field("collected", "int", "", "all budgets; the sum of the others"),
    Field("PASS", "int", "", "judged and kept"),
    Field("FAIL", "int", "", "judged and exceeded"),
    Field("INCONCLUSIVE", "int", "", "measured; the evidence cannot decide"),
    Field("UNMEASURED", "int", "", "could not be measured, or never ran"),
    Field("NOT-APPLICABLE", "int", "", "for another device"),
    Field("deselected", "int", "", "of cases that were deselected"),
)

#: Every record by the name that a type uses.
RECORDS: dict[str, tuple[Field, ...]] = {
    "run file": RUN_FILE,
    "run": RUN,
    "device": DEVICE,
    "calibration": CALIBRATION,
    "case": CASE,
    "comparison": COMPARISON,
    "ratio": RATIO,
    "reason": REASON,
    "check": CHECK,
    "budget": BUDGET,
    "known": KNOWN,
    "budget file": BUDGET_FILE,
    "table": TABLE,
    "filed limit": FILED_LIMIT,
    "value": VALUE,
    "measurement": MEASUREMENT,
    "selfcheck": SELFCHECK,
    "roof": ROOF,
    "work": WORK,
    "samples": SAMPLES,
    "evidence": EVIDENCE,
    "waited": WAITED,
    "counts": COUNTS,
    "counted": COUNTED,
    "account": ACCOUNT,
    "base": BASE,
    "based": BASED,
    "qualification": QUALIFICATION,
    "qualified": QUALIFIED,
    "pair": PAIR,
    "point": POINT,
    "share": SHARE,
    "promise": PROMISE,
    "compiled": COMPILED,
    "counter": COUNTER,
    "profiled": PROFILED,
    "profiled kernel": PROFILED_KERNEL,
    "counted run": COUNTED_RUN,
    "hole": HOLE,
    "timeline": TIMELINE,
    "event": EVENT,
}
