"""What only a GPU can answer of kernels/device.py and of KERNELS: both executions of each primitive agree, and nothing compiles per shape."""

from __future__ import annotations

import numpy as np
import pytest
from numba import cuda
from numba.core import sigutils

from kernels import KERNELS, device, masks, staging
from suites.batches import random_batch
from suites.rows import staged

pytestmark = pytest.mark.gpuperf(gpu=True)


def copy16(source, target):
    """Copy 16 bytes a thread: the body of a kernel, and of the plain loop beside it."""
    i = 16 * (cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x)
    device.store16(target, i, device.load16(source, i))


def copy1(source, target):
    """Copy a byte a thread."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    device.store1(target, i, device.load1(source, i))


PAIRS = {
    "16 bytes": (copy16, 16, device.plain_load16, device.plain_store16),
    "1 byte": (copy1, 1, device.plain_load1, device.plain_store1),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_primitives_move_the_same_bits_as_plain_python(gpuperf, pair):
    body, width, load, store = PAIRS[pair]
    bits = np.random.default_rng(3).integers(0, 256, 1024, dtype=np.uint8)
    plain = np.zeros_like(bits)
    for i in range(0, bits.size, width):
        store(plain, i, load(bits, i))
    target = cuda.to_device(np.zeros_like(bits))
    cuda.jit(body)[bits.size // width // 32, 32](cuda.to_device(bits), target)
    gpuperf.identical(target, plain)
    gpuperf.identical(plain, bits)


def test_kernels_are_compiled_once_a_row(place):
    for requests, most, dtype in ((1, 3, "int32"), (5, 9, "int64"), (130, 1, "int64")):
        case = random_batch(requests, most, 0, dtype=dtype)
        accepted, mask = place.full((requests,), 0, "int32"), place.full((len(case.draft),), False, "bool")
        masks.kernel(*(place.put(array) for array in case.arrays), accepted, mask)
    for rows, heads, depth, dtype in ((1, 1, 5, "float32"), (40, 8, 64, "bfloat16"), (7, 1, 64, "float16")):
        step = staged(rows, heads, depth, dtype)
        staging.write_all(*step.tensors(place))
        staging.commit_masked(*step.tensors(place), place.put(step.mask))
    known = {(row.function, str(sigutils.normalize_signature(row.signature)[0])) for row in KERNELS}
    compiled = {(row.function, str(types)) for row in KERNELS for types in row.function.overloads}
    assert compiled <= known
