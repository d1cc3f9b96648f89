"""Kernels that compute the right answer and move too much: each beside its twin, which differs in one place. Counters tell them apart."""

from __future__ import annotations

from numba import cuda, float32

from kernels.device import SIMULATED

#: Threads of a warp, and banks of shared memory, each four bytes wide.
WARP = 32
#: Rows of a tile that one thread moves.
TILE_ROWS = 8
#: Partial sums that one thread of `sums` keeps alive: more than 32 registers hold.
SUMS = 48
#: Elements from one sector of 32 bytes to the next, and one more: no two threads of a warp share one.
STEP = 32


def _transpose(width):
    @cuda.jit
    def transpose(source, target):
        """Transpose a square matrix tile by tile through shared memory: blocks of (WARP, TILE_ROWS) threads, a tile each."""
        tile = cuda.shared.array((WARP, width), float32)
        x, y = cuda.blockIdx.x * WARP + cuda.threadIdx.x, cuda.blockIdx.y * WARP + cuda.threadIdx.y
        for row in range(0, WARP, TILE_ROWS):
            tile[cuda.threadIdx.y + row, cuda.threadIdx.x] = source[y + row, x]
        cuda.syncthreads()
        x, y = cuda.blockIdx.y * WARP + cuda.threadIdx.x, cuda.blockIdx.x * WARP + cuda.threadIdx.y
        for row in range(0, WARP, TILE_ROWS):
            # A warp reads a column: rows of WARP words keep it in one bank, one word more puts each word into a bank of its own.
            target[y + row, x] = tile[cuda.threadIdx.x, cuda.threadIdx.y + row]

    return transpose


#: All 32 threads of a warp read one bank: 31 conflicts at every load.
transpose_conflicting = _transpose(WARP)
transpose_padded = _transpose(WARP + 1)


def _sums(**options):
    @cuda.jit(**({} if SIMULATED else options))
    def sums(source, target, rounds):
        """Keep SUMS sums of products alive through all rounds: a thread reads SUMS values and writes one."""
        i = cuda.grid(1)
        if i < target.size:
            kept = cuda.local.array(SUMS, float32)
            for k in range(SUMS):
                kept[k] = source[(i + k) % source.size]
            for turn in range(rounds):
                scale = source[turn % source.size]
                for k in range(SUMS):
                    kept[k] = kept[k] * scale + kept[(k + 1) % SUMS]
            total = float32(0)
            for k in range(SUMS):
                total += kept[k]
            target[i] = total

    return sums


#: The compiler may use 32 registers, so it keeps the rest in local memory.
sums_spilling = _sums(max_registers=32)
sums_in_registers = _sums()


def _copy(step):
    @cuda.jit
    def copy(source, target):
        """Copy as many elements as there are threads, a multiple of `step`: neighbouring threads read `step` elements apart."""
        i = cuda.grid(1)
        rows = source.size // step
        if i < source.size:
            target[i] = source[(i % rows) * step + i // rows]

    return copy


#: Each thread of a warp needs a sector of its own: 32 where 4 would do.
copy_strided = _copy(STEP)
copy_coalesced = _copy(1)
