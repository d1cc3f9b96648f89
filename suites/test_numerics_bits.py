"""kernels/numerics.py where kernels run, on the GPU or in the simulator: the bits of a kernel are those of the same function over arrays."""

from __future__ import annotations

import numpy as np
import pytest
from numba import cuda

from kernels import numerics
from kernels.numerics import add32, as_word, canonical, div32, exp32, fma32, from_bf16, max32, mul32, sub32, to_bf16

SPECIAL = np.array([0, 1e-45, 1e-38, 1.1754944e-38, 0.34657359, 1, 87.3, 103.97, 104.5, 3.4e38, np.inf, np.nan], dtype=np.float32)
#: a * b + c that is half of c's last place less a little: rounded twice, it goes to the wrong side.
GRAZED = np.array([[1 + 2**-20, 1 - 2**-20, 2**24 + 2], [2**-74 + 2**-94, 2**-76 - 2**-96, 2**-130 + 2**-149]], dtype=np.float32).T


@cuda.jit
def compute(a, b, c, results, words):
    """Fill a row of `results` and of `words` for each function, a thread every so many elements."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    while i < a.shape[0]:
        x = a[i]
        y = b[i]
        results[0, i] = canonical(fma32(x, y, c[i]))
        results[1, i] = canonical(mul32(x, y))
        results[2, i] = canonical(add32(x, y))
        results[3, i] = canonical(sub32(x, y))
        results[4, i] = canonical(div32(x, y))
        results[5, i] = canonical(max32(x, y))
        results[6, i] = canonical(exp32(x))
        # What a softmax does: the compiler sees sums of products here.
        results[7, i] = canonical(add32(mul32(x, y), mul32(exp32(sub32(y, max32(x, y))), c[i])))
        words[0, i] = to_bf16(x)
        words[1, i] = as_word(canonical(from_bf16(to_bf16(y))))
        i += cuda.gridDim.x * cuda.blockDim.x


def expected(a, b, c):
    """Compute both arrays of results with NumPy."""
    n = numerics.arrays
    softmax = n.add32(n.mul32(a, b), n.mul32(n.exp32(n.sub32(b, n.max32(a, b))), c))
    results = [n.fma32(a, b, c), n.mul32(a, b), n.add32(a, b), n.sub32(a, b), n.div32(a, b), n.max32(a, b), n.exp32(a), softmax]
    return np.stack([n.canonical(row) for row in results]), np.stack([n.to_bf16(a), n.as_word(n.canonical(n.from_bf16(n.to_bf16(b))))])


@pytest.mark.parametrize("kind", ["scores", "bits"])
def test_every_function_has_the_bits_of_numpy(gpuperf, place, kind):
    rng = np.random.default_rng(17)
    count = 500 if place.simulated else 1_000_000
    if kind == "scores":
        columns = [rng.uniform(-104, 0, count).astype(np.float32) for _ in range(3)]
    else:
        columns = [rng.integers(0, 2**32, count, dtype=np.uint32).view(np.float32) for _ in range(3)]
    signed = np.concatenate([SPECIAL, -SPECIAL])
    corners = [grid.ravel() for grid in np.meshgrid(signed, signed, signed[::7], indexing="ij")]
    a, b, c = (np.concatenate(parts) for parts in zip(GRAZED, corners, columns, strict=True))
    results = place.full((8, a.size), 0, "float32")
    words = place.full((2, a.size), 0, "int32")
    arguments = [place.put(array) for array in (a, b, c)]
    if place.simulated:
        compute[1, 16](*(tensor.numpy() for tensor in arguments), results.numpy(), words.numpy().view(np.uint32))
    else:
        compute[256, 128](*(cuda.as_cuda_array(tensor) for tensor in (*arguments, results)), cuda.as_cuda_array(words).view(np.uint32))
    wanted, halves = expected(a, b, c)
    gpuperf.identical(results, wanted)
    gpuperf.identical(words, halves.view(np.int32))
