"""A limit on bandwidth: bytes of `Work` over time, as a rate or in percent of what this GPU's memory can do in the same cache state.
A list of limits is judged whole, and a failure names each that does not hold.

    pytest --gpuperf examples/test_bandwidth.py
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.gpuperf(bandwidth={"H200*": [">= 1 TB/s", ">= 30 %"], "*": ">= 30 %"})
def test_double_fills_the_memory_bus(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    m = gpuperf.measure(device.double, x, out, outputs=[out], work=Work(reads=x.nbytes, writes=out.nbytes))
    assert m.percent > 30  # the same number in plain Python
