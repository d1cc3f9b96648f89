"""Two versions of one kernel, timed in random ABBA blocks over the same buffers, so that drift and order cancel in their ratio.
Both must leave the same bits; a version that is faster because it does less is no improvement.

    pytest --gpuperf examples/test_two_versions.py
"""


def test_neighbouring_threads_should_touch_neighbouring_elements(gpuperf, device):
    x, out = device.random(4096), device.empty(4096)
    versions = {"strided": device.double_strided, "adjacent": device.double}
    c = gpuperf.compare(versions, x, out, outputs=[out])
    c.require(speedup=">= 1.5", of="adjacent", over="strided")
    assert c["adjacent"].time < c["strided"].time
