"""Limits on the slow calls: p95 and p99 stand before the operator, and the sampler takes as many samples as such a percentile needs (72 and 368).
`host_time` is what a launch costs the host, `wall_time` what a caller waits who synchronises after it.

    pytest --gpuperf examples/test_tails.py
"""

import pytest


@pytest.mark.gpuperf(time=["<= 200 us", "p95 <= 500 us", "p99 <= 5 ms"], host_time="<= 5 ms", wall_time="<= 10 ms")
def test_double_is_never_slow(gpuperf, device):
    x, out = device.random(1024), device.empty(1024)
    gpuperf.measure(device.double, x, out, outputs=[out])
