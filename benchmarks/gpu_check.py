"""Check the device backend on a real GPU: every kernel of kernels.ptx bit for bit, the gate, the clock, and the speeds.

Run `python benchmarks/gpu_check.py --json build/gpu_check.json`; a section that fails is printed and the next one runs. With
`--fake` it runs on the fake device, which checks this script and nothing else.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import faulthandler
import functools
import json
import statistics
import struct
import sys
import time
import traceback
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gpu_check_kernels import check_kernels, check_rows
from gpu_check_speed import check_move, check_speed
from gpu_check_state import MIB, Check, spread

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_gpuperf.device.backend import Backend
    from pytest_gpuperf.device.driver import DriverBackend


def synchronize_with_lock(stream: int) -> None:
    """Wait for a stream while holding the interpreter's lock, as an extension module may."""
    status = ctypes.PyDLL("libcuda.so.1").cuStreamSynchronize(ctypes.c_void_p(stream))
    if status:
        message = f"cuStreamSynchronize: code {status}"
        raise RuntimeError(message)


def check_gate(check: Check) -> None:
    """Hold streams and release them; let the helper do it while this process waits, with and without the interpreter's lock."""
    backend = check.backend
    found: dict[str, Any] = {}
    for name, stream in check.streams.items():
        event, after = backend.event(), backend.event()
        backend.record(event, stream)
        backend.block(stream, 5.0)
        backend.record(after, stream)
        backend.sleep(0.02)
        released = backend.release()
        backend.synchronize(stream)
        held = backend.elapsed(event, after)
        check.say(
            "gate",
            f"{name} stream held for 20 ms, then released",
            f"held {held * 1e3:.2f} ms, release() {released}" + ("" if released and held > 0.015 else "  WRONG"),
        )
        waits: list[tuple[str, Callable[[], object]]] = [("synchronize", functools.partial(backend.synchronize, stream))]
        if not check.fake:
            waits.append(("synchronize with the lock held", functools.partial(synchronize_with_lock, stream)))
        for what, wait in waits:
            begin = backend.now()
            backend.block(stream, 0.3)
            wait()
            took = backend.now() - begin
            released = backend.release()
            good = not released and 0.29 < took < 0.6
            check.say(
                "gate",
                f"{name} stream, timeout 0.3 s, {what}",
                f"back after {took:.3f} s, release() {released}" + ("" if good else "  WRONG"),
            )
            found[f"{name} {what}"] = {"seconds": took, "release": released}
        costs = []
        for _ in range(200):
            begin = time.perf_counter()
            backend.block(stream, 5.0)
            middle = time.perf_counter()
            backend.release()
            costs.append((middle - begin, time.perf_counter() - middle))
            backend.synchronize(stream)
        block, release = (spread([cost[i] for cost in costs]) for i in (0, 1))
        found[f"{name} host cost"] = {"block": block, "release": release}
        check.say("gate", f"{name} stream, host cost of block / release", f"{block['median'] * 1e6:.1f} / {release['median'] * 1e6:.1f} us")
    check.details["gate"] = found


def check_clock(check: Check) -> None:
    """Measure the tick, the empty pair, the empty kernel, and what a blocked pair adds to the own span of a spin kernel."""
    backend, samples = check.backend, 40 if check.quick else 200
    check.say("clock", "event tick", f"{check.limits.tick * 1e9:.2f} ns")
    found: dict[str, Any] = {"tick_s": check.limits.tick}
    out = backend.alloc(16)
    constants = []
    for name, stream in check.streams.items():
        pair = spread(check.timed(lambda _: None, stream, samples))
        empty = spread(check.timed(lambda s: backend.launch("empty", (), s, blocks=1, threads=32), stream, samples))
        check.say(
            "clock", f"{name} stream: empty pair / empty kernel, blocked", f"{pair['median'] * 1e6:.3f} / {empty['median'] * 1e6:.3f} us"
        )
        found[name] = {"pair": pair, "empty": empty, "spin": {}}
        for nanoseconds in (1_000, 5_000, 20_000, 65_000):
            start, end = backend.event(), backend.event()
            differences, spans = [], []
            for index in range(samples + 3):
                backend.block(stream, 2.0)
                try:
                    backend.record(start, stream)
                    backend.launch("spin", (nanoseconds, out), stream, blocks=1, threads=32)
                    backend.record(end, stream)
                finally:
                    backend.release()
                backend.wait(end)
                first, last = struct.unpack("<2Q", backend.download(out, 16))
                if index >= 3:
                    spans.append((last - first) * 1e-9)
                    differences.append(backend.elapsed(start, end) - spans[-1])
            result = spread(differences)
            constants.append(result["median"])
            found[name]["spin"][str(nanoseconds)] = {"difference": result, "span": spread(spans)}
            check.say(
                "clock",
                f"{name} stream: spin {nanoseconds / 1000:g} us, blocked less own span",
                f"{result['median'] * 1e6:.3f} us, MAD {result['mad'] * 1e6:.3f}, {result['min'] * 1e6:.3f}..{result['max'] * 1e6:.3f}",
            )
    check.constant = statistics.median(constants) - 0.70e-6
    check.say("clock", "constant for a profiler's time (median difference - 0.70 us)", f"{check.constant * 1e6:.3f} us")
    backend.free(out)
    check.details["clock"] = found


def check_host(check: Check) -> None:
    """Time the host side of the calls that a sample makes, and NVML's readings."""
    backend = check.backend
    out, event, other = backend.alloc(4096), backend.event(), backend.event()
    backend.record(event, 0)
    backend.record(other, 0)
    backend.synchronize()
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("launch empty", lambda: backend.launch("empty", (), 0, blocks=1, threads=32)),
        ("launch fill", lambda: backend.launch("fill", (out, 64, 1), 0, blocks=1, threads=32)),
        ("record", lambda: backend.record(event, 0)),
        ("memset", lambda: backend.memset(out, 0, 64, 0)),
        ("copy", lambda: backend.copy(out, out + 64, 64, 0)),
        ("elapsed", lambda: backend.elapsed(event, other)),
        ("now", backend.now),
        ("evidence", backend.evidence),
        ("open again", backend.open),
    )
    found: dict[str, Any] = {}
    for name, call in calls:
        costs = []
        for index in range(205):
            begin = time.perf_counter()
            call()
            costs.append(time.perf_counter() - begin)
            if index % 20 == 0:
                backend.synchronize()
                backend.record(event, 0)
                backend.record(other, 0)
                backend.synchronize()
        found[name] = spread(costs[5:])
    check.details["host"] = found
    check.say("host", "median cost of a call, us", ", ".join(f"{name} {row['median'] * 1e6:.2f}" for name, row in found.items()))
    evidence = backend.evidence()
    check.details["evidence"] = dataclasses.asdict(evidence)
    check.say("evidence", "now", ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(evidence).items()))
    backend.free(out)


SECTIONS: tuple[Callable[[Check], None], ...] = (check_clock, check_gate, check_kernels, check_rows, check_host, check_speed, check_move)


def without_nvml() -> DriverBackend:
    """Return a backend with the facts that the driver itself tells."""
    from cuda.bindings import driver

    from pytest_gpuperf.device.backend import DeviceFacts
    from pytest_gpuperf.device.calls import checked
    from pytest_gpuperf.device.driver import DriverBackend

    checked(driver, "cuInit")(0)
    device = checked(driver, "cuDeviceGet")(0)
    name = checked(driver, "cuDeviceGetName")(64, device).split(b"\0")[0].decode()
    version = int(checked(driver, "cuDriverGetVersion")())
    found = uuid.UUID(bytes=bytes(checked(driver, "cuDeviceGetUuid")(device).bytes))
    memory = int(checked(driver, "cuDeviceTotalMem")(device))
    return DriverBackend(DeviceFacts(name, f"GPU-{found}", "unknown", f"{version // 1000}.{version % 1000 // 10}", memory))


def make(fake: bool) -> tuple[Backend, dict[str, int]]:
    """Return the open backend and its streams by name; ends the script where there is no GPU."""
    if fake:
        from pytest_gpuperf.testing import FakeDevice

        device: Backend = FakeDevice()
        device.open()
        return device, {"legacy": 0}
    from pytest_gpuperf.device.discovery import open_backend
    from pytest_gpuperf.reasons import Reason

    try:
        backend = open_backend()
    except ImportError as error:
        print(f"{error}: no facts and no evidence, the rest is checked all the same")
        backend = without_nvml()
    if isinstance(backend, Reason):
        raise SystemExit(str(backend))
    begin = time.perf_counter()
    backend.open()
    print(f"open() took {time.perf_counter() - begin:.2f} s")
    from cuda.bindings import driver

    status, stream = driver.cuStreamCreate(1)
    if int(status):
        print(f"cuStreamCreate: {status}: only the legacy default stream is checked")
        return backend, {"legacy": 0}
    return backend, {"legacy": 0, "created": int(stream)}


def main() -> int:
    """Run all sections, or those that were named; return 1 where one failed or found a difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = [section.__name__.removeprefix("check_") for section in SECTIONS]
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"which of {', '.join(names)}; all unless named")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"), help="where the details go")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, shapes and samples")
    parser.add_argument("--fake", action="store_true", help="run on the fake device, to try this script")
    parser.add_argument("--limit", type=float, default=540.0, help="end after so many seconds, with a traceback")
    options = parser.parse_args()
    unknown = [name for name in options.sections if name not in names]
    if unknown:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(names)}")
    faulthandler.dump_traceback_later(options.limit, exit=True)
    backend, streams = make(options.fake)
    limits = backend.open()
    check = Check(backend, limits, streams, options.fake, options.quick or options.fake)
    check.details |= {
        "facts": dataclasses.asdict(backend.facts),
        "limits": dataclasses.asdict(limits),
        "numpy": np.__version__,
        "python": sys.version,
    }
    check.say(
        "device",
        backend.facts.name,
        f"driver {backend.facts.driver}, CUDA {backend.facts.cuda}, {limits.sm_count} SMs, L2 {limits.l2_bytes / MIB:.1f} MiB, tick {limits.tick * 1e9:.1f} ns",
    )
    failed = 0
    for section in SECTIONS:
        name = section.__name__.removeprefix("check_")
        if options.sections and name not in options.sections:
            continue
        begin = time.perf_counter()
        try:
            section(check)
        except Exception as error:  # noqa: BLE001
            # One broken section must not hide what the others find.
            failed += 1
            traceback.print_exc()
            check.details[f"{name}_error"] = traceback.format_exc()
            check.say(name, "FAILED", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            backend.release()
        check.details[f"{name}_wall_s"] = time.perf_counter() - begin
        check.details["rows"] = check.rows
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(check.details, indent=1), encoding="utf-8")
    print("\n" + "-" * 100)
    for row in check.rows:
        print(f"{row[0]:<12} {row[1]:<58} {row[2]}")
    wrong = sum("WRONG" in row[2] or "DIFFER" in row[2] for row in check.rows)
    print(f"{failed} sections failed, {wrong} rows wrong; details in {options.json}")
    backend.close()
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
