"""Hardware counters beside the time, from one start of Nsight Compute before the timed run; where there is no `ncu` they are UNMEASURED, never 0.
Limits in the marker go by short or full names; a measurement is asked like a dict, `m["dram__bytes_write.sum"]`, or by short name.

    pytest --gpuperf examples/test_counters.py
"""

import pytest

from pytest_gpuperf import Work


@pytest.mark.gpuperf(metrics={"bank_conflicts": "== 0", "local_bytes": "== 0"}, counters=["dram_pct"])
def test_double_moves_what_it_should(gpuperf, device):
    # Large: the last writes of a kernel stay in L2, where no counter of DRAM sees them.
    x, out = device.random(16384), device.empty(16384)
    work = Work(reads=x.nbytes, writes=out.nbytes)
    m = gpuperf.measure(device.double, x, out, outputs=[out], work=work)
    assert m["dram__bytes_write.sum"] <= 1.1 * work.writes
    assert m.dram_read <= 1.1 * work.reads
