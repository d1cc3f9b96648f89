"""The fields of what the profiled run counted: of a measurement, of its kernels, and of the run under ncu itself."""

from __future__ import annotations

from pytest_gpuperf.records.field import Field

COUNTER: tuple[Field, ...] = (
    Field("number", "number?", "unit", "the value; null with a reason"),
    Field("unit", "text", "", "unit that ncu gives it, less its prefix"),
    Field("how", "text?", "", "how several kernels became one number: summed, or weighted by their times"),
    Field("reason", "reason?", "", "why there is no number, or why it cannot decide"),
)

PROFILED: tuple[Field, ...] = (
    Field("slug", "text", "", "name of its NVTX range, by which the report is filtered"),
    Field("report", "text?", "", "name of the .ncu-rep, beside the page; null where none was kept"),
    Field("command", "text?", "", "the command that opens its kernels in that report"),
    Field("kernels", "[profiled kernel]", "", "what ran in the range, in order"),
    Field("age_s", "number?", "s", "how long before this run it was profiled; null where it was for this run"),
)

PROFILED_KERNEL: tuple[Field, ...] = (
    Field("name", "text", "", "name of the kernel, or range"),
    Field("time_s", "number?", "s", "its time under ncu, by which ratios are weighted; no measured time"),
    Field("values", "{number?}", "", "its own numbers, by counter"),
)

COUNTED_RUN: tuple[Field, ...] = (
    Field("ncu", "text?", "", "version of ncu; null where it did not run"),
    Field("road", "text?", "", "what read its report: ncu-report or csv"),
    Field("replay", "text?", "", "how passes were repeated: kernel or app-range"),
    Field("starts", "int", "", "how often ncu was started"),
    Field("wall_s", "number?", "s", "host time of it all"),
    Field("cases", "int", "", "cases that were profiled"),
    Field("reports", "[text]", "", "names of the .ncu-rep files, beside the page"),
    Field("hole", "hole?", "", "why nothing was counted"),
)

HOLE: tuple[Field, ...] = (Field("code", "text", "", "row of REASONS"), Field("detail", "text", "", "what happened"))
