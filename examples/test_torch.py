"""PyTorch: bodies launch on its current stream, tensors that they return are checked as outputs are, and `peak_memory` sees its allocator.
Skipped without a GPU, or where torch is not installed.

    pytest --gpuperf examples/test_torch.py
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpuperf(time="<= 5 x roof", launches="== 1", synchronizations="== 0")
def test_torch_adds(gpuperf):
    torch = pytest.importorskip("torch")
    a, b = torch.rand(1 << 24, device="cuda"), torch.rand(1 << 24, device="cuda")
    m = gpuperf.measure(torch.add, a, b, work=Work(reads=2 * a.nbytes, writes=a.nbytes))
    gpuperf.identical(m.result, b + a)
    m.require(peak_memory="<= 96 MiB")  # the result, and no temporary beside it


@pytest.mark.usefixtures("gpu")
def test_softmax_in_half_precision_is_close(gpuperf):
    torch = pytest.importorskip("torch")
    x = torch.randn(256, 1024, device="cuda", generator=gpuperf.rng(torch="cuda"))
    m = gpuperf.measure(torch.softmax, x.bfloat16(), -1, budget={"time": "<= 1 ms"})
    gpuperf.close(m.result, torch.softmax(x.bfloat16().float(), -1).bfloat16(), ulp=2)
