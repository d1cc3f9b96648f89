"""The last block of the output is never written: with the right bits still there from an earlier call, comparing would see nothing.

    SAYS
"""


def test_the_last_block_is_missing(gpuperf, device):
    x, out = device.random(64), device.empty(64)
    device.double(x, out)  # what a warm-up leaves behind
    gpuperf.measure(device.double_but_the_last_block, x, out, outputs=[out])
