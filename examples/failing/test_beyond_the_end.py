"""One element after the end of the array: no error, no crash, only somebody else's memory; red zones show it without a sanitizer.

written outside: 1 element after the end, nearest at flat index 256 of an array of 256 ([256]): 0x3fa81764 (1.31321383) (inputs: --gpuperf-seed=0)
"""


def test_one_more_than_there_is(gpuperf, device):
    x = device.random(64)
    out = gpuperf.guarded(64 * device.row, "float32", like=device.like, name="out")
    device.double_and_one_more(x, out.array)
    out.check()
