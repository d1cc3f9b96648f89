"""Kernels whose machine code is known well enough to be counted; a child compiles them, so nothing here may be imported by a test that simulates."""

from __future__ import annotations

from numba import cuda, float32, float64, int32

FACTOR = 3


@cuda.jit
def scale(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = x[i] * float32(FACTOR)


@cuda.jit
def widened(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = x[i] * 0.1


@cuda.jit
def staged(x, y):
    tile = cuda.shared.array(256, float32)
    tile[cuda.threadIdx.x] = x[cuda.grid(1)]
    cuda.syncthreads()
    y[cuda.grid(1)] = tile[255 - cuda.threadIdx.x]


def _full(x, y):
    kept = cuda.local.array(96, float32)
    for j in range(96):
        kept[j] = x[cuda.grid(1) + j]
    total = float32(0)
    for j in range(96):
        for k in range(0, 96, 8):
            total += kept[j] * kept[(j * k + 5) % 96]
    y[cuda.grid(1)] = total


full = cuda.jit(max_registers=24)(_full)


@cuda.jit(device=True)
def helper(a, b):
    return a * b + a


@cuda.jit
def helped(x, y):
    i = cuda.grid(1)
    y[i] = helper(x[i], y[i])


@cuda.jit("void(float32[::1], float32[::1])")
def declared(x, y):
    y[cuda.grid(1)] = helper(x[cuda.grid(1)], float32(2))


@cuda.jit
def unwritable(x, y):
    y[0] = x[0] + "text"


def plain(x, y):
    y[cuda.grid(1)] = x[cuda.grid(1)]


NOT_A_KERNEL = float64, int32
