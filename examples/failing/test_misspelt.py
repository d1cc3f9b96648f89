"""A quantity that there is not: refused with the nearest name, never ignored. In a marker it would be an error before any test runs.

measure('main'): unknown quantity 'bandwith'; nearest 'bandwidth'
"""


def test_bandwith(gpuperf, device):
    x, out = device.random(64), device.empty(64)
    gpuperf.measure(device.double, x, out, outputs=[out], budget={"bandwith": ">= 50 %"})
