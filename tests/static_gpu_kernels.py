"""Kernels that are compiled on a device and without one; nothing here declares a signature, so that it can be imported with and without a GPU."""

from __future__ import annotations

import math

from numba import cuda, float32


@cuda.jit
def staged(x, y):
    tile = cuda.shared.array(256, float32)
    tile[cuda.threadIdx.x] = x[cuda.grid(1)]
    cuda.syncthreads()
    y[cuda.grid(1)] = tile[255 - cuda.threadIdx.x]


@cuda.jit(max_registers=24)
def full(x, y):
    kept = cuda.local.array(96, float32)
    for j in range(96):
        kept[j] = x[cuda.grid(1) + j]
    total = float32(0)
    for j in range(96):
        for k in range(0, 96, 8):
            total += kept[j] * kept[(j * k + 5) % 96]
    y[cuda.grid(1)] = total


@cuda.jit(device=True)
def helper(a, b):
    return a * b + a


@cuda.jit
def helped(x, y):
    i = cuda.grid(1)
    y[i] = helper(x[i], y[i])


@cuda.jit(fastmath=True)
def precise(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = math.exp(x[i]) / math.sqrt(x[i] + float32(1))


@cuda.jit
def together(x, y):
    grid = cuda.cg.this_grid()
    x[cuda.grid(1)] += y[0]
    grid.sync()
    y[cuda.grid(1)] = x[0]
