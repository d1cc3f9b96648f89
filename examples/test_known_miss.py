"""Limits in a file: gpuperf.toml beside pytest.ini has budgets by test and device, with reason, owner and last day.
The strided kernel misses its own, as a table [[known-miss]] says: it passes as `known`, and fails where it gets worse than that.

    pytest --gpuperf examples/test_known_miss.py
    pytest examples/test_known_miss.py --gpuperf-record      (writes limits from what it measures)
"""

from pytest_gpuperf import Work


def test_double(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    gpuperf.measure(device.double, x, out, outputs=[out], work=Work(reads=x.nbytes, writes=out.nbytes))


def test_double_strided(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    gpuperf.measure(device.double_strided, x, out, outputs=[out], work=Work(reads=x.nbytes, writes=out.nbytes))
