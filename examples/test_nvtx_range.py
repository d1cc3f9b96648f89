"""An NVTX range of the domain `gpuperf` around a block, as Nsight Systems and Nsight Compute show it; on the page it names what ran inside.
`gpuperf.range` costs some tens of nanoseconds and works as a decorator too.

    pytest --gpuperf examples/test_nvtx_range.py
"""


def test_two_phases(gpuperf, device):
    x, between, out = device.random(1024), device.empty(1024), device.empty(1024)

    def body():
        with gpuperf.range("first phase"):
            device.double(x, between)
        with gpuperf.range("second phase"):
            device.double(between, out)

    m = gpuperf.measure(body, outputs=[between, out])
    m.require(launches="== 2", time="<= 1 ms")
    gpuperf.identical(out, 4 * device.read(x))
