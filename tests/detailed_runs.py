"""A made run whose rows have all that details can show: a profiled pass, timelines, machine code, earlier runs."""

from __future__ import annotations

import random
from typing import Any

from run_files import assemble, case, reason

from pytest_gpuperf.report.history import Point

#: Names as compilers make them, long ones among them.
NAMES = (
    "_ZN6cudapy8__main__14pack_rows_bf16B2v1B3cw5EfLi1E5ArrayIfLi1E1C7mutable7alignedE",
    "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>, std::array<char*, 1ul>>(int, char*)",
    "_Z24a_name_that_is_quite_long_for_a_kernelPf",
    "mask",
    "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x4_tn",
)


def event(lane: str, kind: str, name: str, start: float, seconds: float) -> dict[str, Any]:
    """Return an event of a timeline."""
    return {"lane": lane, "kind": kind, "name": name, "start_s": start, "duration_s": seconds}


def call_timeline(kernels: int = 9, seed: int = 3) -> dict[str, Any]:
    """Return the timeline of one call: launches, work on two streams, a wait, ranges in ranges."""
    rng = random.Random(seed)
    events, at, ends = [], 0.0, {"stream 7": 0.0, "stream 13": 0.0}
    for number in range(kernels):
        call = rng.uniform(2e-6, 4e-6)
        copies = number % 4 == 3
        events.append(event("host", "api", "cuMemcpyDtoDAsync_v2" if copies else "cuLaunchKernel", at, call))
        lane = ("stream 7", "stream 13")[number % 2]
        start = max(at + call, ends[lane])
        took = rng.uniform(2e-6, 12e-6)
        events.append(event(lane, "memcpy" if copies else "kernel", "memcpy DTOD" if copies else NAMES[number % len(NAMES)], start, took))
        ends[lane], at = start + took, at + call + 3e-7
    end = max(ends.values())
    events.append(event("host", "wait", "cuStreamSynchronize", at, end - at))
    events += [event("ranges", "range", "compress", 0.0, end), event("ranges", "range", "mask", 0.0, at / 2), event("ranges", "range", "pack", at / 2, at / 2)]
    return {"source": "cupti", "span_s": end, "events": sorted(events, key=lambda one: one["start_s"])[:64], "more": max(0, len(events) - 64)}


def case_timeline() -> dict[str, Any]:
    """Return the host's side of a case."""
    steps = [("first call", 0.31, 0.42), ("early calls", 0.73, 0.002), ("host clock", 0.732, 0.06), ("samples", 0.792, 0.35), ("checks", 1.142, 0.003), ("profiled pass", 1.145, 0.08)]
    events = [event("ranges", "range", "make inputs", 0.01, 0.29), *(event("main", "step", *step) for step in steps), event("ranges", "range", "reference", 1.25, 0.2)]
    return {"source": "host", "span_s": 1.5, "events": events, "more": 0}


def compiled(name: str, registers: int = 40) -> dict[str, Any]:
    """Return what is known of a kernel's machine code."""
    quantities = {"registers": registers, "spills": 0, "occupancy": 62.5}
    return {
        "kernel": name, "arch": "sm_90", "signature": "void(float32[::1])", "block": 256, "dynamic_shared": 0, "measurements": ["main"], "quantities": quantities,
        "holes": {}, "code_hash": f"h{registers}", "toolchain": {"numba-cuda": "0.30"}, "mix": {}, "opcodes": None, "sass": None, "ptx": None, "error": None,
    }  # fmt: skip


def detailed(index: int, verdict: str, rng: random.Random, *, kernels: int = 9) -> dict[str, Any]:
    """Return a case with everything in its details."""
    made = case(index, verdict, rng)
    (one,) = made["measurements"]
    time = one["values"]["time"]["number"]
    values = {"launches": (kernels, "1"), "busy_time": (0.9 * time, "s"), "api_time": (1.4e-5, "s"), "first_call": (0.42, "s")}
    one["values"] |= {
        name: {"unit": unit, "source": "host" if name == "first_call" else "cupti", "number": number, "low": number, "high": number, "systematic": None, "reason": None} for name, (number, unit) in values.items()
    }
    shares = [rng.random() for _ in range(kernels)]
    rows = [{"name": f"{NAMES[place % len(NAMES)]}{'' if place < len(NAMES) else place}", "count": 1 + place % 3, "seconds": 0.9 * time * share / sum(shares)} for place, share in enumerate(shares)]
    one |= {"profile": {"source": "cupti", "calls": 8, "kernels": rows, "copies": [], "waits": [], "api": [], "memory": {}}, "timeline": call_timeline(kernels)}
    return made | {"ranges": case_timeline(), "compiled": [compiled("pack_rows", 40), compiled("mask", 32)]}


def detailed_run(count: int = 4, *, kernels: int = 9) -> dict[str, Any]:
    """Return a run: detailed cases, one that synchronises, and one of which nothing was profiled."""
    rng = random.Random(5)
    cases = [detailed(number, ("FAIL", "PASS", "INCONCLUSIVE")[number % 3], rng, kernels=kernels) for number in range(count)]
    waits = detailed(90, "PASS", rng, kernels=1)
    waits["measurements"][0]["values"]["time"] |= {"number": None, "low": None, "high": None, "reason": reason("sync")}
    waits["measurements"][0]["samples"] = None
    bare = case(91, "PASS", rng) | {"ranges": case_timeline()}
    return assemble([*cases, waits, bare])


def earlier(run: dict[str, Any], count: int = 24) -> dict[tuple[str, str], tuple[Point, ...]]:
    """Return times of earlier runs of every measurement that has a time: a step two thirds along, and noise."""
    rng = random.Random(9)
    found = {}
    for one in run["cases"]:
        for measurement in one["measurements"]:
            time = measurement["values"]["time"]["number"]
            if time is None:
                continue
            numbers = [time * (1 + rng.gauss(0, 0.004) - (0.05 if place < count * 2 / 3 else 0)) for place in range(count)]
            found[one["nodeid"], measurement["name"]] = tuple(
                Point(f"2026-{10 + place // 28:02}-{1 + place % 28:02}T10:15:00Z", f"{rng.getrandbits(48):012x}", place % 5 == 0, number, number * 0.996, number * 1.004)
                for place, number in enumerate(numbers)
            )
    return found
