"""Two launches where one was promised, as after an innocent refactoring: counts have no noise, so the limit is exact.

launches: 2 is not 1 (counted exactly, source cupti)
"""

import pytest


@pytest.mark.gpuperf(launches="== 1")
def test_one_launch(gpuperf, device):
    x, between, out = device.random(64), device.empty(64), device.empty(64)

    def body():
        device.double(x, between)
        device.double(between, out)

    gpuperf.measure(body, outputs=[between, out])
