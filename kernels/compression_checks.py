"""What KV compression asks of its arrays before a launch, and of the indices in them where it is told to look."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numba import cuda

from kernels import device

FLOATS = ("bfloat16", "float32")
#: The most elements that a 32-bit index counts.
MANY = 2**31 - 1
#: How long NumPy looks for a byte that two strided arrays share.
WORK = 100_000


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
    _apart(found)
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
    if memory.span and not _nested(memory):
        raise ValueError(f"{name}: strides {memory.strides} make rows overlap, or do not descend")
    return memory


def _nested(memory: device.Memory) -> bool:
    """Tell whether each dimension steps over all that those inside it span; one of a single entry steps nowhere."""
    span = memory.itemsize
    for extent, stride in zip(reversed(memory.shape), reversed(memory.strides), strict=True):
        if extent > 1:
            if stride < span:
                return False
            span += (extent - 1) * stride
    return True


class _Placed:
    """Lends NumPy the place of an array, of which it reads nothing."""

    def __init__(self, memory: device.Memory) -> None:
        self.__array_interface__ = {
            "version": 3, "data": (memory.address, True), "shape": memory.shape, "strides": memory.strides, "typestr": f"|V{memory.itemsize}",
        }  # fmt: skip


def _share(one: device.Memory, other: device.Memory) -> bool:
    """Tell whether two arrays have bytes in common; columns side by side in one allocation have none."""
    if not (one.span and other.span and one.address < other.address + other.span and other.address < one.address + one.span):
        return False
    try:
        return bool(np.shares_memory(np.asarray(_Placed(one)), np.asarray(_Placed(other)), max_work=WORK))
    except np.exceptions.TooHardError:
        return False


def _apart(found: dict[str, device.Memory]) -> None:
    """Refuse what is written over what is read, or written twice."""
    for written in (row.name for row in _ARRAYS if row.written):
        for name, memory in found.items():
            if name != written and _share(found[written], memory):
                raise ValueError(f"{written}: shares memory with {name}, and is written")


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
    # Lengths may come from any stream, also from one that the copies below do not wait for.
    cuda.synchronize()
    starts, cu, comp = (_values(found[name]).astype(np.int64) for name in (lengths, "cu_seq_lens", "cu_kv_comp"))
    counts = np.diff(cu)
    tables = {name: _values(found[name]) for name in ("block_table_kv", "block_table_score")}
    size = found["paged_kv"].shape[1]
    uses: list[tuple[range, range]] = []
    for name, sums, rows in (("cu_seq_lens", cu, found["kv_score"].shape[0]), ("cu_kv_comp", comp, found["output"].shape[0])):
        if sums[0] != 0 or sums[-1] > rows:
            raise ValueError(f"{name}: runs from {sums[0]} to {sums[-1]}, needs 0 to at most {rows}")
    for request, count in enumerate(counts.tolist()):
        start = int(starts[request]) - (count if lengths == "kv_lens" else 0)
        end = start + count
        where = f"of request {request}"
        if not 0 <= count <= next_n:
            raise ValueError(f"cu_seq_lens: {count} new tokens {where}, takes 0 to {next_n}")
        if start < 0:
            raise ValueError(f"{lengths}: {int(starts[request])} {where} with {count} new tokens")
        windows = end // ratio - start // ratio
        if comp[request + 1] - comp[request] < windows:
            raise ValueError(f"cu_kv_comp: {comp[request + 1] - comp[request]} rows {where}, which completes {windows} windows")
        read = range(max(start // ratio - (ratio == 4), 0) * ratio, start if windows else 0)
        written = range(start if lengths == "kv_lens" else max(start, (end // ratio - (ratio == 4)) * ratio), end)
        uses.append((read, written))
        used = sorted({position // size for rows in (read, written) for position in rows})
        for name, pages in (("block_table_kv", "paged_kv"), ("block_table_score", "paged_score")):
            if used and used[-1] >= found[name].shape[1]:
                raise ValueError(f"{name}: {found[name].shape[1]} blocks {where}, whose {end} tokens need {used[-1] + 1}")
            for block in used:
                page = tables[name][request, block]
                if not 0 <= page < found[pages].shape[0]:
                    raise ValueError(f"{name}: page {page} in block {block} {where}, {pages} has {found[pages].shape[0]}")
    for name, table in tables.items():
        _one_writer(name, table, size, uses)


def _one_writer(name: str, table: Any, size: int, uses: list[tuple[range, range]]) -> None:
    """Refuse rows of the state that a request writes and another one uses: `uses` has the positions that each reads and writes."""

    def rows(request: int, positions: range) -> list[tuple[int, int]]:
        return [(int(table[request, position // size]), position % size) for position in positions]

    writers: dict[tuple[int, int], int] = {}
    for request, (_, written) in enumerate(uses):
        writers |= dict.fromkeys(rows(request, written), request)
    for request, both in enumerate(uses):
        for page, slot in (row for positions in both for row in rows(request, positions)):
            writer = writers.get((page, slot), request)
            if writer != request:
                raise ValueError(f"{name}: row {slot} of page {page} is written by request {writer}, and request {request} uses it too")
