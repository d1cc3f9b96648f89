"""The peers of the clock's table: each public timer on the same kernel, as its documentation tells to use it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """One row of PEERS: its name, the cache state that its readings are in, how it reads one body, in seconds, and whether it captures it."""

    name: str
    cache: str
    read: Callable[[Callable[[], Any]], float]
    captures: bool = False


def _events(body: Callable[[], Any]) -> float:
    """Return the median of an event pair around each call: what most scripts do."""
    import torch

    times = []
    for _ in range(60):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        body()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e-3)
    return statistics.median(times[10:])


def _do_bench(body: Callable[[], Any]) -> float:
    from triton.testing import do_bench

    return float(do_bench(body, return_mode="median")) * 1e-3


def _do_bench_cudagraph(body: Callable[[], Any]) -> float:
    import torch
    from triton.testing import do_bench_cudagraph

    with torch.cuda.stream(torch.cuda.Stream()):
        return float(do_bench_cudagraph(body, return_mode="median")) * 1e-3


def _torch_benchmark(body: Callable[[], Any]) -> float:
    from torch.utils.benchmark import Timer

    return float(Timer("body()", globals={"body": body}).blocked_autorange(min_run_time=0.2).median)


def _named(body: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that does the same: cupyx reads its name, and a partial has none."""

    def call() -> Any:
        return body()

    return call


def _cupyx(body: Callable[[], Any]) -> float:
    from cupyx.profiler import benchmark

    return float(statistics.median(benchmark(_named(body), n_repeat=60, n_warmup=10).gpu_times[0]))


PEERS: tuple[Peer, ...] = (
    Peer("events", "warm", _events),
    Peer("do_bench", "cold-dirty", _do_bench),
    Peer("do_bench_cudagraph", "warm", _do_bench_cudagraph, captures=True),
    Peer("torch.benchmark", "warm", _torch_benchmark),
    Peer("cupyx", "warm", _cupyx),
)


def ask_cuda_bench(powers: tuple[int, ...]) -> tuple[dict[int, float], float, str]:
    """Return cuda-bench's cold medians in seconds by size, what the whole took, and why there are none."""
    import time

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        command = [sys.executable, str(HERE / "clock_cuda_bench.py"), ",".join(map(str, powers)), "--json", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
        if done.returncode or not path.exists():
            return {}, took, _last_line(done)
        found = {}
        for state in json.loads(path.read_text(encoding="utf-8"))["benchmarks"][0]["states"]:
            power = next(int(axis["value"]) for axis in state["axis_values"] if axis["name"] == "power")
            for summary in state["summaries"] or ():
                if summary["tag"] == "nv/cold/time/gpu/median":
                    found[power] = float(next(one["value"] for one in summary["data"] if one["name"] == "value"))
        return found, took, "" if found else "no cold medians in its file"


def ask_ncu(powers: tuple[int, ...], control: str = "all") -> tuple[dict[int, float], str]:
    """Return ncu's gpu__time_duration in seconds by size, its clock control off and its cache control `all` (cold) or `none`, and why there are none."""
    ncu = shutil.which("ncu")
    if ncu is None:
        return {}, "no ncu on the PATH"
    command = [
        ncu, "--config-file", "off", "--target-processes", "application-only", "--clock-control", "none", "--cache-control", control,
        "--kernel-name", "regex:copy_kernel", "--metrics", "gpu__time_duration.sum", "--csv", "--page", "raw", "--print-units", "base",
        sys.executable, str(HERE / "clock_ncu.py"), ",".join(map(str, powers)),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0"})
    lines = [line for line in done.stdout.splitlines() if line.startswith('"')]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    times: dict[int, list[float]] = {}
    for row in rows[1:]:
        grid = int(row["Grid Size"].strip("()").split(",")[0].replace(",", ""))
        times.setdefault(grid, []).append(float(row["gpu__time_duration.sum"].replace(",", "")) * 1e-9)
    found = {power: statistics.median(times[grid]) for power in powers if (grid := max(1, (1 << power) // 256)) in times}
    return found, "" if found else _last_line(done)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return f"status {done.returncode}: {said[-1] if said else 'it said nothing'}"
