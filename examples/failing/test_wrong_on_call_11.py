"""A kernel that is right ten times: a test that looks once passes, one that is measured looks at every call.

    SAYS
"""

import itertools


def test_it_goes_wrong_late(gpuperf, device):
    x, out, calls = device.random(64), device.empty(64), itertools.count(1)

    def body():
        device.double(x, out)
        if next(calls) == 11:
            device.increment(out[5:6])

    gpuperf.deterministic(body, outputs=[out])
