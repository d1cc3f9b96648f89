"""CuPy: its arrays go wherever the others go, and what launches on its current stream is measured without a word about streams.
Skipped without a GPU, or where CuPy is not installed.

    pytest --gpuperf examples/test_cupy.py
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpuperf(time="<= 5 x roof")
def test_cupy_adds(gpuperf):
    cupy = pytest.importorskip("cupy")
    a = cupy.arange(1 << 24, dtype="float32")
    b, out = a / 7, cupy.empty_like(a)
    gpuperf.measure(cupy.add, a, b, out, outputs=[out], work=Work(reads=2 * a.nbytes, writes=out.nbytes))
    gpuperf.identical(out, b + a)
