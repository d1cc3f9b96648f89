"""The kernels of wrong_counters give the right bits, both of each pair: only what they move differs, which tests/test_gpu_counters.py catches."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import device
from suites import wrong_counters as wrong

PAIRS = {
    "transpose": (wrong.transpose_conflicting, wrong.transpose_padded),
    "sums": (wrong.sums_spilling, wrong.sums_in_registers),
}


def run(place, kernel, shape, source, *args):
    """Return what a kernel leaves for a source."""
    given, target = place.put(source), place.full(source.shape, 0, source.dtype.name)
    arrays = [device.flat(device.memory(one, "array"), source.dtype.name).reshape(source.shape) for one in (given, target)]
    device.configured(kernel, *shape, 0)(*arrays, *args)
    return target


@pytest.mark.parametrize("kernel", PAIRS["transpose"], ids=["conflicting", "padded"])
def test_transposes(gpuperf, place, kernel):
    source = np.arange(32 * 32, dtype=np.float32).reshape(32, 32)
    got = run(place, kernel, (1, (wrong.WARP, wrong.TILE_ROWS)), source)
    gpuperf.identical(got, place.put(np.ascontiguousarray(source.T)))


@pytest.mark.parametrize("kernel", PAIRS["sums"], ids=["spilling", "in registers"])
def test_sums(gpuperf, place, kernel):
    # Small whole numbers: exact in whatever order, fused or not.
    source = np.tile(np.array([1, 2, 1, 0], np.float32), 16)
    kept = np.array([[source[(i + k) % 64] for k in range(wrong.SUMS)] for i in range(64)])
    for k in range(wrong.SUMS):
        kept[:, k] = kept[:, k] * source[0] + kept[:, (k + 1) % wrong.SUMS]
    got = run(place, kernel, (2, (32, 1)), source, 1)
    gpuperf.identical(got, place.put(kept.sum(axis=1, dtype=np.float32)))


@pytest.mark.parametrize(("kernel", "step"), [(wrong.copy_strided, wrong.STEP), (wrong.copy_coalesced, 1)], ids=["strided", "coalesced"])
def test_copies(gpuperf, place, kernel, step):
    source = np.arange(256, dtype=np.float32)
    got = run(place, kernel, (8, (32, 1)), source)
    gpuperf.identical(got, place.put(np.ascontiguousarray(source.reshape(-1, step).T).reshape(-1)))
