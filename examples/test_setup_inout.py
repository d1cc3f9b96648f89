"""Bodies that change what they are given: `inout=` arrays start every call from the same bits, `setup=` runs before each call, untimed.
`varies=True` allows for sums by atomics and for dropout, whose bits differ from call to call; the page says that it was declared.

    pytest --gpuperf examples/test_setup_inout.py
"""

import numpy as np


def test_increment_starts_from_the_same_bits_each_time(gpuperf, device):
    x = device.random(256)
    before = device.read(x)
    gpuperf.measure(device.increment, x, inout=[x], budget={"time": "<= 1 ms"})
    gpuperf.identical(x, before + np.float32(1))  # exactly one call, however many were timed


def test_setup_prepares_what_the_body_uses_up(gpuperf, device):
    source, x = device.random(256), device.empty(256)
    gpuperf.measure(device.increment, x, setup=lambda: device.double(source, x), budget={"time": "<= 1 ms"})
    gpuperf.identical(x, 2 * device.read(source) + np.float32(1))


def test_a_sum_by_atomics_varies(gpuperf, device):
    x, out = device.random(16), device.put(np.zeros(1, "float32"))
    gpuperf.measure(device.total, x, out, inout=[out], varies=True, budget={"time": "<= 10 ms"})
    gpuperf.close(out, device.read(x).astype("float64").sum(keepdims=True).astype("float32"), rtol=1e-3)
