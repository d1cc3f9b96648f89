"""Acceptance masks, what they launch: one warp for each 32 threads of the grid, no more, whatever its shape."""

from __future__ import annotations

import pytest

from kernels import masks
from suites.batches import random_batch
from suites.place import SIMULATED

WARPS = "sm__warps_launched.sum"
WARP = 32
DRAFTS = 8

#: Lanes of a request, requests of a block and blocks; None where `plan` chooses, for 128 requests of 8 drafts: 4 blocks of 8 x 32 threads.
SHAPES = {
    "chosen": (None, None, None, 4 * 8 * 32),
    "one block": (8, 32, 1, 8 * 32),
    "a warp a request": (32, 8, 16, 16 * 32 * 8),
    # 12 threads a block: a warp is launched whole.
    "a part of a warp": (4, 3, 43, 43 * WARP),
}


@pytest.mark.gpuperf(counters=[WARPS])
@pytest.mark.parametrize("shape", SHAPES)
def test_warps(gpuperf, place, shape):
    lanes, requests, blocks, threads = SHAPES[shape]
    case = random_batch(8 if SIMULATED else 128, DRAFTS, seed=1, dtype="int64", least=DRAFTS)
    inputs = [place.put(array) for array in case.arrays]
    outputs = [place.full((len(case.arrays[1]),), -7, "int32"), place.full((len(case.arrays[0]),), True, "bool")]
    launch = masks.plan(*inputs, *outputs, stream=int(gpuperf.stream), lanes=lanes, requests=requests, blocks=1 if SIMULATED else blocks)
    m = gpuperf.measure(launch, outputs=outputs, cache="warm")
    for mine, reference in zip(outputs, case.wanted, strict=True):
        gpuperf.identical(mine, place.put(reference))
    assert m[WARPS] == threads // WARP
