"""Measured values in plain Python: seconds, bytes per second and counts, with intervals that go through the arithmetic.
A comparison judges the whole interval, and one that cannot decide ends the case as INCONCLUSIVE; `m.require` judges a limit on the spot.

    pytest --gpuperf examples/test_plain_values.py
"""

import pytest

from pytest_gpuperf import BudgetExceeded, Work


def test_values_are_numbers_with_intervals(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    work = Work(reads=x.nbytes, writes=out.nbytes)
    fast = gpuperf.measure(device.double, x, out, name="adjacent", outputs=[out], work=work, samples=100)
    slow = gpuperf.measure(device.double_strided, x, out, name="strided", outputs=[out], work=work)
    assert fast.time < 1e-3
    assert slow.time / fast.time > 1.5
    assert fast.bandwidth - slow.bandwidth > 0
    assert fast.time.p95 < 10 * fast.time  # p95 needs 72 samples, so `samples=` asks for enough
    print(f"{fast.time} against {slow.time}; the bare number is {fast.time.point * 1e6:.1f} us")
    fast.require(time="<= 1 ms", bandwidth=">= 20 %")
    with pytest.raises(BudgetExceeded, match=r"exceeds 1\.000 ns"):
        fast.require(time="<= 1 ns")
