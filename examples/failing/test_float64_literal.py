"""`x * 1.1`: a Python number is a float64, so numba multiplies in double precision and converts twice; no time is needed to see it.

f64: 3 is not 0 (tenth_more on sm_90)
"""

import pytest


def test_single_precision_only(gpuperf):
    pytest.importorskip("numba.cuda", reason="compiling needs pytest-gpuperf[static]")
    from gpu_kernels import THREADS, tenth_more

    c = gpuperf.compiled(tenth_more, "void(float32[::1], float32[::1])", arch="sm_90", block=THREADS)
    c.require(f64="== 0", registers="<= 32")
