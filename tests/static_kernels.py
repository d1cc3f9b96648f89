"""Kernels whose machine code is known well enough to be counted; a child compiles them, so nothing here may be imported by a test that simulates."""

from __future__ import annotations

from numba import cuda, float32, float64, int32
from static_gpu_kernels import full, helped, helper, staged

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


_full = full.py_func


@cuda.jit("void(float32[::1], float32[::1])")
def declared(x, y):
    y[cuda.grid(1)] = helper(x[cuda.grid(1)], float32(2))


@cuda.jit(["void(float32[:], float32[:])", "void(int32[:], int32[:])"])
def chosen(x, y):
    y[cuda.grid(1)] = x[cuda.grid(1)]


@cuda.jit("float32(float32)", device=True)
def narrow(x):
    return x * float32(3)


@cuda.jit
def narrowed(x, y):
    y[cuda.grid(1)] = narrow(x[cuda.grid(1)])


@cuda.jit
def unwritable(x, y):
    y[0] = x[0] + "text"


def plain(x, y):
    y[cuda.grid(1)] = x[cuda.grid(1)]


#: The same kernel by another name.
also_staged = staged
NOT_A_KERNEL = float64, int32, helped
