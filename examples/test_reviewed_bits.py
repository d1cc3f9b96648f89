"""Bits that somebody reviewed: golden/test_reviewed_bits.json beside this file has the digest of the output, and a small one is kept whole.
`--gpuperf-update-golden` writes it and shows what changed; from then on other bits fail, on every machine.

    pytest --gpuperf examples/test_reviewed_bits.py
"""

import numpy as np


def test_double_is_as_reviewed(gpuperf, device):
    x, out = device.put(np.arange(256, dtype="float32") / 8), device.put(np.zeros(256, "float32"))
    device.double(x, out)
    gpuperf.golden("eighths, doubled", out)
