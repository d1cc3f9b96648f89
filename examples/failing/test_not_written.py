"""The last block of the output is never written: with the right bits still there from an earlier call, comparing would see nothing.

not written: 256 of 1,024 elements of outputs[0] keep the poison, first at [768] (declare an array that is written in part as inout=)
"""


def test_the_last_block_is_missing(gpuperf, device):
    x, out = device.random(256), device.empty(256)
    device.double(x, out)  # what a warm-up leaves behind
    gpuperf.measure(device.double_but_the_last_block, x, out, outputs=[out])
