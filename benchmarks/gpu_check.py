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
import math
import statistics
import struct
import sys
import time
import traceback
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_gpuperf.device.backend import Backend, DeviceLimits
    from pytest_gpuperf.device.driver import DriverBackend

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIB = 1 << 20
GUARD = 256


@dataclasses.dataclass
class Check:
    """What the sections share: the open backend, its limits, the streams, the amount of work, and what they found."""

    backend: Backend
    limits: DeviceLimits
    streams: dict[str, int]
    fake: bool
    quick: bool
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    rows: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    #: what a blocked event pair adds to the span of a kernel, less the launch share that a profiler counts; seconds
    constant: float = 2.2e-6

    def say(self, section: str, what: str, result: str) -> None:
        """Add a row of the table and print it at once."""
        self.rows.append((section, what, result))
        print(f"{section:<12} {what:<58} {result}", flush=True)

    def timed(self, body: Callable[[int], None], stream: int, samples: int) -> list[float]:
        """Return raw blocked event times of a body in seconds."""
        backend = self.backend
        start, end = backend.event(), backend.event()
        body(stream)
        backend.synchronize()
        raw = []
        for _ in range(samples):
            backend.block(stream, 2.0)
            try:
                backend.record(start, stream)
                body(stream)
                backend.record(end, stream)
            finally:
                released = backend.release()
            backend.wait(end)
            if not released:
                message = "the gate was opened by the helper: the body waits for the device"
                raise RuntimeError(message)
            raw.append(backend.elapsed(start, end))
        return raw


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, median absolute deviation, least and largest."""
    middle = statistics.median(values)
    return {
        "median": middle,
        "mad": statistics.median(abs(v - middle) for v in values),
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def mix(x: Any) -> Any:
    """Return the finaliser of splitmix64 of each word."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def words_of(data: bytes) -> np.ndarray[Any, Any]:
    """Return the little-endian words of bytes, the last one zero-padded."""
    return np.frombuffer(data + bytes(-len(data) % 8), "<u8")


@functools.cache
def digest_of(data: bytes) -> int:
    """Return what the digest kernel adds for these bytes; kept, as the same bytes come with many launch shapes."""
    words = words_of(data)
    places = np.arange(1, len(words) + 1, dtype=np.uint64) * GOLDEN
    return int(mix(words ^ places).sum(dtype=np.uint64)) if len(words) else 0


def read_word(backend: Backend, address: int) -> int:
    """Return the 64-bit word at an address."""
    return int(struct.unpack("<Q", backend.download(address, 8))[0])


def cases(check: Check) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield sizes, offsets and launch shapes (blocks, threads): all combinations where small, a few where large."""
    small = (0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 255, 1000, 4095, 4096, 4097, 65_541)
    wave = (8 * check.limits.sm_count, 256)
    for nbytes in small:
        for offset in (0, 1, 4, 8, 13):
            for shape in ((1, 32), (7, 96), (3, 1024), wave):
                yield nbytes, offset, shape
    for nbytes in (MIB, MIB + 13, 16 * MIB + 8) if check.quick else (MIB, MIB + 13, 16 * MIB + 8, 64 * MIB, 64 * MIB + 5):
        for offset in (0, 5):
            for shape in (wave, (math.ceil(nbytes / 16 / 256), 256), (math.ceil(nbytes / 64 / 256), 256)):
                yield nbytes, offset, shape


def check_kernels(check: Check) -> None:
    """Hold move, fill, flush_read, digest and diff against NumPy, with guards on both sides of what is written."""
    backend = check.backend
    most = (17 if check.quick else 65) * MIB
    noise = np.random.default_rng(7).integers(0, 256, most, dtype=np.uint8).tobytes()
    source, target, out = (backend.alloc(most + 4 * GUARD) for _ in range(3))
    failures: dict[str, list[str]] = {name: [] for name in ("move", "fill", "flush_read", "digest", "diff")}
    counts = dict.fromkeys(failures, 0)

    def expect(kernel: str, good: bool, *what: object) -> None:
        counts[kernel] += 1
        if not good:
            failures[kernel].append(repr(what))

    def written(kernel: str, at: int, nbytes: int, wanted: bytes, *what: object) -> None:
        got = backend.download(at - GUARD, nbytes + 2 * GUARD)
        expect(kernel, got == b"\xa5" * GUARD + wanted + b"\xa5" * GUARD, *what)

    def launch(kernel: str, arguments: tuple[int, ...], shape: tuple[int, int]) -> None:
        backend.launch(kernel, arguments, 0, blocks=max(shape[0], 1), threads=shape[1])
        backend.synchronize()

    for nbytes, offset, shape in cases(check):
        data = noise[:nbytes]
        for source_offset in {offset, 0}:
            a, b = source + GUARD + source_offset, target + GUARD + offset
            backend.upload(a, data)
            for writes in {nbytes, nbytes // 3, nbytes + nbytes // 2 + 1} if nbytes < MIB else {nbytes}:
                backend.memset(target, 0xA5, writes + 3 * GUARD, 0)
                launch("move", (a, b, nbytes, writes), shape)
                common = min(nbytes, writes)
                written("move", b, writes, data[:common] + bytes(writes - common), nbytes, writes, source_offset, offset, shape)
            backend.memset(out, 0, 16, 0)
            launch("digest", (a, nbytes, out), shape)
            expect("digest", read_word(backend, out) == digest_of(data), nbytes, source_offset, shape)
            other = bytearray(data)
            places = {p for p in (0, 8, 15, nbytes // 2, nbytes - 1) if 0 <= p < nbytes}
            for place in places:
                other[place] ^= 0x40
            backend.upload(b, bytes(other))
            launch("diff", (a, b, nbytes, out + 8), shape)
            expect("diff", read_word(backend, out + 8) == len({p // 8 for p in places}), nbytes, source_offset, offset, shape)
        word = 0xF1E2D3C4B5A69788
        backend.memset(target, 0xA5, nbytes + 3 * GUARD, 0)
        launch("fill", (target + GUARD + offset, nbytes, word), shape)
        written("fill", target + GUARD + offset, nbytes, (struct.pack("<Q", word) * (nbytes // 8 + 1))[:nbytes], nbytes, offset, shape)
        backend.memset(out, 0x5A, 8, 0)
        launch("flush_read", (source + GUARD + offset, nbytes, out), shape)
        expect("flush_read", backend.download(out, 8) == b"\x5a" * 8, nbytes, offset, shape)
    for address in (source, target, out):
        backend.free(address)
    check.details["kernels"] = {"checked": counts, "failures": failures}
    for kernel, wrong in failures.items():
        check.say(
            "kernels",
            f"{kernel}: {counts[kernel]} cases against NumPy",
            "all equal" if not wrong else f"{len(wrong)} DIFFER, first {wrong[0]}",
        )


def check_rows(check: Check) -> None:
    """Hold pack and unpack against NumPy."""
    backend = check.backend
    rng = np.random.default_rng(3)
    wrong: list[str] = []
    layouts = [
        (n, width, pitch)
        for width, pitch in ((1, 3), (2, 6), (4, 8), (12, 20), (16, 32), (100, 112), (256, 512), (4096, 4112), (70_001, 70_016))
        for n in (1, 7, 300)
    ]
    layouts.append((200_000, 2, 10))
    for rows, width, pitch in layouts:
        for offset in (0, 4, 1):
            for blocks, threads in ((1, 32), (5, 96), (8 * check.limits.sm_count, 256)):
                extent = rows * pitch
                data = rng.integers(0, 256, extent, dtype=np.uint8)
                order = rng.permutation(rows).astype(np.int64) * pitch - extent // 2
                source, target, table = backend.alloc(extent + 16), backend.alloc(rows * width), backend.alloc(rows * 8)
                backend.upload(source + offset, data.tobytes())
                backend.upload(table, order.tobytes())
                middle = source + offset + extent // 2
                backend.launch("pack", (middle, table, rows, width, target), 0, blocks=blocks, threads=threads)
                backend.synchronize()
                index = (order + extent // 2)[:, None] + np.arange(width)
                what = f"{rows} rows of {width} every {pitch}, offset {offset}, {blocks} x {threads}"
                if backend.download(target, rows * width) != data[index].tobytes():
                    wrong.append("pack " + what)
                backend.memset(source, 0xEE, extent + 16, 0)
                backend.launch("unpack", (target, table, rows, width, middle), 0, blocks=blocks, threads=threads)
                backend.synchronize()
                wanted = np.full(extent, 0xEE, np.uint8)
                wanted[index.reshape(-1)] = data[index.reshape(-1)]
                if backend.download(source + offset, extent) != wanted.tobytes():
                    wrong.append("unpack " + what)
                for address in (source, target, table):
                    backend.free(address)
    check.details["rows"] = {"failures": wrong, "layouts": len(layouts)}
    check.say(
        "kernels",
        f"pack, unpack: {len(layouts) * 9} layouts against NumPy",
        "all equal" if not wrong else f"{len(wrong)} DIFFER, first {wrong[0]}",
    )


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


def shapes(nbytes: int, sm_count: int, threads: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    """Yield names, blocks and threads of launch shapes for some bytes: full waves that stride, a tile a block, a line a thread."""
    for count in threads:
        for per_sm in (1, 2, 4, 8, 16, 32):
            if per_sm * count <= 16 * 1024:
                yield f"{per_sm} a SM x {count}", per_sm * sm_count, count
        yield f"tile a block x {count}", math.ceil(nbytes / (64 * count)), count
        yield f"line a thread x {count}", math.ceil(nbytes / (16 * count)), count


def sweep(check: Check, kernel: str, arguments: tuple[int, ...], nbytes: int, moved: int, samples: int) -> list[dict[str, Any]]:
    """Time one kernel in every launch shape; best first."""
    results = []
    for name, blocks, threads in shapes(nbytes, check.limits.sm_count, (256,) if check.quick else (128, 256, 512, 1024)):
        times = check.timed(lambda s, b=blocks, t=threads: check.backend.launch(kernel, arguments, s, blocks=b, threads=t), 0, samples)  # type: ignore[misc]
        seconds = statistics.median(times) - check.constant
        results.append({"shape": name, "blocks": blocks, "threads": threads, "seconds": seconds, "bytes_per_s": moved / seconds})
    return sorted(results, key=lambda row: row["seconds"])


def check_move(check: Check) -> None:
    """Hold move against the driver's own copy, and torch's where it is installed, from 1 MiB to 2 GiB."""
    backend, samples = check.backend, 7 if check.quick else 15
    exponents = (20, 22, 24) if check.fake else (20, 22, 24, 26, 28, 30, 31)
    most = 1 << exponents[-1]
    source, target = backend.alloc(most), backend.alloc(most)
    for address in (source, target):
        backend.launch("fill", (address, most, 0x0123456789ABCDEF), 0, blocks=8 * check.limits.sm_count, threads=256)
    torch_copy = None if check.fake else torch_copier()
    found: dict[str, Any] = {}
    for exponent in exponents:
        nbytes = 1 << exponent
        results = sweep(check, "move", (source, target, nbytes, nbytes), nbytes, 2 * nbytes, samples)
        driver = statistics.median(check.timed(lambda s, n=nbytes: backend.copy(target, source, n, s), 0, samples)) - check.constant  # type: ignore[misc]
        best = results[0]
        text = f"{best['bytes_per_s'] / 1e12:.3f} TB/s in {best['seconds'] * 1e6:.2f} us ({best['shape']}); driver {2 * nbytes / driver / 1e12:.3f}; {driver / best['seconds'] * 100:.1f} % of it"
        found[str(nbytes)] = {"shapes": results, "driver_s": driver}
        if torch_copy:
            seconds = statistics.median(check.timed(torch_copy(nbytes), 0, samples)) - check.constant
            found[str(nbytes)]["torch_s"] = seconds
            text += f"; torch {2 * nbytes / seconds / 1e12:.3f}"
        check.say("move", f"copy of 2^{exponent} bytes, warm, best of {len(results)} shapes", text)
    for shape in ("8 a SM x 256", "4 a SM x 256", "tile a block x 256", "line a thread x 256"):
        line = [next(row["bytes_per_s"] for row in found[str(1 << e)]["shapes"] if row["shape"] == shape) for e in exponents]
        check.say("move", f"{shape}: TB/s for 2^{exponents[0]}..2^{exponents[-1]}", " ".join(f"{value / 1e12:.3f}" for value in line))
    uneven = most // 2
    for name, reads, writes in (
        ("read only", most, 0),
        ("write only", 0, most),
        ("reads 3 : writes 1", most, most // 3),
        ("reads 1 : writes 3", uneven // 3, uneven),
    ):
        results = sweep(check, "move", (source, target, reads, writes), max(reads, writes), reads + writes, samples)
        found[name] = results
        usual = next(row for row in results if row["shape"] == "8 a SM x 256")
        check.say(
            "move",
            f"{name}, {max(reads, writes) / MIB:.0f} MiB",
            f"{results[0]['bytes_per_s'] / 1e12:.3f} TB/s ({results[0]['shape']}); 8 a SM x 256: {usual['bytes_per_s'] / 1e12:.3f}",
        )
    for address in (source, target):
        backend.free(address)
    check.details["move"] = found


def torch_copier() -> Callable[[int], Callable[[int], None]] | None:
    """Return a maker of torch copies by size; None where torch is not installed or sees no GPU."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None

    def make(nbytes: int) -> Callable[[int], None]:
        source = torch.zeros(nbytes, dtype=torch.uint8, device="cuda")
        target = torch.empty_like(source)

        def copy(_: int) -> None:
            target.copy_(source)

        return copy

    return make


def check_speed(check: Check) -> None:
    """Time fill, flush_read, digest, diff and the driver's memset in every launch shape."""
    backend, samples = check.backend, 7 if check.quick else 11
    found: dict[str, Any] = {}
    for nbytes in (16 * MIB,) if check.fake else (16 * MIB, 1 << 30):
        a, b, out = backend.alloc(nbytes), backend.alloc(nbytes), backend.alloc(16)
        for address in (a, b):
            backend.memset(address, 0x3C, nbytes, 0)
        table = (
            ("fill", (a, nbytes, 0x3C3C3C3C3C3C3C3C), nbytes),
            ("flush_read", (a, nbytes, out), nbytes),
            ("digest", (a, nbytes, out), nbytes),
            ("diff", (a, b, nbytes, out + 8), 2 * nbytes),
        )
        for kernel, arguments, moved in table:
            results = sweep(check, kernel, arguments, nbytes, moved, samples)
            found[f"{kernel} {nbytes}"] = results
            usual = next(row for row in results if row["shape"] == "8 a SM x 256")
            check.say(
                "speed",
                f"{kernel}, {nbytes // MIB} MiB",
                f"{results[0]['bytes_per_s'] / 1e12:.3f} TB/s ({results[0]['shape']}); 8 a SM x 256: {usual['bytes_per_s'] / 1e12:.3f}",
            )
        seconds = statistics.median(check.timed(lambda s, a=a, n=nbytes: backend.memset(a, 0, n, s), 0, samples)) - check.constant  # type: ignore[misc]
        found[f"memset {nbytes}"] = seconds
        check.say("speed", f"the driver's memset, {nbytes // MIB} MiB", f"{nbytes / seconds / 1e12:.3f} TB/s")
        for address in (a, b, out):
            backend.free(address)
    check.details["speed"] = found


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
