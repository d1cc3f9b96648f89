"""A kernel that is right ten times: a test that looks once passes, one that is measured looks at every call.

wrong only on call 11 (beside contention): outputs[0] has other bits than after 19 of 20 calls; on call 11: 1 of 1,024 elements, first at [5]: 0x3fbebb8f != 0x3efaee3c (12,832,083 ulp), largest 12,832,083 ulp (inputs: --gpuperf-seed=0)
"""

import itertools


def test_it_goes_wrong_late(gpuperf, device):
    x, out, calls = device.random(256), device.empty(256), itertools.count(1)

    def body():
        device.double(x, out)
        if next(calls) == 11:
            device.increment(out[5:6])

    gpuperf.deterministic(body, outputs=[out])
