"""KV staging, what it moves: a commit writes the share of the bytes that was accepted, and reads no more than a write of every row.

Numbers come from hardware counters of a profiled run in which each body ran once, from a flushed cache. At its end some 20 to 50 MB of what
it wrote are still in L2 and were never counted: of half a gigabyte that is up to 5 percentage points of a ratio, of 8.6 GB less than 5 % of it.
"""

from __future__ import annotations

import pytest

from kernels import staging
from suites.place import SIMULATED
from suites.staged import Step, same

WRITE, READ, L2_WRITE = "dram__bytes_write.sum", "dram__bytes_read.sum", "lts__t_sectors_op_write.sum"
BUSY = "dram__throughput.avg.pct_of_peak_sustained_elapsed"

#: Rows of 4 KB for K and as many for V: 512 MiB together, and 8 GiB.
ROWS = 16 if SIMULATED else 1 << 16
MANY_ROWS = 32 if SIMULATED else 1 << 20
RATES = (0.1, 0.5, 0.9, 1.0)
#: Samples of a timed run that only has to say what was measured.
FEW = 5

pytestmark = pytest.mark.gpuperf(counters=[WRITE, READ, L2_WRITE, BUSY])


def measured(gpuperf, rows, rate):
    """Return the exact share of accepted rows, and the measurements of a commit of them and of a write of every row, bits checked."""
    step = Step(rows)
    mask = step.mask(rate)
    moved = int(mask.sum())
    wanted = step.wanted(mask)
    commit = staging.plan_commit_masked(*step.arrays, mask, stream=int(gpuperf.stream))
    work = step.work(moved, mask.numel())
    committed = gpuperf.measure(commit, name="commit_masked", work=work, inout=step.caches, samples=FEW)
    same(gpuperf, step.caches, wanted)
    del wanted
    write = staging.plan_write_all(*step.arrays, stream=int(gpuperf.stream))
    written = gpuperf.measure(write, name="write_all", work=step.work(rows), outputs=step.caches, samples=FEW)
    same(gpuperf, step.caches, step.wanted())
    return moved / rows, committed, written


def reads_do_not_grow(committed, written):
    # Both read the slots; the mask is a byte beside the 8 KB of its row.
    assert committed[READ] <= 1.01 * written[READ]


@pytest.mark.parametrize("rate", RATES)
def test_half_a_gigabyte(gpuperf, rate):
    share, committed, written = measured(gpuperf, ROWS, rate)
    # L2 sees every write: no byte of it is left out, in neither of the two.
    assert committed[L2_WRITE] <= (share + 0.01) * written[L2_WRITE]
    assert committed[L2_WRITE] >= (share - 0.01) * written[L2_WRITE]
    reads_do_not_grow(committed, written)
    # Bare numbers: a commit of one row in ten writes less than 4x L2, so its value is no answer to a limit. What stays in L2 is what the
    # 5 points are for; the bounds still fail for a commit that writes every row, or none.
    assert share - 0.05 <= committed[WRITE].point / written[WRITE].point <= share + 0.05


@pytest.mark.parametrize("rate", RATES)
def test_eight_gigabytes(gpuperf, rate):
    share, committed, written = measured(gpuperf, MANY_ROWS, rate)
    assert committed[WRITE] <= 1.05 * share * written[WRITE]
    assert committed[WRITE] >= 0.95 * share * written[WRITE]
    # And in bytes: what Work says, no more than a share of a percent beside it, less what stays in L2.
    assert written[WRITE] >= 0.98 * MANY_ROWS * 2 * 4096
    assert written[WRITE] <= 1.02 * MANY_ROWS * 2 * 4096
    reads_do_not_grow(committed, written)


@pytest.mark.parametrize("scattered", [False, True], ids=["contiguous", "scattered"])
def test_a_write_of_every_row_keeps_dram_busy(gpuperf, scattered):
    step = Step(ROWS, scattered=scattered)
    write = staging.plan_write_all(*step.arrays, stream=int(gpuperf.stream))
    written = gpuperf.measure(write, work=step.work(ROWS), outputs=step.caches, samples=FEW)
    same(gpuperf, step.caches, step.wanted())
    assert written[BUSY] >= 70
