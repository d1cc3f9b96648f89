"""A kernel that lives at the GPU's power limit is measured there: `duty="sustained"` leaves no gaps, and samples begin when the clock is steady.
By default rounds are spaced, the device rests between them, and such a kernel looks faster than it is in production.

    pytest --gpuperf examples/test_sustained.py
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.gpuperf(tflops={"H200*": ">= 200 TFLOP/s", "*": ">= 10 %"})
def test_a_matrix_product_without_rest(gpuperf, device):
    body, out, flops = device.product()
    gpuperf.measure(body, outputs=[out], work=Work(flops=flops, kind="bf16"), duty="sustained")
