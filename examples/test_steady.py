"""The only cache state in which a body pays for all of its own writes: calls back to back, over input sets that are four times the L2 together.
`cold` (the default), `warm` and `cold-dirty` are the others; a limit means little without one.

    pytest --gpuperf examples/test_steady.py
"""

from pytest_gpuperf import Work


def test_double_in_a_stream_of_calls(gpuperf, device):
    sets = [(device.random(4096), device.empty(4096)) for _ in range(3)]
    nbytes = sets[0][0].nbytes
    gpuperf.measure(
        device.double,
        inputs=sets,
        outputs=[out for _, out in sets],
        work=Work(reads=nbytes, writes=nbytes),
        cache="steady",
        budget={"time": "<= 3 x roof", "bandwidth": ">= 30 %"},
    )
