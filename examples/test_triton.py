"""A Triton kernel: launched on torch's current stream, it needs no word about streams, and what it was compiled to is read from its launch.
Skipped without a GPU, as Triton compiles for one.

    pytest --gpuperf examples/test_triton.py
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpuperf(time="<= 5 x roof", launches="== 1")
def test_triton_adds(gpuperf):
    torch = pytest.importorskip("torch")
    triton = pytest.importorskip("triton")
    from own_triton import add

    a, b, out = (torch.rand(1 << 24, device="cuda") for _ in range(3))

    def body():
        add[(triton.cdiv(out.numel(), 1024),)](a, b, out, out.numel(), BLOCK=1024)

    gpuperf.measure(body, outputs=[out], work=Work(reads=2 * a.nbytes, writes=out.nbytes))
    gpuperf.identical(out, a + b)
