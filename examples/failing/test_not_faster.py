"""An "optimisation" that is none: the ratio of two versions, timed in turns, is held against the speedup that was promised.

    SAYS
"""


def test_strided_should_pay(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    c = gpuperf.compare({"adjacent": device.double, "strided": device.double_strided}, x, out, outputs=[out])
    c.require(speedup=">= 1.2", of="strided", over="adjacent")
