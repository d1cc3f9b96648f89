"""A limit on a kernel's time: absolute for the GPU that it was tuned on, and for all others in terms of what their memory can do.
The roof is the time of the plugin's own copy kernel with exactly the bytes of `Work`, in the same run; on a fake device only "*" holds.

    pytest --gpuperf examples/test_time_budget.py
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.gpuperf(time={"H200*": "<= 100 us", "*": "<= 3 x roof"})
def test_double(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    gpuperf.measure(device.double, x, out, outputs=[out], work=Work(reads=x.nbytes, writes=out.nbytes))
