"""The sections of gpu_check that look for the best launch shape of each kernel, beside the driver and torch."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from gpu_check_state import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gpu_check_state import Check


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
