"""Kernels that write where they should not, or not where they should, or read before others have written; each beside its right twin."""

from __future__ import annotations

import numpy as np
from numba import cuda, float32, int32

_TWO = np.float32(2)
#: Threads of a block of `totals_in_order`, and how many totals there are.
TREE, TOTALS = 256, 64
#: A step of the numbers that `mirrored` makes; they stay within 16 bits.
FACTOR, STEP, MASK = 5, 3, 0xFFFF


def _doubled(beyond):
    @cuda.jit
    def doubled(source, target, count):
        """Double `count` elements, and `beyond` more."""
        i = cuda.grid(1)
        if i < count + beyond:
            target[i] = source[i] * _TWO

    return doubled


doubled = _doubled(0)
doubled_past_the_end = _doubled(1)


def _mirrored(barrier):
    @cuda.jit
    def mirrored(source, scratch, target):
        """Write numbers that take the longer to make the later the thread, then read those of the thread at the other end of the block."""
        i = cuda.threadIdx.x
        number = source[i]
        for _ in range(8 * i):
            number = (number * FACTOR + STEP) & MASK
        scratch[i] = number
        if barrier:
            cuda.syncthreads()
        # One more: were it what the plugin has put there, an element would count as not written.
        target[i] = scratch[cuda.blockDim.x - 1 - i] + 1

    return mirrored


mirrored = _mirrored(barrier=True)
mirrored_too_soon = _mirrored(barrier=False)


@cuda.jit
def totals_by_atomics(values, totals):
    """Add each value to one of the totals, in the order in which threads come."""
    i = cuda.grid(1)
    if i < values.size:
        cuda.atomic.add(totals, i % TOTALS, values[i])


@cuda.jit
def totals_in_order(values, totals):
    """Add the same values by a tree, a block of TREE threads for each total."""
    sums = cuda.shared.array(TREE, float32)
    thread, place = cuda.threadIdx.x, cuda.blockIdx.x
    total = float32(0)
    for i in range(thread * TOTALS + place, values.size, TREE * TOTALS):
        total += values[i]
    sums[thread] = total
    width = int32(TREE // 2)
    while width > 0:
        cuda.syncthreads()
        if thread < width:
            sums[thread] += sums[thread + width]
        width = width // 2
    if thread == 0:
        totals[place] += sums[0]
