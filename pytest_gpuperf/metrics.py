"""METRICS: every quantity that a measurement can know, one row each."""

from __future__ import annotations

import dataclasses
import difflib

#: Seconds, bytes and operations per second, and counts, by the spelling that a budget may use.
UNITS: dict[str, dict[str, float]] = {
    "s": {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0},
    "B": {
        "B": 1.0,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    },
    "B/s": {
        "B/s": 1.0,
        "kB/s": 1e3,
        "KB/s": 1e3,
        "MB/s": 1e6,
        "GB/s": 1e9,
        "TB/s": 1e12,
        "KiB/s": 2.0**10,
        "MiB/s": 2.0**20,
        "GiB/s": 2.0**30,
        "TiB/s": 2.0**40,
    },
    "FLOP/s": {"FLOP/s": 1.0, "MFLOP/s": 1e6, "GFLOP/s": 1e9, "TFLOP/s": 1e12, "PFLOP/s": 1e15, "GFLOPS": 1e9, "TFLOPS": 1e12, "PFLOPS": 1e15},
    "%": {"%": 1.0},
}

#: Percentiles: how many undiscarded samples a two-sided 95 % interval of each needs (q**n <= 0.025).
TAIL_SAMPLES = {"p95": 72, "p99": 368}

STATISTICS = ("p50", *TAIL_SAMPLES)


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """One quantity: its SI unit, which statistics it has, what it may be held against and what it means.

    `relative` are the relative units that a budget may use, `exact` is True for counts, `better` the good direction. Rows of the source `ncu` are
    hardware counters by their short names; what Nsight Compute calls them stands in COUNTERS. Those of the source `compiler` are facts of the machine
    code, a number for each kernel and architecture.
    """

    name: str
    unit: str
    better: str
    statistics: tuple[str, ...]
    relative: tuple[str, ...]
    source: str
    meaning: str
    exact: bool = False


METRICS: tuple[Metric, ...] = (
    Metric("time", "s", "less", STATISTICS, ("%", "x roof"), "device", "GPU duration of one call of the body, as a profiler counts it"),
    Metric("bandwidth", "B/s", "more", ("p50",), ("%",), "device", "bytes of Work over time; % is of the roof of the same cache state"),
    Metric("tflops", "FLOP/s", "more", ("p50",), ("%",), "device", "operations of Work over time; % is of the rate of our own kernel with as many of that kind"),
    Metric("host_time", "s", "less", STATISTICS, (), "host", "time until the call returns to the host"),
    Metric("wall_time", "s", "less", STATISTICS, (), "host", "time from the call until the device is idle"),
    Metric("first_call", "s", "less", ("p50",), (), "host", "wall time of the first call in this process: compiling, loading, tuning"),
    Metric("launches", "1", "less", ("p50",), (), "cupti", "kernels that one call of the body launches; without CUPTI counted from one captured call", exact=True),
    Metric("kernels", "1", "less", ("p50",), (), "cupti", "different kernels, by name, that one call launches", exact=True),
    Metric("memcpys", "1", "less", ("p50",), (), "cupti", "copies of memory that one call starts", exact=True),
    Metric("memsets", "1", "less", ("p50",), (), "cupti", "memsets that one call starts", exact=True),
    Metric("synchronizations", "1", "less", ("p50",), (), "cupti", "calls of CUDA in which the host waits for the device, also those that C code makes", exact=True),
    Metric("api_calls", "1", "less", ("p50",), (), "cupti", "calls of the CUDA driver and runtime that one call makes", exact=True),
    Metric("api_time", "s", "less", ("p50",), (), "cupti", "host time inside those calls, while CUPTI records"),
    Metric("busy_time", "s", "less", ("p50",), (), "cupti", "time in which the device works for one call, less the gaps, while CUPTI records"),
    Metric("peak_memory", "B", "less", ("p50",), (), "cupti", "device memory above the entry that one call holds at most", exact=True),
    Metric("dram_write", "B", "less", ("p50",), (), "ncu", "bytes written to DRAM", exact=True),
    Metric("dram_read", "B", "less", ("p50",), (), "ncu", "bytes read from DRAM", exact=True),
    Metric("l2_write_sectors", "1", "less", ("p50",), (), "ncu", "sectors of 32 bytes that L2 was asked to write", exact=True),
    Metric("l2_read_sectors", "1", "less", ("p50",), (), "ncu", "sectors of 32 bytes that L2 was asked to read", exact=True),
    Metric("global_load_sectors", "1", "less", ("p50",), (), "ncu", "sectors of 32 bytes that loads from global memory asked L1 for", exact=True),
    Metric("global_store_sectors", "1", "less", ("p50",), (), "ncu", "sectors of 32 bytes that stores to global memory sent to L1", exact=True),
    Metric("local_bytes", "B", "less", ("p50",), (), "ncu", "bytes that loads and stores of local memory moved at L1: spills and arrays that found no registers", exact=True),
    Metric("bank_conflicts", "1", "less", ("p50",), (), "ncu", "bank conflicts of shared memory", exact=True),
    Metric("warps", "1", "less", ("p50",), (), "ncu", "warps launched", exact=True),
    Metric("dram_pct", "%", "more", ("p50",), (), "ncu", "throughput of DRAM, of its peak, over the time of the kernels"),
    Metric("sm_pct", "%", "more", ("p50",), (), "ncu", "throughput of the multiprocessors, of their peak, over the time of the kernels"),
    Metric("achieved_occupancy", "%", "more", ("p50",), (), "ncu", "warps resident on a multiprocessor while it was active, of the most it can hold"),
    Metric("registers", "1", "less", ("p50",), (), "compiler", "registers a thread has", exact=True),
    Metric("spills", "B", "less", ("p50",), (), "compiler", "bytes that registers are spilled to and filled from, a thread", exact=True),
    Metric("stack", "B", "less", ("p50",), (), "compiler", "bytes of a thread's stack frame", exact=True),
    Metric("shared", "B", "less", ("p50",), (), "compiler", "bytes of shared memory that the kernel declares, a block", exact=True),
    Metric("local", "B", "less", ("p50",), (), "compiler", "bytes of local memory, a thread", exact=True),
    Metric("barriers", "1", "less", ("p50",), (), "compiler", "barriers that a block uses", exact=True),
    Metric("instructions", "1", "less", ("p50",), (), "compiler", "instructions of the machine code (SASS)", exact=True),
    Metric("loads_128", "1", "more", ("p50",), (), "compiler", "instructions that load 16 bytes a thread from global memory", exact=True),
    Metric("loads_32", "1", "less", ("p50",), (), "compiler", "instructions that load 4 bytes a thread from global memory", exact=True),
    Metric("stores_128", "1", "more", ("p50",), (), "compiler", "instructions that store 16 bytes a thread to global memory", exact=True),
    Metric("fma", "1", "less", ("p50",), (), "compiler", "fused products and sums outside of the tensor cores", exact=True),
    Metric("mufu", "1", "less", ("p50",), (), "compiler", "instructions of the special-function unit: reciprocals, roots, exponentials, logarithms, sines", exact=True),
    Metric("tensor", "1", "more", ("p50",), (), "compiler", "instructions of the tensor cores", exact=True),
    Metric("f64", "1", "less", ("p50",), (), "compiler", "arithmetic in float64, and conversions from and to it", exact=True),
    Metric("occupancy", "%", "more", ("p50",), (), "compiler", "warps that a multiprocessor can hold at the launch's block and shared memory, of the most it can hold", exact=True),
)

#: What a comparison knows of two versions; no measurement has it, so it is no row of METRICS.
SPEEDUP = Metric("speedup", "x", "more", ("p50",), (), "device", "time of one version over the time of another, interleaved")

_BY_NAME = {row.name: row for row in METRICS}


def nearest(name: str, names: list[str] | tuple[str, ...]) -> str:
    """Return "; nearest 'x'" for the nearest valid name, or the valid names where none is near.

    >>> nearest("tiem", ["time", "bandwidth"])
    "; nearest 'time'"
    """
    spellings = {one.casefold(): one for one in reversed(names)}
    near = difflib.get_close_matches(name.casefold(), spellings, 1, 0.5)
    return f"; nearest {spellings[near[0]]!r}" if near else f"; valid: {', '.join(names)}"


def metric(name: str) -> Metric | None:
    """Return the row of a quantity, or None."""
    return _BY_NAME.get(name)


def metric_names() -> tuple[str, ...]:
    """Return every quantity's name, in the order of METRICS."""
    return tuple(_BY_NAME)


def is_compiled(name: str) -> bool:
    """Say whether a quantity is a fact of machine code: it has a number for each kernel and architecture, and needs no GPU.

    >>> is_compiled("registers"), is_compiled("time"), is_compiled("dram__bytes_write.sum")
    (True, False, False)
    """
    row = metric(name)
    return row is not None and row.source == "compiler"
