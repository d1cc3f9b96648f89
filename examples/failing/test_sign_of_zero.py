"""-0.0 where 0.0 was: equal to every `==` and `allclose`, and another result all the same, as 1 / x will show.

bits differ: 64 of 64 elements, first at [0]: 0x80000000 != 0x00000000 (sign of zero), largest 0 ulp
"""


def test_negated_zeros_are_zeros(gpuperf, device):
    zeros, out = device.zeros(16), device.empty(16)
    device.negate(zeros, out)
    gpuperf.identical(out, device.read(zeros))
