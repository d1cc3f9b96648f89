"""An array between red zones, poisoned before the kernel runs: writes outside of it and elements that nobody wrote are found, without a sanitizer.
It is looked at when the test ends, or at `out.check()`.

    pytest --gpuperf examples/test_guarded_array.py
"""


def test_double_writes_all_and_no_more(gpuperf, device):
    x = device.random(64)
    out = gpuperf.guarded(64 * device.row, "float32", like=device.like, name="out")
    device.double(x, out.array)
    out.check()
    gpuperf.identical(out.array, 2 * device.read(x))
