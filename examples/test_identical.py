"""Equality of raw bits: -0.0 is not 0.0, and a NaN is its payload; where rounding may differ, `close` says by how much.
Arrays may be NumPy's, torch's, numba's or CuPy's, in any mixture; without --gpuperf these checks run as well.

    pytest --gpuperf examples/test_identical.py
"""

import numpy as np
import pytest

from pytest_gpuperf import NotIdentical


def test_double_has_the_bits_of_numpy(gpuperf, device):
    x, out = device.random(64), device.empty(64)
    device.double(x, out)
    gpuperf.identical(out, 2 * device.read(x))


def test_a_zero_has_a_sign(gpuperf, device):
    zeros, out = device.zeros(1), device.empty(1)
    device.negate(zeros, out)
    with pytest.raises(NotIdentical, match="sign of zero"):
        gpuperf.identical(out, device.read(zeros))


def test_a_sum_is_close_to_that_of_float64(gpuperf, device):
    x, out = device.random(4), device.put(np.zeros(1, "float32"))
    device.total(x, out)
    gpuperf.close(out, device.read(x).astype("float64").sum(keepdims=True).astype("float32"), rtol=1e-3)
