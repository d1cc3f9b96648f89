"""A test that is parametrised over a size, three values or more, gets a curve on the page: time, bandwidth and fraction of the roof.
Each size is a case of its own, with its own verdict.

    pytest --gpuperf examples/test_curve.py
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.gpuperf(time="<= 4 x roof")
@pytest.mark.parametrize("rows", [64, 256, 1024, 4096])
def test_double_over_rows(gpuperf, device, rows):
    x, out = device.random(rows), device.empty(rows)
    gpuperf.measure(device.double, x, out, outputs=[out], work=Work(reads=x.nbytes, writes=out.nbytes))
