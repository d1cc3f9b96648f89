"""An "optimisation" that is none: the ratio of two versions, timed in turns, is held against the speedup that was promised.

compare/strided over adjacent speedup: 0.1222 x is below 1.200 x by 89.8 % (95 % interval 0.1218..0.1226, 20 ABBA blocks, 200 samples in 20 rounds, device clock, cold, SM 1980 MHz)
"""


def test_strided_should_pay(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    c = gpuperf.compare({"adjacent": device.double, "strided": device.double_strided}, x, out, outputs=[out])
    c.require(speedup=">= 1.2", of="strided", over="adjacent")
