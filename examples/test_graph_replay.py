"""A CUDA graph of one call, measured like any other body: `launches` counts the kernels of a replay.
What is captured must launch on `gpuperf.stream`, read at each call, as `kernel[grid, block, gpuperf.stream](...)` in gpu_kernels.py does.

    pytest --gpuperf examples/test_graph_replay.py
"""


def test_a_replay_is_one_launch(gpuperf, device):
    x, out = device.random(256), device.empty(256)
    replay = gpuperf.graph(device.double, x, out)
    m = gpuperf.measure(replay, outputs=[out])
    m.require(launches="== 1", time="<= 1 ms", host_time="<= 1 ms")
    gpuperf.identical(out, 2 * device.read(x))
