"""Registers, spills and instructions of a kernel, compiled here for the GPU that you name: no GPU is needed, and the numbers have no noise.
A marker has the same limits for what a measured body launches: `registers="<= 32", spills="== 0"`.

    pytest --gpuperf examples/test_static_budget.py
"""

import pytest


def test_double_is_a_small_kernel(gpuperf):
    pytest.importorskip("numba.cuda", reason="compiling needs pytest-gpuperf[static]")
    from gpu_kernels import THREADS, double

    c = gpuperf.compiled(double, "void(float32[::1], float32[::1])", arch="sm_90", block=THREADS)
    c.require(registers="<= 32", spills="== 0", f64="== 0", occupancy=">= 100 %")
    assert "FADD" in c.sass
