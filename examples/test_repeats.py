"""The same bits in 20 calls, half of them while another kernel keeps memory and multiprocessors busy: races like company.
Outputs are poisoned before each call, so what a call leaves out is seen too.

    pytest --gpuperf examples/test_repeats.py
"""


def test_double_is_deterministic(gpuperf, device):
    x, out = device.random(256), device.empty(256)
    gpuperf.deterministic(device.double, x, out, outputs=[out])
