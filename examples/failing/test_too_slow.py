"""A kernel beyond its limits: both are judged, both are told, each with its interval and how it was measured.

    SAYS
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.gpuperf(time="<= 2 x roof", bandwidth=">= 60 %")
def test_strided(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    gpuperf.measure(device.double_strided, x, out, outputs=[out], work=Work(reads=x.nbytes, writes=out.nbytes))
