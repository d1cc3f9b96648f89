"""KV staging, how fast: bytes a second of each op beside the copy roof of the same cache state, and where committing pays.

On a GPU every case writes at least 256 MB a call, so each call pays for its own writes (`steady`). In the simulator the same cases
run on a few rows: their bits count, their limits are unmeasured.
"""

from __future__ import annotations

import pytest

from kernels import staging
from suites.place import SIMULATED
from suites.staged import Step, same

#: Rows of 4 KB for K and as many for V: 256 MiB together.
ROWS = 16 if SIMULATED else 32768
#: Rows of the acceptance table: one row in ten is 256 MiB already.
TABLE_ROWS = 32 if SIMULATED else 10 * 32768


def measure_write_all(gpuperf, step):
    wanted = step.wanted()
    body = staging.plan_write_all(*step.arrays, stream=int(gpuperf.stream))
    body()
    same(gpuperf, step.caches, wanted)
    gpuperf.measure(body, work=step.work(len(step.slots)), outputs=step.caches, cache="steady")
    same(gpuperf, step.caches, wanted)


@pytest.mark.gpuperf(bandwidth={"H200*": ">= 92 %"})
def test_write_all_contiguous(gpuperf):
    measure_write_all(gpuperf, Step(ROWS))


# Random rows of 4 KB open a DRAM page each: less than contiguous ones can reach.
@pytest.mark.gpuperf(bandwidth={"H200*": ">= 91 %"})
def test_write_all_scattered(gpuperf):
    measure_write_all(gpuperf, Step(ROWS, scattered=True))


@pytest.mark.gpuperf(bandwidth={"H200*": ">= 92 %"})
def test_commit_masked_contiguous(gpuperf):
    step = Step(ROWS)
    mask = step.mask(1.0)
    assert bool(mask.all())
    wanted = step.wanted(mask)
    body = staging.plan_commit_masked(*step.arrays, mask, stream=int(gpuperf.stream))
    body()
    same(gpuperf, step.caches, wanted)
    gpuperf.measure(body, work=step.work(len(mask), mask.numel()), outputs=step.caches, cache="steady")
    same(gpuperf, step.caches, wanted)


def rate_limits(limits):
    """Return the acceptance rates as parameters, each with its own limit on the bandwidth of the commit, in % of the roof."""
    return [
        pytest.param(rate, marks=pytest.mark.gpuperf(bandwidth={"H200*": f">= {limit} %"}, of="commit_masked"))
        for rate, limit in limits.items()
    ]


# Some five below what was measured.
@pytest.mark.parametrize("rate", rate_limits({0.1: 88, 0.5: 90, 0.9: 91, 1.0: 91}))
def test_acceptance_rates(gpuperf, rate):
    # What staging saves: the time of a commit at each rate beside a write of every row. Contiguous slots, rows accepted at random.
    step = Step(TABLE_ROWS)
    mask = step.mask(rate)
    moved = int(mask.sum())
    wanted = step.wanted(mask)
    commit = staging.plan_commit_masked(*step.arrays, mask, stream=int(gpuperf.stream))
    commit()
    same(gpuperf, step.caches, wanted)
    committed = gpuperf.measure(commit, name="commit_masked", work=step.work(moved, mask.numel()), inout=step.caches, cache="steady")
    same(gpuperf, step.caches, wanted)
    write = staging.plan_write_all(*step.arrays, stream=int(gpuperf.stream))
    written = gpuperf.measure(write, name="write_all", work=step.work(len(mask)), outputs=step.caches, cache="steady")
    # A commit of many rows gives each a warp: made for few accepted rows, it costs some 3 % where all are.
    assert committed.time <= (rate + 0.06) * written.time
