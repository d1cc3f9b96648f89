"""What is neither PASS nor FAIL: each of these passes, is counted apart, and has a reason with its next step at the end of the session.
`--gpuperf-strict` lets the first two fail; the third is for another device, and never does.

    pytest --gpuperf examples/test_verdicts.py
"""

import pytest


def test_inconclusive_as_the_limit_lies_in_the_interval(gpuperf, device):
    x, out = device.random(1024), device.empty(1024)
    m = gpuperf.measure(device.double, x, out, outputs=[out])
    assert m.time < m.time.point  # no interval lies below its own middle: no coin is tossed


@pytest.mark.gpuperf(time="<= 1 ms")
def test_unmeasured_as_the_body_waits(gpuperf, device):
    x, out = device.random(64), device.empty(64)

    def body():
        device.double(x, out)
        device.wait()

    m = gpuperf.measure(body, outputs=[out])
    assert m.wall_time < 10e-3  # what its caller waits is known


@pytest.mark.gpuperf(time={"B300*": "<= 10 us"})
def test_not_applicable_here(gpuperf, device):
    x, out = device.random(64), device.empty(64)
    gpuperf.measure(device.double, x, out, outputs=[out])
