"""The kernels of the examples in numba-cuda, and how they are launched; fake_kernels.py has the same names for a machine without a GPU."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numba import cuda

THREADS = 256


@cuda.jit
def double(x, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = x[i] + x[i]


@cuda.jit
def double_strided(x, out):
    # Neighbouring threads touch elements that lie far apart, so every access is a sector of its own. 65537 is a prime: each element has its turn.
    i = cuda.grid(1)
    if i < out.size:
        place = (np.int64(i) * 65537) % out.size
        out[place] = x[place] + x[place]


@cuda.jit
def double_and_one_more(x, out):
    # Wrong: `<=` writes one element beyond the end.
    i = cuda.grid(1)
    if i <= out.size:
        out[i] = x[min(i, x.size - 1)] + x[min(i, x.size - 1)]


@cuda.jit
def scale(x, factor, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = x[i] * factor


@cuda.jit
def increment(x):
    i = cuda.grid(1)
    if i < x.size:
        x[i] += np.float32(1.0)


@cuda.jit
def total(x, out):
    # The order of these additions is what the scheduler makes it, and so are the last bits of the sum.
    i = cuda.grid(1)
    if i < x.size:
        cuda.atomic.add(out, 0, x[i])


@cuda.jit
def tenth_more(x, out):
    # A Python number is a float64: this multiplies in double precision, and converts twice.
    i = cuda.grid(1)
    if i < out.size:
        out[i] = x[i] * 1.1


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """What `gpuperf static gpu_kernels` compiles, and limits such as registers="<= 32" are judged for, without a GPU."""

    name: str
    function: Any
    signature: str
    block: int = THREADS


KERNELS = (
    Kernel("double", double, "void(float32[::1], float32[::1])"),
    Kernel("double_strided", double_strided, "void(float32[::1], float32[::1])"),
    Kernel("tenth_more", tenth_more, "void(float32[::1], float32[::1])"),
)


class GpuKernels:
    """Arrays on the GPU and launches on `gpuperf.stream`, read at each call: so that a graph can capture them."""

    #: floats in a row
    row = 4096
    #: what gpuperf.guarded makes
    like = "numba"

    def __init__(self, gpuperf):
        self._gpuperf = gpuperf

    def put(self, values):
        return cuda.to_device(values)

    def random(self, rows):
        return self.put(self._gpuperf.rng().random(rows * self.row, dtype="float32"))

    def empty(self, rows):
        return cuda.device_array(rows * self.row, "float32")

    def zeros(self, rows):
        return self.put(np.zeros(rows * self.row, "float32"))

    def read(self, array):
        return array.copy_to_host()

    def double(self, x, out):
        self._launch(double, out.size, x, out)

    def double_strided(self, x, out):
        self._launch(double_strided, out.size, x, out)

    def double_but_the_last_block(self, x, out):
        self._launch(double, out.size - THREADS, x, out)

    def double_and_one_more(self, x, out):
        self._launch(double_and_one_more, out.size + 1, x, out)

    def negate(self, x, out):
        self._launch(scale, out.size, x, np.float32(-1.0), out)

    def increment(self, x):
        self._launch(increment, x.size, x)

    def total(self, x, out):
        self._launch(total, x.size, x, out)

    def wait(self):
        cuda.synchronize()

    def product(self):
        """Return a matrix product in bf16, what it writes, and its operations."""
        import pytest

        torch = pytest.importorskip("torch", reason="the matrix product on a GPU is torch's")
        a, b, out = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(3))
        return (lambda: torch.matmul(a, b, out=out)), out, 2 * 8192**3

    def _launch(self, kernel, threads, *arguments):
        kernel[-(-threads // THREADS), THREADS, self._gpuperf.stream](*arguments)
