"""KV staging, how fast: bytes a second of each op beside the copy roof of the same cache state, and where committing pays.

On a GPU every case writes at least 256 MB a call, so each call pays for its own writes (`steady`). In the simulator the same cases
run on a few rows: their bits count, their limits are unmeasured.
"""

from __future__ import annotations

import pytest
import torch

from kernels import staging
from pytest_gpuperf import Work
from suites.place import SIMULATED, Place

SIZE = 16
HEADS, DEPTH = (1, 64) if SIMULATED else (8, 256)
#: Rows of 4 KB for K and as many for V: 256 MiB together.
ROWS = 16 if SIMULATED else 32768
#: Rows of the acceptance table: one row in ten is 256 MiB already.
TABLE_ROWS = 32 if SIMULATED else 10 * 32768


class Step:
    """Sources, caches with a slot for every row, slots, and an exact answer computed by torch's indexing."""

    def __init__(self, rows, *, scattered=False):
        generator = torch.Generator(device=Place.where).manual_seed(rows)

        def bits(*shape):
            # 16-bit patterns of every kind, NaN payloads too.
            return torch.randint(-(2**15), 2**15, shape, dtype=torch.int16, device=Place.where, generator=generator).view(torch.float16)

        self.key, self.value = bits(rows, HEADS, DEPTH), bits(rows, HEADS, DEPTH)
        self.caches = bits(rows // SIZE, SIZE, HEADS, DEPTH), bits(rows // SIZE, SIZE, HEADS, DEPTH)
        order = torch.randperm(rows, device=Place.where, generator=generator) if scattered else torch.arange(rows, device=Place.where)
        self.slots = order.to(torch.int64)
        self.chance = torch.rand(rows, device=Place.where, generator=generator)
        self.arrays = (self.key, self.value, *self.caches, self.slots)
        self.row_bytes = HEADS * DEPTH * self.key.element_size()

    def mask(self, rate):
        """Return a mask that accepts about `rate` of the rows; all of them at 1."""
        return self.chance < rate

    def work(self, moved, mask_bytes=0):
        """Return what must be read and written to move `moved` rows of K and V."""
        rows = 2 * moved * self.row_bytes
        return Work(reads=rows + self.slots.numel() * 8 + mask_bytes, writes=rows)

    def wanted(self, mask=None):
        """Both caches as torch's indexing leaves them, in bits."""
        answers = []
        for source, cache in zip((self.key, self.value), self.caches, strict=True):
            answer = cache.view(torch.int16).flatten(0, 1).clone()
            rows = slice(None) if mask is None else mask
            answer[self.slots[rows]] = source.view(torch.int16)[rows]
            answers.append(answer.view_as(cache).view(torch.float16))
        return answers


def same(gpuperf, got, wanted):
    for mine, reference in zip(got, wanted, strict=True):
        gpuperf.identical(mine, reference)


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
