"""The sections of gpu_check that hold our kernels against NumPy, bit for bit."""

from __future__ import annotations

import functools
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from gpu_check_state import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_check_state import Check

    from pytest_gpuperf.device.backend import Backend

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
GUARD = 256


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
