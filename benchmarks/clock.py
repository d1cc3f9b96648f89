"""The clock's table: one numba copy kernel of 2^10 to 2^28 floats, this clock beside its peers and its oracles, in one run on one GPU.

Oracles: CUPTI's kernel records in the same cache state while the footprint is under half the L2; above it back-to-back launches, which nothing
perturbs; for `cold` from 5 us up also ncu's gpu__time_duration with its cache control. CUPTI records only after everything else was read, since
it slows large kernels down. `python benchmarks/clock.py --json FILE --markdown FILE` needs a GPU, numba-cuda and torch; a peer that is not there
is a column of reasons.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import statistics
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clock_kernel import POWERS, footprint, make_body, make_current, make_kernel
from clock_peers import PEERS, ask_cuda_bench, ask_ncu
from clock_table import lines_of, page_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.backend import Backend

STATES = ("warm", "cold", "cold-dirty")
_RECORDS = 60
_LAUNCHES = 1000
#: numba's launch costs the host 20 us: a shorter kernel is queued behind a held stream, or the loop would time the host.
_HOST_BOUND = 40e-6
_QUEUE = 500
#: Up to this size cuda-bench runs in three processes: how far one process is from the next.
_SMALL = 17


def main() -> None:
    """Measure everything, print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--markdown", type=Path, default=None)
    parser.add_argument("--powers", default=",".join(map(str, POWERS)), help="sizes as powers of two, comma-separated")
    parser.add_argument("--skip", default="", help="peers to leave out, comma-separated: " + ", ".join([*(one.name for one in PEERS), "cuda-bench", "ncu", "cupti"]))
    arguments = parser.parse_args()
    powers = tuple(int(one) for one in arguments.powers.split(","))
    found = measure(powers, frozenset(arguments.skip.split(",")))
    print("\n".join(lines_of(found)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if arguments.markdown is not None:
        arguments.markdown.write_text(page_of(found), encoding="utf-8")


def measure(powers: tuple[int, ...], skip: frozenset[str]) -> dict[str, Any]:
    """Return everything that the table shows, in seconds and bytes."""
    import pytest_gpuperf
    from pytest_gpuperf.device.discovery import open_backend
    from pytest_gpuperf.reasons import Reason

    os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")
    backend = open_backend()
    if isinstance(backend, Reason):
        sys.exit(str(backend))
    # First, each in a process of its own: what they do to the device is over when ours is read.
    cuda_bench, cuda_bench_s, no_cuda_bench = ({}, 0.0, "left out") if "cuda-bench" in skip else ask_cuda_bench(powers)
    small = tuple(power for power in powers if power <= _SMALL)
    again = [] if "cuda-bench" in skip else [ask_cuda_bench(small)[0] for _ in range(2)]
    ncu, no_ncu = ({}, "left out") if "ncu" in skip else ask_ncu(powers)
    ncu_warm, _ = ({}, "") if "ncu" in skip else ask_ncu(small, "none")
    kernel = make_kernel()
    bodies = {power: make_body(kernel, power) for power in powers}
    rows: dict[int, dict[str, Any]] = {power: {"power": power, "footprint": footprint(power), "peers": {}} for power in powers}
    with pytest_gpuperf.session(backend) as gpuperf:
        limits = backend.open()
        gpuperf.measure(bodies[powers[0]][0], *bodies[powers[0]][1:], name="opens the device")
        for power, body in bodies.items():
            rows[power] |= ours(gpuperf, power, body, limits.l2_bytes)
        for power, body in bodies.items():
            rows[power]["back_to_back"] = back_to_back(backend, body, rows[power]["ours"]["warm"]["time"])
        for power, body in bodies.items():
            plain, current = functools.partial(*body), make_current(kernel, body)
            for peer in PEERS:
                if peer.name not in skip:
                    call = current if peer.captures else plain
                    rows[power]["peers"][peer.name] = asked(functools.partial(peer.read, call)) | {"cache": peer.cache}
        alone = {power: read_all(backend, body) for power, body in bodies.items()}
        cupti, no_cupti = ({}, "left out") if "cupti" in skip else records(bodies, backend)
        beside = {} if no_cupti else {power: read_all(backend, body) for power, body in bodies.items()}
        stop_records()
        tools = gpuperf._runtime.device_record()  # noqa: SLF001 - a benchmark of this project
    for power, row in rows.items():
        row["peers"]["cuda-bench"] = {"seconds": cuda_bench.get(power), "why": no_cuda_bench, "cache": "cold-dirty"}
        row["ncu"] = {"seconds": ncu.get(power), "warm": ncu_warm.get(power), "why": no_ncu}
        row["cuda_bench_again"] = [one.get(power) for one in again]
        row["recording_adds"] = {state: beside[power][state] - alone[power][state] if beside else None for state in STATES}
        row["cupti"] = {state: {"seconds": cupti.get((power, state)), "why": no_cupti} for state in STATES}
    return {
        "device": {"name": backend.facts.name, "driver": backend.facts.driver, "l2_bytes": limits.l2_bytes, "calibration": tools.get("calibration")},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": os.environ.get("GPUPERF_COMMIT", ""),
        "versions": {name: _version(name) for name in ("torch", "triton", "numba-cuda", "cupy-cuda13x", "cuda-bench", "cupti-python")},
        "cuda_bench_wall_s": cuda_bench_s,
        "rows": list(rows.values()),
    }


def ours(gpuperf: Any, power: int, body: tuple[Any, Any, Any], l2_bytes: int) -> dict[str, Any]:
    """Return our readings of one size in every cache state, with what each `measure` took by the host's clock."""
    from pytest_gpuperf import Work

    launch, source, target = body
    found = {}
    for state in (*STATES, "steady"):
        if state == "steady" and footprint(power) < 4 * l2_bytes:
            continue
        began = time.perf_counter()
        work = Work(reads=footprint(power) // 2, writes=footprint(power) // 2)
        m = gpuperf.measure(launch, source, target, outputs=[target], work=work, cache=state, name=f"{power} {state}")
        wall = time.perf_counter() - began
        samples = m.details["samples"]
        raw = None if samples is None else statistics.median(one for part in samples["rounds"] for one in part) * samples["unit_s"]
        low, high = m.time.bounds
        reason = m.time.reason
        found[state] = {
            "time": m.time.point, "low": low, "high": high, "raw": raw, "wall": wall, "body": m.details["body"],
            "samples": m.time.samples, "reason": str(reason) if reason else None,
        }  # fmt: skip
    return {"ours": found}


def back_to_back(backend: Backend, body: tuple[Any, Any, Any], about: float) -> float:
    """Return the seconds a launch of 1000 back to back: a plain loop, or where the host is slower than the kernel two held queues of 500."""
    from pytest_gpuperf.timing.clock import Stopwatch

    launch, source, target = body
    start, end = backend.event(), backend.event()
    if about > _HOST_BOUND:
        for _ in range(20):
            launch(source, target)
        backend.record(start, 0)
        for _ in range(_LAUNCHES):
            launch(source, target)
        backend.record(end, 0)
        backend.wait(end)
        return backend.elapsed(start, end) / _LAUNCHES
    watch = Stopwatch(backend)

    def queue() -> None:
        for _ in range(_QUEUE):
            launch(source, target)

    queue()
    readings = [watch.read(watch.start(queue, 0, 5.0)) for _ in range(_LAUNCHES // _QUEUE)]
    watch.close()
    return sum(readings) / _LAUNCHES


def asked(read: Callable[[], float]) -> dict[str, Any]:
    """Return a peer's seconds, or why there are none, with what it took."""
    began = time.perf_counter()
    try:
        seconds, why = read(), ""
    except Exception as error:  # noqa: BLE001 - a peer that fails is told, and the others go on
        traceback.print_exc()
        seconds, why = None, f"{type(error).__name__}: {error}".splitlines()[0]
    return {"seconds": seconds, "why": why, "wall": time.perf_counter() - began}


def records(bodies: dict[int, tuple[Any, Any, Any]], backend: Backend) -> tuple[dict[tuple[int, str], float], str]:
    """Return CUPTI's medians in seconds by size and cache state, and why there are none."""
    try:
        from cupti import cupti
    except ImportError as error:
        return {}, str(error)
    from pytest_gpuperf.stats import grouped_percentile
    from pytest_gpuperf.timing.cache import Flusher

    limits = backend.open()
    flusher = Flusher(backend, limits)
    seen: list[tuple[int, int]] = []

    def completed(activities: list[Any]) -> None:
        seen.extend((one.start, one.end) for one in activities if "copy_kernel" in str(one.name))

    cupti.activity_register_callbacks(lambda: (8 << 20, 0), completed)
    cupti.activity_enable(cupti.ActivityKind.CONCURRENT_KERNEL)
    found = {}
    for power, (launch, source, target) in bodies.items():
        before = {"warm": lambda launch=launch, source=source, target=target: launch(source, target), "cold": lambda: flusher.clean(0), "cold-dirty": lambda: flusher.dirty(0)}
        for state in STATES:
            backend.synchronize()
            cupti.activity_flush_all(1)
            seen.clear()
            for _ in range(_RECORDS):
                before[state]()
                launch(source, target)
                backend.synchronize()
            cupti.activity_flush_all(1)
            times = [(end - start) * 1e-9 for start, end in sorted(seen)]
            times = times[1::2] if state == "warm" else times
            if len(times) == _RECORDS:
                found[power, state] = grouped_percentile(times, 0.5, limits.tick)
    flusher.close()
    return found, "" if found else "CUPTI gave no records"


def stop_records() -> None:
    """Let CUPTI record nothing any more."""
    cupti: Any = sys.modules.get("cupti.cupti")
    if cupti is not None:
        cupti.activity_disable(cupti.ActivityKind.CONCURRENT_KERNEL)


def read_all(backend: Backend, body: tuple[Any, Any, Any]) -> dict[str, float]:
    """Return raw readings of our clock by cache state, in seconds: taken with CUPTI off and on, they tell what its recording costs the kernel."""
    from pytest_gpuperf.stats import grouped_percentile
    from pytest_gpuperf.timing.cache import Flusher
    from pytest_gpuperf.timing.clock import Stopwatch

    limits = backend.open()
    flusher, watch = Flusher(backend, limits), Stopwatch(backend)
    call = functools.partial(*body)
    before: dict[str, Callable[[], Any]] = {"warm": call, "cold": lambda: flusher.clean(0), "cold-dirty": lambda: flusher.dirty(0)}
    found = {}
    for state in STATES:
        readings = []
        for _ in range(_RECORDS):
            before[state]()
            reading = watch.start(call, 0, 1.0, runway=state == "warm")
            backend.synchronize(0)
            readings.append(watch.read(reading))
        found[state] = grouped_percentile(readings, 0.5, limits.tick)
    watch.close()
    flusher.close()
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
