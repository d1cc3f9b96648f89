"""A body that waits for the device: its time on the device is UNMEASURED `sync`, and a limit on waits fails, with the line that waits on the page.

synchronizations: 1 is not 0 (counted exactly, source cupti)
"""

import pytest


@pytest.mark.gpuperf(synchronizations="== 0")
def test_it_waits(gpuperf, device):
    x, out = device.random(64), device.empty(64)

    def body():
        device.double(x, out)
        device.wait()

    gpuperf.measure(body, outputs=[out])
