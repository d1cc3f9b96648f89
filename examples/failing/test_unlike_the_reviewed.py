"""Other bits than those that somebody reviewed: where a copy was kept the elements that differ are shown, else only that the digest does.

    SAYS
"""

import numpy as np


def test_as_reviewed(gpuperf, device):
    x, out = device.put(np.arange(256, dtype="float32") / 8), device.put(np.zeros(256, "float32"))
    device.negate(x, out)
    gpuperf.golden("eighths", out)
