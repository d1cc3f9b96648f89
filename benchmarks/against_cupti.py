"""The device clock beside CUPTI's kernel records: the same numba copy kernel, warm and cold, in one process on one GPU.

Needs a GPU, numba-cuda and cupti-python. Our clock runs first: CUPTI, once it records, slows large kernels down.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pytest_gpuperf.device.discovery import open_backend
from pytest_gpuperf.reasons import Reason
from pytest_gpuperf.timing.cache import Flusher

SIZES = tuple(1 << power for power in (10, 14, 17, 20, 22))
CACHES = ("warm", "cold")
REPEATS = 60


def main() -> None:
    """Print one row a size and cache state: ours, CUPTI's, the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()

    from numba import cuda

    import pytest_gpuperf

    @cuda.jit
    def copy_kernel(source: Any, target: Any) -> None:
        index = cuda.grid(1)
        if index < source.size:
            target[index] = source[index]

    bodies = {}
    for size in SIZES:
        source, target = cuda.to_device(np.arange(size, dtype=np.float32)), cuda.device_array(size, np.float32)
        launch = copy_kernel[(size + 255) // 256, 256]
        launch(source, target)
        bodies[size] = (launch, source, target)
    rows = []
    backend = open_backend()
    if isinstance(backend, Reason):
        sys.exit(str(backend))
    with pytest_gpuperf.session(backend) as gpuperf:
        for size, (launch, source, target) in bodies.items():
            for cache in CACHES:
                ours = gpuperf.measure(launch, source, target, outputs=[target], cache=cache, name=f"{size} {cache}")
                low, high = ours.time.bounds
                rows.append({"floats": size, "cache": cache, "ours": ours.time.point, "low": low, "high": high, "body": ours.details["body"]})
        flusher = Flusher(backend, backend.open())
        cupti_times = records(bodies, backend, flusher)
    for row in rows:
        times = cupti_times[row["floats"], row["cache"]]
        row["cupti"] = statistics.median(times) if times else None
    print(f"{'floats':>9} {'cache':>5} {'ours us':>9} {'interval':>17} {'CUPTI us':>9} {'differ us':>9}  body")
    for row in rows:
        told = f"{row['cupti'] * 1e6:9.3f} {(row['ours'] - row['cupti']) * 1e6:+9.3f}" if row["cupti"] is not None else "no records from CUPTI"
        print(f"{row['floats']:>9} {row['cache']:>5} {row['ours'] * 1e6:9.3f} {row['low'] * 1e6:8.3f}..{row['high'] * 1e6:<7.3f} {told}  {row['body']}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=1))


def records(bodies: dict[int, tuple[Any, Any, Any]], backend: Any, flusher: Flusher) -> dict[tuple[int, str], list[float]]:
    """Return CUPTI's durations in seconds by (floats, cache), each launch in the cache state that ours was measured in."""
    from cupti import cupti

    seen: list[tuple[str, int, int]] = []

    def requested() -> tuple[int, int]:
        return 8 << 20, 0

    def completed(activities: list[Any]) -> None:
        seen.extend((str(one.name), one.start, one.end) for one in activities if "copy_kernel" in str(one.name))

    cupti.activity_register_callbacks(requested, completed)
    cupti.activity_enable(cupti.ActivityKind.CONCURRENT_KERNEL)
    found = {}
    for size, (launch, source, target) in bodies.items():
        for cache in CACHES:
            backend.synchronize()
            cupti.activity_flush_all(1)
            seen.clear()
            for _ in range(REPEATS):
                if cache == "warm":
                    launch(source, target)
                else:
                    flusher.clean(0)
                launch(source, target)
                backend.synchronize()
            cupti.activity_flush_all(1)
            ordered = [(end - start) * 1e-9 for _, start, end in sorted(seen, key=lambda one: one[1])]
            found[size, cache] = ordered[1::2] if cache == "warm" else ordered
    cupti.activity_disable(cupti.ActivityKind.CONCURRENT_KERNEL)
    return found


if __name__ == "__main__":
    main()
