"""KV compression, how fast: the published emit shape at each batch, steps that emit nothing, and what more warps gain over one.

All figures are cold: 64 requests of state fit an H200's L2, 256 do not. In the simulator the smallest batch of each kind runs, on one
request of the narrow shape: its bits count, its limit is unmeasured.
"""

from __future__ import annotations

import pytest

from suites.compressed_steps import Step
from suites.place import SIMULATED

gpu_only = pytest.mark.gpuperf(gpu=True)

#: One warp a block, as a thread of it has four columns.
ONE_WARP = (32, 1)
SMALL = {"head_dim": 128}


def made(requests, **words):
    return Step(1, **words | SMALL) if SIMULATED else Step(requests, **words)


def measured(gpuperf, step, **words):
    threads = (8, 2) if SIMULATED else None
    body = step.body(gpuperf, threads)
    body()
    step.check(gpuperf)
    found = gpuperf.measure(body, work=step.work, outputs=(step.output,) if step.emitted == len(step.output) else (), cache="cold", **words)
    step.check(gpuperf, most=2)
    return found


def limits(rows):
    """Return batches as parameters, each with its own limit on the time, in us."""
    least = min(rows)
    return [pytest.param(batch, marks=pytest.mark.gpuperf(time={"H200*": f"<= {limit} us"}, gpu=batch != least)) for batch, limit in rows.items()]


@pytest.mark.parametrize("batch", limits({16: 6, 64: 11, 128: 20, 256: 36}))
def test_emit(gpuperf, batch):
    measured(gpuperf, made(batch))


@pytest.mark.parametrize("batch", limits({16: 4, 256: 4}))
def test_no_emit(gpuperf, batch):
    measured(gpuperf, made(batch, emits=0))


# With four tokens a step a request completes a window in one step of 32.
@pytest.mark.parametrize("batch", limits({256: 8}))
def test_one_request_in_32_emits(gpuperf, batch):
    measured(gpuperf, made(batch, emits=32))


@gpu_only
@pytest.mark.parametrize(("batch", "least"), [(16, 2.90), (64, 2.34), (128, 2.88), (256, 2.00)])
def test_gain_over_one_warp(gpuperf, batch, least):
    # A good ratio over a slow version proves nothing: the limits above decide.
    step = Step(batch)
    found = gpuperf.compare(
        {"one warp": step.body(gpuperf, ONE_WARP), "chosen": step.body(gpuperf)}, outputs=(step.output,), work=step.work, cache="cold"
    )
    step.check(gpuperf)
    found.require(speedup=f">= {least}", of="chosen", over="one warp")


OTHERS = {
    "bf16 state": {"state": "bfloat16"},
    "fp32 kv": {"kv": "float32"},
    "hd128": {"head_dim": 128},
    "overlap": {"ratio": 4},
    "overlap, hd128": {"ratio": 4, "head_dim": 128},
    "overlap, bf16 state": {"ratio": 4, "state": "bfloat16"},
    "eight tokens": {"next_n": 8},
}


@pytest.mark.parametrize("shape", OTHERS)
@pytest.mark.parametrize("batch", [256] if SIMULATED else [16, 256])
def test_other_configurations(gpuperf, shape, batch):
    if SIMULATED and OTHERS[shape].get("ratio") != 4:
        pytest.skip("a window of 128 tokens takes seconds in the simulator")
    measured(gpuperf, made(batch, **OTHERS[shape]))
