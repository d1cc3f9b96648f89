"""What KV compression asks of its arrays before a launch, and of the indices in them where it is told to look."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kernels import device

FLOATS = ("bfloat16", "float32")
#: The most elements that a 32-bit index counts.
MANY = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What one array must be: dtypes, number of dimensions, whether it is written, whether its rows move as vectors."""

    name: str
    dtypes: tuple[str, ...]
    dims: int
    written: bool = False
    vectors: bool = False


_ARRAYS = (
    Wanted("kv_score", FLOATS, 2, vectors=True),
    Wanted("ape", ("float32",), 2, vectors=True),
    Wanted("paged_kv", FLOATS, 3, written=True, vectors=True),
    Wanted("paged_score", FLOATS, 3, written=True, vectors=True),
    Wanted("block_table_kv", ("int32",), 2),
    Wanted("block_table_score", ("int32",), 2),
    Wanted("lengths", ("int32",), 1),
    Wanted("cu_seq_lens", ("int32",), 1),
    Wanted("cu_kv_comp", ("int32",), 1),
    Wanted("output", FLOATS, 2, written=True, vectors=True),
)


def checked(lengths: str, arrays: tuple[Any, ...]) -> dict[str, device.Memory]:
    """Return the arrays by name, in their order; `lengths` is the name of the seventh. Raises TypeError, ValueError: one line each."""
    found: dict[str, device.Memory] = {}
    for wanted, array in zip(_ARRAYS, arrays, strict=True):
        name = lengths if wanted.name == "lengths" else wanted.name
        found[name] = _checked(wanted, name, device.memory(array, name))
    _matching(lengths, found)
    return found


def _checked(wanted: Wanted, name: str, memory: device.Memory) -> device.Memory:
    if memory.dtype not in wanted.dtypes:
        raise TypeError(f"{name}: dtype {memory.dtype}, needs {' or '.join(wanted.dtypes)}")
    if len(memory.shape) != wanted.dims:
        raise ValueError(f"{name}: shape {memory.shape} has {len(memory.shape)} dimensions, needs {wanted.dims}")
    if memory.span and not memory.packed(1):
        raise ValueError(f"{name}: elements {memory.strides[-1]} bytes apart, needs {memory.itemsize}; only rows may have gaps")
    # Four numbers move at once.
    align = 4 * memory.itemsize if wanted.vectors else memory.itemsize
    if memory.span and (memory.address % align or any(stride % align for stride in memory.strides[:-1])):
        raise ValueError(f"{name}: address {memory.address:#x} and strides {memory.strides} must be multiples of {align} bytes")
    if wanted.written and memory.readonly:
        raise ValueError(f"{name}: the array is read-only")
    if memory.span and any(stride < extent * step for stride, extent, step in _nested(memory)):
        raise ValueError(f"{name}: strides {memory.strides} make rows overlap")
    return memory


def _nested(memory: device.Memory) -> list[tuple[int, int, int]]:
    """Return the stride of each dimension of more than one with the extent and the stride of the one inside it."""
    axes = range(len(memory.shape) - 1)
    return [(memory.strides[axis], memory.shape[axis + 1], memory.strides[axis + 1]) for axis in axes if memory.shape[axis] > 1]


def _matching(lengths: str, found: dict[str, device.Memory]) -> None:
    kv, score, output, ape = (found[name] for name in ("paged_kv", "paged_score", "output", "ape"))
    if score.dtype != kv.dtype:
        raise TypeError(f"paged_score: dtype {score.dtype} beside paged_kv's {kv.dtype}")
    width = output.shape[1] * (2 if ape.shape[0] == 4 else 1)
    requests = found[lengths].shape[0]
    sizes = (
        ("ape", ape.shape[1], width, "columns"),
        ("kv_score", found["kv_score"].shape[1], 2 * width, "columns"),
        ("paged_kv", kv.shape[2], width, "columns"),
        ("paged_score", score.shape[2], width, "columns"),
        ("paged_score", score.shape[1], kv.shape[1], "rows a page"),
        ("block_table_kv", found["block_table_kv"].shape[0], requests, "rows"),
        ("block_table_score", found["block_table_score"].shape[0], requests, "rows"),
        ("cu_seq_lens", found["cu_seq_lens"].shape[0], requests + 1, "entries"),
        ("cu_kv_comp", found["cu_kv_comp"].shape[0], requests + 1, "entries"),
    )
    for name, has, needs, what in sizes:
        if has != needs:
            raise ValueError(f"{name}: {has} {what}, needs {needs} for {requests} requests, R {ape.shape[0]} and HD {output.shape[1]}")
    if kv.shape[1] < 1:
        raise ValueError("paged_kv: pages of no rows")
    for name in ("block_table_kv", "block_table_score"):
        if found[name].span // 4 > MANY:
            raise ValueError(f"{name}: {found[name].span // 4} elements, takes at most {MANY}")


def _values(memory: device.Memory) -> Any:
    """Return an int32 array on the host."""
    flat = device.flat(memory, "int32")
    host = np.asarray(flat.copy_to_host())
    return np.lib.stride_tricks.as_strided(host, memory.shape, memory.strides) if memory.span else np.zeros(memory.shape, np.int32)


def validate_indices(lengths: str, found: dict[str, device.Memory], ratio: int, next_n: int) -> None:
    """Read lengths and tables back and check every index that the kernel would use; raises ValueError that names the first wrong one."""
    starts, cu, comp = (_values(found[name]).astype(np.int64) for name in (lengths, "cu_seq_lens", "cu_kv_comp"))
    counts = np.diff(cu)
    tables = {name: _values(found[name]) for name in ("block_table_kv", "block_table_score")}
    size = found["paged_kv"].shape[1]
    least = 1 if lengths == "kv_lens" else 0
    for name, sums, rows in (("cu_seq_lens", cu, found["kv_score"].shape[0]), ("cu_kv_comp", comp, found["output"].shape[0])):
        if sums[0] != 0 or sums[-1] > rows:
            raise ValueError(f"{name}: runs from {sums[0]} to {sums[-1]}, needs 0 to at most {rows}")
    for request, count in enumerate(counts.tolist()):
        start = int(starts[request]) - (count if lengths == "kv_lens" else 0)
        end = start + count
        where = f"of request {request}"
        if not least <= count <= next_n:
            raise ValueError(f"cu_seq_lens: {count} new tokens {where}, takes {least} to {next_n}")
        if start < 0:
            raise ValueError(f"{lengths}: {int(starts[request])} {where} with {count} new tokens")
        windows = end // ratio - start // ratio
        if comp[request + 1] - comp[request] < windows:
            raise ValueError(f"cu_kv_comp: {comp[request + 1] - comp[request]} rows {where}, which completes {windows} windows")
        read = range(max(start // ratio - (ratio == 4), 0) * ratio, start if windows else 0)
        written = range(start if lengths == "kv_lens" else max(start, (end // ratio - (ratio == 4)) * ratio), end)
        used = sorted({position // size for rows in (read, written) for position in rows})
        for name, pages in (("block_table_kv", "paged_kv"), ("block_table_score", "paged_score")):
            if used and used[-1] >= found[name].shape[1]:
                raise ValueError(f"{name}: {found[name].shape[1]} blocks {where}, whose {end} tokens need {used[-1] + 1}")
            for block in used:
                page = tables[name][request, block]
                if not 0 <= page < found[pages].shape[0]:
                    raise ValueError(f"{name}: page {page} in block {block} {where}, {pages} has {found[pages].shape[0]}")
