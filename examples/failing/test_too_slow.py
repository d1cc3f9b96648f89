"""A kernel beyond its limits: both are judged, both are told, each with its interval and how it was measured.

time: 8.183 x roof exceeds 2.000 x roof by 309.1 % (95 % interval 8.150..8.216, 200 samples in 10 rounds, device clock, cold, SM 1980 MHz)
bandwidth: 12.22 % is below 60.00 % by 79.6 % (95 % interval 12.17..12.27, 200 samples in 10 rounds, device clock, cold, SM 1980 MHz)
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.gpuperf(time="<= 2 x roof", bandwidth=">= 60 %")
def test_strided(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    gpuperf.measure(device.double_strided, x, out, outputs=[out], work=Work(reads=x.nbytes, writes=out.nbytes))
