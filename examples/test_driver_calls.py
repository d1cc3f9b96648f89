"""What one call does to the driver, counted by CUPTI in a pass of its own: launches, copies, fills, waits (the page names the line of each).
Without cupti-python these are UNMEASURED, but for the launches of a body that can be captured.

    pytest --gpuperf examples/test_driver_calls.py
"""

import pytest


@pytest.mark.gpuperf(launches="== 1", kernels="== 1", memcpys="== 0", memsets="== 0", synchronizations="== 0", peak_memory="<= 1 MiB")
def test_double_is_one_launch_and_nothing_else(gpuperf, device):
    x, out = device.random(256), device.empty(256)
    gpuperf.measure(device.double, x, out, outputs=[out])
