"""Kernels of LLM serving in numba-cuda: the subject of the suites, and examples of how to write for both a GPU and the simulator."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from kernels import compression, masks, prefilling, staging

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """One numba kernel with one set of argument types: what to compile, and the block that it is launched with.

    `simulated` are the argument types in the simulator, where these are others.
    """

    name: str
    module: str
    function: Any
    signature: str
    block: tuple[int, int]
    simulated: str = ""


_BYTES = "uint8[::1]"
_STEPS = ", ".join(["int64"] * 9)


def _accept(sampled: str) -> str:
    return f"void(int32[::1], int32[::1], {sampled}[::1], int64, int64, int32[::1], {_BYTES})"


def _move(slots: str, *mask: str) -> str:
    return f"void({', '.join([_BYTES] * 4 + [f'{slots}[::1]', *mask])}, {_STEPS})"


def _pooling() -> Iterator[Kernel]:
    """Yield a row for each configuration and launch shape of KV compression, output in the dtype of kv, rows without gaps, pages of a power of two."""
    # Ten addresses, or arrays in the simulator, then numbers.
    arrays = ", ".join([_BYTES] * 4 + ["int32[::1]"] * 5 + [_BYTES])
    decoding, prefilled = (tuple(f"void({ten}, {', '.join(['int64'] * count)})" for ten in (", ".join(["int64"] * 10), arrays)) for count in (12, 14))
    for row in compression.CONFIGS:
        for launch in row.warps:
            shape = f"{row.name}.{launch.threads[0]}x{launch.threads[1]}"
            decode = compression.kernel_of(row, row.kv, by_row=False, packed=True, lanes=launch.lanes)
            yield Kernel(f"decode.{shape}", "compression", decode, decoding[0], launch.threads, decoding[1])
        shape = f"{row.name}.{compression.PREFILL[0]}x{compression.PREFILL[1]}"
        prefill = prefilling.prefill(row.ratio, row.kv, row.state, row.kv, by_row=False, lanes=compression.PREFILL[0])
        yield Kernel(f"prefill.{shape}", "compression", prefill, prefilled[0], compression.PREFILL, prefilled[1])


KERNELS = (
    Kernel("accept.int32", "masks", masks.accept, _accept("int32"), (masks.LANES, masks.REQUESTS)),
    Kernel("accept.int64", "masks", masks.accept, _accept("int64"), (masks.LANES, masks.REQUESTS)),
    Kernel("write_all.int32", "staging", staging.write_rows, _move("int32"), (staging.WRITE_THREADS, 1)),
    Kernel("write_all.int64", "staging", staging.write_rows, _move("int64"), (staging.WRITE_THREADS, 1)),
    Kernel("commit_masked.int32", "staging", staging.commit_rows, _move("int32", _BYTES), (staging.MAX_LANES, 1)),
    Kernel("commit_masked.int64", "staging", staging.commit_rows, _move("int64", _BYTES), (staging.MAX_LANES, 1)),
    *_pooling(),
)
