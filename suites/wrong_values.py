"""Kernels that compute something a little else than they should, each beside its twin that does not."""

from __future__ import annotations

import numpy as np
from numba import cuda, float32

#: Rows that `sums` adds, and how many of them make a partial sum.
ROWS, DEPTH = 64, 8
#: What `scaled` multiplies by: its results lie far below an absolute tolerance of 1e-6.
SMALL = np.float32(1e-9)
INFINITE, CANONICAL = 0x7F800000, 0x7FC00000


def _sums(depth):
    @cuda.jit
    def sums(source, target):
        """Sum each column of [ROWS, columns], a thread each: partial sums of `depth` rows, added in their order."""
        column = cuda.grid(1)
        if column < target.size:
            total = float32(0)
            for first in range(0, ROWS, depth):
                part = float32(0)
                for row in range(first, first + depth):
                    part += source[row * target.size + column]
                total += part
            target[column] = total

    return sums


sums_in_parts = _sums(DEPTH)
#: The same additions in another order: right within any tolerance, and every time the same.
sums_in_one = _sums(ROWS)


@cuda.jit
def relu(source, target):
    """Replace what is below zero by 0.0."""
    i = cuda.grid(1)
    if i < target.size:
        value = source[i]
        if not value > float32(0):
            value = float32(0)
        target[i] = value


@cuda.jit
def relu_by_product(source, target):
    """Multiply what is below zero by 0.0: that is -0.0."""
    i = cuda.grid(1)
    if i < target.size:
        kept = float32(0)
        if source[i] > float32(0):
            kept = float32(1)
        target[i] = source[i] * kept


def _copy(canonical):
    @cuda.jit
    def copy(source, target):
        """Copy words of fp32; with `canonical` every NaN as the same one."""
        i = cuda.grid(1)
        if i < target.size:
            word = source[i]
            if canonical and (word & 0x7FFFFFFF) > INFINITE:
                word = CANONICAL
            target[i] = word

    return copy


copy_bits = _copy(canonical=False)
copy_canonical = _copy(canonical=True)


@cuda.jit
def scaled(source, target):
    """Multiply by SMALL."""
    i = cuda.grid(1)
    if i < target.size:
        target[i] = source[i] * SMALL


@cuda.jit
def zeroed(source, target):
    """Write zeros in the place of small numbers."""
    i = cuda.grid(1)
    if i < target.size:
        target[i] = float32(0)


def _magnitudes(in_place):
    @cuda.jit
    def magnitudes(source, target):
        """Write twice the magnitude; `in_place` leaves the magnitude in the source, so that only the first call changes it."""
        i = cuda.grid(1)
        if i < target.size:
            value = source[i]
            if value < float32(0):
                value = -value
            if in_place:
                source[i] = value
            target[i] = value + value

    return magnitudes


magnitudes_apart = _magnitudes(in_place=False)
magnitudes_in_place = _magnitudes(in_place=True)
