"""kernels/numerics.py on a GPU: over ten million points of each function the device's bits are NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from numeric_cases import exponents, of_bits, triples

pytest_plugins = ["gpu_fixtures"]
pytestmark = pytest.mark.gpu

POINTS = 10_000_000


@pytest.fixture(scope="module")
def arrays(gpu_runtime):
    from kernels import numerics

    assert not numerics.device.SIMULATED
    return numerics.arrays


def launched(cuda, body, result, *columns):
    """Run `body` over columns, an element a thread at a time, and return what it stored."""
    kernel = cuda.jit(body)
    stored = cuda.to_device(np.full(columns[0].size, 0xA5A5A5A5, dtype=np.uint32).view(result))
    kernel[2048, 256](*(cuda.to_device(column) for column in columns), stored)
    return stored.copy_to_host()


def same(found, wanted):
    """Assert equal bits; of the first difference, say where."""
    found, wanted = found.view(np.uint32), wanted.view(np.uint32)
    differ = np.flatnonzero(found != wanted)
    assert not differ.size, f"{differ.size} differ, first [{differ[0]}]: device {found[differ[0]]:#010x}, NumPy {wanted[differ[0]]:#010x}"


def bodies(cuda):
    """Return a kernel's text for each function of one, two and three operands."""
    from kernels import numerics

    canonical = numerics.canonical

    def one(function):
        def body(a, out):
            for i in range(cuda.grid(1), a.shape[0], cuda.gridsize(1)):
                out[i] = canonical(function(a[i]))

        return body

    def two(function):
        def body(a, b, out):
            for i in range(cuda.grid(1), a.shape[0], cuda.gridsize(1)):
                out[i] = canonical(function(a[i], b[i]))

        return body

    def three(function):
        def body(a, b, c, out):
            for i in range(cuda.grid(1), a.shape[0], cuda.gridsize(1)):
                out[i] = canonical(function(a[i], b[i], c[i]))

        return body

    return {1: one, 2: two, 3: three}


def test_exp32(cuda, arrays):
    from kernels import numerics

    x = np.concatenate([exponents(POINTS, 21), exponents(100_000, 22, highest=70.0), np.float32([71, 89, 1e9])])
    found = launched(cuda, bodies(cuda)[1](numerics.exp32), np.float32, x)
    same(found, arrays.canonical(arrays.exp32(x)))


def test_fma32(cuda, arrays):
    from kernels import numerics

    columns = triples(POINTS, 23)
    found = launched(cuda, bodies(cuda)[3](numerics.fma32), np.float32, *columns)
    same(found, arrays.canonical(arrays.fma32(*columns)))


@pytest.mark.parametrize("name", ["mul32", "add32", "sub32", "div32", "max32"])
def test_operations_of_two(cuda, arrays, name):
    from kernels import numerics

    columns = triples(POINTS, 24)[:2]
    found = launched(cuda, bodies(cuda)[2](getattr(numerics, name)), np.float32, *columns)
    same(found, arrays.canonical(getattr(arrays, name)(*columns)))


def test_conversions_of_every_bfloat16_and_every_kind_of_float32(cuda, arrays):
    from kernels.numerics import as_float, as_word, canonical, from_bf16, to_bf16

    def down(a, out):
        for i in range(cuda.grid(1), a.shape[0], cuda.gridsize(1)):
            out[i] = to_bf16(a[i])

    def up(a, out):
        for i in range(cuda.grid(1), a.shape[0], cuda.gridsize(1)):
            out[i] = from_bf16(a[i])

    def through(a, out):
        for i in range(cuda.grid(1), a.shape[0], cuda.gridsize(1)):
            out[i] = as_word(as_float(a[i]))

    def one_nan(a, out):
        for i in range(cuda.grid(1), a.shape[0], cuda.gridsize(1)):
            out[i] = canonical(a[i])

    words = np.random.default_rng(25).integers(0, 2**32, POINTS, dtype=np.uint32)
    halves = np.arange(2**16, dtype=np.uint32) << 16
    words = np.concatenate([words, *(halves + offset for offset in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF))])
    same(launched(cuda, down, np.uint32, words.view(np.float32)), arrays.to_bf16(words.view(np.float32)))
    same(launched(cuda, up, np.float32, words), arrays.from_bf16(words))
    same(launched(cuda, through, np.uint32, words), words)
    same(launched(cuda, one_nan, np.float32, words.view(np.float32)), arrays.canonical(words.view(np.float32)))
    nan = of_bits(0x7FFFFFFF, 0xFFC00001, 0x7F800001)
    assert launched(cuda, down, np.uint32, nan).tolist() == [0x7FC0] * 3
    assert launched(cuda, one_nan, np.float32, nan).view(np.uint32).tolist() == [0x7FC00000] * 3


def test_a_difference_is_seen(cuda, arrays):
    import math

    def library(a, out):
        for i in range(cuda.grid(1), a.shape[0], cuda.gridsize(1)):
            out[i] = math.exp(a[i])

    x = exponents(100_000, 26)
    x = x[np.isfinite(x)]
    with pytest.raises(AssertionError, match=r"differ, first \["):
        same(launched(cuda, library, np.float32, x), arrays.exp32(x))
