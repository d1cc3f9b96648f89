"""Kernels of LLM serving in numba-cuda: the subject of the suites, and examples of how to write for both a GPU and the simulator."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from kernels import compression, masks, prefilling, staging

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """One numba kernel with one set of argument types: what to compile, and the block that it is launched with."""

    name: str
    module: str
    function: Any
    signature: str
    block: tuple[int, int]


_BYTES = "uint8[::1]"
_STEPS = ", ".join(["int64"] * 9)


def _accept(sampled: str) -> str:
    return f"void(int32[::1], int32[::1], {sampled}[::1], int64, int64, int32[::1], {_BYTES})"


def _move(slots: str, *mask: str) -> str:
    return f"void({', '.join([_BYTES] * 4 + [f'{slots}[::1]', *mask])}, {_STEPS})"


_POOL = ", ".join([_BYTES] * 4 + ["int32[::1]"] * 5 + [_BYTES])


def _pooling() -> Iterator[Kernel]:
    """Yield a row for each configuration and launch shape of KV compression: what decodes and what prefills, output in the dtype of kv, pages of a power of two."""
    for row in compression.CONFIGS:
        for launch in row.warps:
            shape = f"{row.name}.{launch.threads[0]}x{launch.threads[1]}"
            decode = compression.kernel_of(row, row.kv, by_row=False, lanes=launch.lanes, early=launch.early)
            prefill = prefilling.prefill(row.ratio, row.kv, row.state, row.kv, by_row=False, lanes=launch.lanes)
            yield Kernel(f"decode.{shape}", "compression", decode, f"void({_POOL}, {', '.join(['int64'] * 12)})", launch.threads)
            yield Kernel(f"prefill.{shape}", "compression", prefill, f"void({_POOL}, {', '.join(['int64'] * 14)})", launch.threads)


KERNELS = (
    Kernel("accept.int32", "masks", masks.accept, _accept("int32"), (masks.LANES, masks.REQUESTS)),
    Kernel("accept.int64", "masks", masks.accept, _accept("int64"), (masks.LANES, masks.REQUESTS)),
    Kernel("write_all.int32", "staging", staging.write_rows, _move("int32"), (staging.WRITE_THREADS, 1)),
    Kernel("write_all.int64", "staging", staging.write_rows, _move("int64"), (staging.WRITE_THREADS, 1)),
    Kernel("commit_masked.int32", "staging", staging.commit_rows, _move("int32", _BYTES), (staging.MAX_LANES, 1)),
    Kernel("commit_masked.int64", "staging", staging.commit_rows, _move("int64", _BYTES), (staging.MAX_LANES, 1)),
    *_pooling(),
)
