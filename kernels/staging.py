"""KV staging: move rows of K and V into the slots of a paged cache, all of them or only the accepted ones.

Sources are [N, H, D], caches NHD [blocks, block_size, H, D]; fp16, bf16 and fp32 move as bytes, so every bit survives. A row's
[H, D] must be packed, rows may have any distance. `slot_mapping` int32 or int64 [N] gives each row's slot, block * block_size +
offset; negative slots are skipped. Slots at or beyond blocks * block_size are the caller's mistake, and duplicate slots undefined:
looking would need a synchronisation. K and V move in one launch.

Committing alone starves the attention of the same step, which would read stale slots: serve with write_all before the attention
and put rejected rows back after it.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from numba import cuda

from kernels import device
from kernels.device import VECTOR, load1, load16, store1, store16

if TYPE_CHECKING:
    from collections.abc import Callable

#: Threads a block of write_rows: a row of 4 KB then has a thread for each vector, the order in which memory is fastest.
WRITE_THREADS = 256
#: Threads a block of commit_rows, which moves two vectors of K and two of V a thread at a time.
MAX_LANES = 128
#: Up to so many rows a commit gives them MAX_LANES; of more, a warp each. Which rows are accepted only the device knows, and a warp
#: that finds its row rejected costs about a hundred instructions: on an H200 a warp a row takes a third less time than four where
#: one row in ten is accepted, and 2 to 3 % more where half or all are. With fewer rows more lanes end sooner.
MANY_ROWS = 32768
WARP = 32
#: The largest grid.
MAX_BLOCKS = 2**31 - 1
#: dtypes that the ops take, by their short names.
DTYPES = ("float16", "bfloat16", "float32")


@device.inline
def copy_twos(key, k, key_cache, kc, value, v, value_cache, vc, lane, lanes, vectors):
    """Move the vectors of one row of K and one of V from byte k and v to byte kc and vc, two of each at a time."""
    i = lane
    while i + lanes < vectors:
        # Four independent loads are under way before the first store waits.
        near = VECTOR * i
        far = VECTOR * (i + lanes)
        k0 = load16(key, k + near)
        k1 = load16(key, k + far)
        v0 = load16(value, v + near)
        v1 = load16(value, v + far)
        store16(key_cache, kc + near, k0)
        store16(key_cache, kc + far, k1)
        store16(value_cache, vc + near, v0)
        store16(value_cache, vc + far, v1)
        i += 2 * lanes
    copy_ones(key, k, key_cache, kc, value, v, value_cache, vc, i, lanes, vectors)


@device.inline
def copy_ones(key, k, key_cache, kc, value, v, value_cache, vc, first, lanes, vectors):
    """Move vector `first` and each `lanes` further on, one of each at a time."""
    i = first
    while i < vectors:
        near = VECTOR * i
        k0 = load16(key, k + near)
        v0 = load16(value, v + near)
        store16(key_cache, kc + near, k0)
        store16(value_cache, vc + near, v0)
        i += lanes


@device.inline
def copy_tail(key, k, key_cache, kc, value, v, value_cache, vc, lane, lanes, vectors, row_bytes):
    """Move the bytes behind the vectors."""
    byte = VECTOR * vectors + lane
    while byte < row_bytes:
        store1(key_cache, kc + byte, load1(key, k + byte))
        store1(value_cache, vc + byte, load1(value, v + byte))
        byte += lanes


@cuda.jit
def write_rows(key, value, key_cache, value_cache, slots, vectors, row_bytes, key_step, value_step,
               shift, key_block, key_slot, value_block, value_slot):  # fmt: skip
    """Move every row whose slot is not negative: threads (lane, row), any grid; arrays are flat bytes, steps are bytes.

    Slot s begins at (s >> shift) * block + (s & (1 << shift) - 1) * slot bytes of its cache. The first vectors of a row are read
    beside its slot, not after it, so those of skipped rows are read too.
    """
    lane = cuda.threadIdx.x
    lanes = cuda.blockDim.x
    offsets = (1 << shift) - 1
    near = VECTOR * min(lane, vectors - 1)
    base = cuda.blockIdx.x * cuda.blockDim.y
    while base < slots.shape[0]:
        row = min(base + cuda.threadIdx.y, slots.shape[0] - 1)
        slot = slots[row]
        k = row * key_step
        v = row * value_step
        if vectors > 0:
            k0 = load16(key, k + near)
            v0 = load16(value, v + near)
            # The compiler may not move the loads over a barrier; without one it puts them behind the wait for the slot.
            cuda.syncthreads()
        if slot >= 0 and row == base + cuda.threadIdx.y:
            kc = (slot >> shift) * key_block + (slot & offsets) * key_slot
            vc = (slot >> shift) * value_block + (slot & offsets) * value_slot
            if lane < vectors:
                store16(key_cache, kc + near, k0)
                store16(value_cache, vc + near, v0)
            copy_ones(key, k, key_cache, kc, value, v, value_cache, vc, lane + lanes, lanes, vectors)
            copy_tail(key, k, key_cache, kc, value, v, value_cache, vc, lane, lanes, vectors, row_bytes)
        base += cuda.gridDim.x * cuda.blockDim.y


@cuda.jit
def commit_rows(key, value, key_cache, value_cache, slots, mask, vectors, row_bytes, key_step, value_step,
                shift, key_block, key_slot, value_block, value_slot):  # fmt: skip
    """Move every row whose mask is set and slot is not negative, as `write_rows` does; other rows are not even read."""
    lane = cuda.threadIdx.x
    offsets = (1 << shift) - 1
    row = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    while row < slots.shape[0]:
        slot = slots[row]
        # Not `and`: both loads are then under way before either is waited for.
        if (slot >= 0) & (mask[row] != 0):
            k = row * key_step
            v = row * value_step
            kc = (slot >> shift) * key_block + (slot & offsets) * key_slot
            vc = (slot >> shift) * value_block + (slot & offsets) * value_slot
            copy_twos(key, k, key_cache, kc, value, v, value_cache, vc, lane, cuda.blockDim.x, vectors)
            copy_tail(key, k, key_cache, kc, value, v, value_cache, vc, lane, cuda.blockDim.x, vectors, row_bytes)
        row += cuda.gridDim.x * cuda.blockDim.y


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A checked launch of one op: calling it launches the kernel, and nothing else.

    `vectors` of 16 bytes move per row, the other `row_bytes` singly: 0 vectors where an address or a step is no multiple of 16.
    """

    launch: Callable[[], None]
    rows: int
    row_bytes: int
    vectors: int

    def __call__(self) -> None:
        """Launch."""
        self.launch()


def plan_write_all(key: Any, value: Any, key_cache: Any, value_cache: Any, slot_mapping: Any, *, stream: int = 0,
                   blocks: int | None = None, threads: tuple[int, int] | None = None) -> Plan:  # fmt: skip
    """Check and convert the arrays once for many launches that move every row with a slot.

    `threads` is (lanes of a row, rows a block); neither it nor `blocks` changes the result. Raises TypeError, ValueError.
    """
    return _plan(write_rows, (key, value, key_cache, value_cache, slot_mapping), stream, blocks, threads)


def plan_commit_masked(key: Any, value: Any, key_cache: Any, value_cache: Any, slot_mapping: Any, mask: Any, *, stream: int = 0,
                       blocks: int | None = None, threads: tuple[int, int] | None = None) -> Plan:  # fmt: skip
    """Check and convert the arrays once for many launches that move the rows whose `mask` (bool or uint8 [N]) is set."""
    return _plan(commit_rows, (key, value, key_cache, value_cache, slot_mapping, mask), stream, blocks, threads)


def write_all(key: Any, value: Any, key_cache: Any, value_cache: Any, slot_mapping: Any, *, stream: int = 0) -> None:
    """Move every row of K and V into its slot."""
    plan_write_all(key, value, key_cache, value_cache, slot_mapping, stream=stream)()


def commit_masked(key: Any, value: Any, key_cache: Any, value_cache: Any, slot_mapping: Any, mask: Any, *, stream: int = 0) -> None:
    """Move the rows of K and V whose mask is set into their slots."""
    plan_commit_masked(key, value, key_cache, value_cache, slot_mapping, mask, stream=stream)()


#: name, dtypes that it may have, dimensions, whether the kernel writes it
_ARRAYS = (
    ("key", DTYPES, 3, False),
    ("value", DTYPES, 3, False),
    ("key_cache", DTYPES, 4, True),
    ("value_cache", DTYPES, 4, True),
    ("slot_mapping", ("int32", "int64"), 1, False),
    ("mask", ("bool", "uint8"), 1, False),
)


def _plan(kernel: Any, arrays: tuple[Any, ...], stream: int, blocks: int | None, threads: tuple[int, int] | None) -> Plan:
    found = _checked(arrays)
    key, value, key_cache, value_cache, slots = (found[name] for name, *_ in _ARRAYS[:5])
    rows = key.shape[0]
    row_bytes = key.itemsize * key.shape[1] * key.shape[2]
    shift = 0 if _uniform(key_cache) and _uniform(value_cache) else _shift(key_cache.shape[1])
    steps = (key.strides[0], value.strides[0], *_cache_steps(key_cache, shift), *_cache_steps(value_cache, shift))
    aligned = all(number % VECTOR == 0 for number in (*steps, *(found[name].address for name, *_ in _ARRAYS[:4])))
    vectors = row_bytes // VECTOR if aligned else 0
    if rows == 0 or row_bytes == 0:
        return Plan(_nothing, rows, row_bytes, vectors)
    lanes, together = threads or _threads(rows, row_bytes, vectors, masked="mask" in found)
    if lanes < 1 or together < 1 or lanes * together > 1024:
        raise ValueError(f"{kernel.__name__}: {lanes} x {together} threads a block; takes 1 to 1024")
    launch = device.configured(kernel, blocks or min(MAX_BLOCKS, -(-rows // together)), (lanes, together), stream)
    arguments = [device.flat(found[name]) for name, *_ in _ARRAYS[:4]] + [device.flat(slots, slots.dtype)]
    if "mask" in found:
        arguments.append(device.flat(found["mask"]))
    return Plan(functools.partial(launch, *arguments, vectors, row_bytes, *steps[:2], shift, *steps[2:]), rows, row_bytes, vectors)


def _nothing() -> None:
    """Launch nothing: there are no rows."""


def _uniform(cache: device.Memory) -> bool:
    """Tell whether slots lie at one distance, over the ends of blocks too."""
    return cache.shape[0] <= 1 or cache.strides[0] == cache.shape[1] * cache.strides[1]


def _shift(block_size: int) -> int:
    """Return log2 of the block size: a division by a number known only at run time would cost more than the row's addresses."""
    if block_size & (block_size - 1):
        raise ValueError(f"key_cache: block size {block_size} with gaps between blocks; such caches need a power of two")
    return block_size.bit_length() - 1


def _cache_steps(cache: device.Memory, shift: int) -> tuple[int, int]:
    """Return the bytes from block to block and from slot to slot; with shift 0 each slot is a block of its own."""
    return (cache.strides[0] if shift else cache.strides[1], cache.strides[1])


def _threads(rows: int, row_bytes: int, vectors: int, *, masked: bool) -> tuple[int, int]:
    """Return lanes a row and rows a block, both powers of two.

    A lane of a write moves one vector of K and one of V, a lane of a commit two of each; without vectors four bytes.
    """
    threads = MAX_LANES if masked else WRITE_THREADS
    most = WARP if masked and rows > MANY_ROWS else threads
    share = -(-vectors // (2 if masked else 1)) if vectors else -(-row_bytes // 4)
    lanes = min(most, _power(share))
    return lanes, min(_power(rows), threads // lanes)


def _power(number: int) -> int:
    """Return the smallest power of two that is not below a positive number."""
    return 1 << (number - 1).bit_length()


def _checked(arrays: tuple[Any, ...]) -> dict[str, device.Memory]:
    found: dict[str, device.Memory] = {}
    for (name, dtypes, dims, written), array in zip(_ARRAYS, arrays, strict=False):
        memory = device.memory(array, name)
        if memory.dtype not in dtypes:
            raise TypeError(f"{name}: dtype {memory.dtype}, needs {' or '.join(dtypes)}")
        if len(memory.shape) != dims:
            raise ValueError(f"{name}: shape {memory.shape} has {len(memory.shape)} dimensions, needs {dims}")
        if memory.address % memory.itemsize or any(stride % memory.itemsize for stride in memory.strides):
            raise ValueError(f"{name}: address or strides {memory.strides} are no multiples of its {memory.itemsize}-byte elements")
        inner = 2 if dims > 1 else 1
        if memory.span and not memory.packed(inner):
            raise ValueError(
                f"{name}: strides {memory.strides} leave gaps inside {'a row [H, D]' if inner == 2 else 'it'}; only rows may have gaps"
            )
        if written and memory.readonly:
            raise ValueError(f"{name}: the array is read-only")
        found[name] = memory
    _matching(found)
    return found


def _matching(found: dict[str, device.Memory]) -> None:
    key, cache = found["key"], found["key_cache"]
    for name in ("value", "key_cache", "value_cache"):
        if found[name].dtype != key.dtype:
            raise TypeError(f"{name}: dtype {found[name].dtype} beside key's {key.dtype}; rows move as bytes, nothing is converted")
    for name, shape in (("value", key.shape), ("value_cache", cache.shape)):
        if found[name].shape != shape:
            raise ValueError(f"{name}: shape {found[name].shape} beside {shape} of {'key' if name == 'value' else 'key_cache'}")
    if cache.shape[2:] != key.shape[1:]:
        raise ValueError(f"key_cache: heads and depth {cache.shape[2:]} beside key's {key.shape[1:]}")
    for name in ("slot_mapping", "mask"):
        if name in found and found[name].shape[0] != key.shape[0]:
            raise ValueError(f"{name}: {found[name].shape[0]} entries for the {key.shape[0]} rows of key")
    for name in ("key_cache", "value_cache"):
        if cache.span and found[name].strides[1] < key.itemsize * key.shape[1] * key.shape[2]:
            raise ValueError(f"{name}: slots {found[name].strides[1]} bytes apart overlap")
