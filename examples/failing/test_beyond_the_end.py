"""One element after the end of the array: no error, no crash, only somebody else's memory; red zones show it without a sanitizer.

    SAYS
"""


def test_one_more_than_there_is(gpuperf, device):
    x = device.random(64)
    out = gpuperf.guarded(64 * device.row, "float32", like=device.like, name="out")
    device.double_and_one_more(x, out.array)
    out.check()
